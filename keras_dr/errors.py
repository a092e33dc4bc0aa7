"""The one exception that the library raises for a fault its user can mend."""


class KerasDrError(Exception):
    """A fault in the input or its surroundings. The message says what was expected, what was found, and a remedy.

    `cli.py` prints it without a traceback and exits with 1.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"Expected {expected}; found {found}. {remedy}")
        self.expected, self.found, self.remedy = expected, found, remedy

    def __reduce__(self) -> tuple[type["KerasDrError"], tuple[str, str, str]]:
        """How worker processes send it: by its three parts, as an exception goes by its message alone otherwise."""
        return type(self), (self.expected, self.found, self.remedy)
