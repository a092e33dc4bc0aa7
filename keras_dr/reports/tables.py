"""One table, as text for a terminal and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Column names, and rows of as many cells; numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


NOTICE = "For research. Not a medical device: no decision about a patient may rest on it."


def show(value: Any) -> str:
    """A cell's text: fractions with three decimals, "-" for a figure that does not exist."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def show_interval(interval: Sequence[float] | None) -> str:
    """An interval's cell: ".593 to .826" with three decimals, "-" where there is none."""
    return "-" if interval is None else f"{show(float(interval[0]))} to {show(float(interval[1]))}"


def with_interval(value: Any, interval: Sequence[float] | None) -> str:
    """A figure and its interval in one cell."""
    return show(value) if interval is None else f"{show(value)} ({show_interval(interval)})"


def text_table(table: Table) -> str:
    """A table for the terminal."""
    cells = [list(table.columns), *([show(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        others = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """A table in Markdown."""
    lines = [[str(name) for name in table.columns], ["---"] * len(table.columns)]
    lines += [[show(value).replace("|", "\\|") for value in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
