"""How long work tells how far it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: `progress(done, total, text)`, the text saying what is done at the moment."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Take note of `done` steps of `total`."""


# the name of a stage of work -> a context that gives the stage's progress
Stage = Callable[[str], AbstractContextManager[Progress]]


def no_progress(done: int, total: int, text: str = "") -> None:
    """Tell nobody."""
