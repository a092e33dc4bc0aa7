"""The one exception that the library raises for a fault its user can mend."""

import reprlib
from typing import Any

_LONGEST = 1000  # characters of a part; a screen holds two thousand
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 3, 80, 80, 80


class KerasDrError(Exception):
    """A fault in the input or its surroundings, which the user can mend.

    `cli.py` prints it without a traceback and exits with 1. What files brought into it is made harmless for a terminal:
    a part ends after a screen, and characters that a terminal would obey are escaped.

    Attributes:
        message: whole sentences that say what is wrong, with the values.
        remedy: whole sentences that say what to do; "" where nothing can be said.
    """

    def __init__(self, message: str, remedy: str = "", advice: str | None = None) -> None:
        self.expected, self.found = "", message.rstrip(".")
        if advice is not None:  # the older form: expected, found, remedy
            self.expected, self.found = _harmless(message), _harmless(remedy)
            message, remedy = f"Expected {self.expected}; found {self.found}.", advice
        self.message, self.remedy = _harmless(message), _harmless(remedy)
        super().__init__(f"{self.message} {self.remedy}".rstrip())

    def __reduce__(self) -> tuple[type["KerasDrError"], tuple[str, ...]]:
        """How worker processes send it: by its parts, as an exception goes by its whole text otherwise."""
        if self.expected:
            return type(self), (self.expected, self.found, self.remedy)
        return type(self), (self.message, self.remedy)


def brief(value: Any) -> str:
    """`repr` of a value that a file brought, however large or deep it is."""
    return _BRIEF.repr(value)


def _harmless(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
