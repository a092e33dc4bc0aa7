"""The one exception that the library raises for a fault its user can mend."""

import reprlib
from typing import Any

_LONGEST = 1000  # characters of a part; a screen holds two thousand
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 3, 80, 80, 80


class KerasDrError(Exception):
    """A fault in the input or its surroundings. The message says what was expected, what was found, and a remedy.

    `cli.py` prints it without a traceback and exits with 1. What files brought into it is made harmless for a terminal:
    a part ends after a screen, and characters that a terminal would obey are escaped.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        expected, found, remedy = map(_harmless, (expected, found, remedy))
        super().__init__(f"Expected {expected}; found {found}. {remedy}")
        self.expected, self.found, self.remedy = expected, found, remedy

    def __reduce__(self) -> tuple[type["KerasDrError"], tuple[str, str, str]]:
        """How worker processes send it: by its three parts, as an exception goes by its message alone otherwise."""
        return type(self), (self.expected, self.found, self.remedy)


def brief(value: Any) -> str:
    """`repr` of a value that a file brought, however large or deep it is."""
    return _BRIEF.repr(value)


def _harmless(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
