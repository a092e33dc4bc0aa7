"""A table as text for a terminal and as Markdown, and the text of its cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Column names, and rows with as many cells; numbers are right-aligned."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


NOTICE = "For research. Not a medical device: no decision about a patient may rest on it."


def counted(count: int, singular: str, plural: str) -> str:
    """Return a count and what is counted, such as "1 photograph has" and "2 photographs have"."""
    return f"{count} {singular if count == 1 else plural}"


def show(value: Any) -> str:
    """Return the text of a cell: fractions with three decimals, "-" for a figure that does not exist."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def show_interval(interval: Sequence[float] | None) -> str:
    """Return the text of an interval, such as "0.593 to 0.826", or "-" if there is none."""
    return "-" if interval is None else f"{show(float(interval[0]))} to {show(float(interval[1]))}"


def with_interval(value: Any, interval: Sequence[float] | None) -> str:
    """Return a figure and its interval as the text of one cell."""
    return show(value) if interval is None else f"{show(value)} ({show_interval(interval)})"


def text_table(table: Table) -> str:
    """Return a table as text for the terminal."""
    cells = [list(table.columns), *([show(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        others = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [[str(name) for name in table.columns], ["---"] * len(table.columns)]
    lines += [[show(value).replace("|", "\\|") for value in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
