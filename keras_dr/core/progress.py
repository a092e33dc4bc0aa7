"""The interface by which long work reports its progress."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """A function that work calls as it proceeds: `progress(done, total, text)`; the text names the current step."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Note that `done` of `total` steps are done."""


# takes the name of a stage of work and returns a context that yields the progress of the stage
Stage = Callable[[str], AbstractContextManager[Progress]]


def no_progress(done: int, total: int, text: str = "") -> None:
    """Report no progress."""
