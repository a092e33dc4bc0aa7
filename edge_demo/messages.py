"""Prints the messages of a command. Its results must not depend on whether somebody can read them."""

import sys
from typing import TextIO

from keras_dr.core.errors import KerasDrError


class Messages:
    """Prints lines; one that cannot be written, such as on a full disk, does not end the work.

    Args:
        fatal: errors that end the work nevertheless.
    """

    def __init__(self, *fatal: type[OSError]) -> None:
        self._fatal = fatal
        self._first_error: OSError | None = None

    def say(self, text: str) -> None:
        """Print a line on standard output."""
        self._print(text, sys.stdout)

    def warn(self, text: str) -> None:
        """Print a line on standard error."""
        self._print(text, sys.stderr)

    def _print(self, text: str, stream: TextIO) -> None:
        try:
            print(text, file=stream, flush=True)
        except self._fatal:
            raise
        except OSError as error:
            self._first_error = self._first_error or error

    def check(self) -> None:
        """Report after the work that messages are missing.

        Raises:
            BrokenPipeError: the reader of the messages had gone.
            KerasDrError: they could not be written for another reason.
        """
        error = self._first_error
        if isinstance(error, BrokenPipeError):
            raise error
        if error:
            message = f"Not all messages could be written: {error.strerror or error}."
            raise KerasDrError(message, "The files that the command writes do not depend on them.")
