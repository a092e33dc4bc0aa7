"""The exceptions that the library raises for a fault that the user can correct."""

import reprlib
from typing import Any

_LONGEST = 1000  # characters of the message and of the remedy; a screen shows two thousand
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 3, 80, 80, 80


class KerasDrError(Exception):
    """A fault in the input or its surroundings that the user can correct.

    `cli.py` prints it without a traceback and exits with 1. Text that comes from files is made harmless for a terminal:
    long text is cut, and control characters are escaped.

    Attributes:
        message: whole sentences that say what is wrong, with the values.
        remedy: whole sentences that say what to do; "" if nothing can be done.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = _harmless(message)
        self.remedy = _harmless(remedy)
        super().__init__(f"{self.message} {self.remedy}".rstrip())

    def __reduce__(self) -> tuple[type["KerasDrError"], tuple[str, str]]:
        """Let worker processes send the two parts; by default an exception is sent as its whole text."""
        return type(self), (self.message, self.remedy)


class MissingPackageError(KerasDrError):
    """An optional package is missing. The file itself may be sound, and can be read when the package is installed."""


def brief(value: Any) -> str:
    """Return a short `repr` of a value from a file, however large or deeply nested it is."""
    return _BRIEF.repr(value)


def _harmless(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
