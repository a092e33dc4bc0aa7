"""Finds the quotation marks in CSV files that are not closed and may have swallowed cells or rows."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from keras_dr.core.errors import KerasDrError

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class QuotationMarks:
    """Refuses rows in which a quotation mark that is not closed may have swallowed cells or rows.

    A cell may have several lines, such as a note. But a mark is not closed if the table ends before it is, or if text
    follows a closing mark in the cell; and probably not if the lines of a cell have as many delimiters as a row. Of
    delimiters, those that a space follows are not counted, because they are of prose, unless the header has such.

    Args:
        file: the table.
        delimiter: its delimiter.
        header: the cells of its header.
    """

    def __init__(self, file: Path, delimiter: str, header: Sequence[str]) -> None:
        self._file = file
        self._delimiter = delimiter
        named = [place for place, cell in enumerate(header, 1) if cell.strip()]
        self._columns = max(named, default=0)
        spaced = any(cell.startswith(" ") for cell in header)
        self._between_cells = re.compile(re.escape(delimiter) + ("" if spaced else "(?! )"))
        self._space_after = re.compile(rf'"[ \t]+(?=[{re.escape(delimiter)}\r\n]|$)')

    def check(self, number: int, lines: Sequence[str], cells: Sequence[str]) -> None:
        """Refuse a row.

        Args:
            number: the number of the row's last line.
            lines: the lines of the row.
            cells: its cells.

        Raises:
            KerasDrError: a mark seems not to be closed.
        """
        is_short = len(cells) < self._columns and '"' in lines[0]
        if (len(lines) > 1 or is_short) and self._is_open(lines):
            raise open_mark(self._file, number, len(lines))
        if len(lines) > 1 and self._columns > 1 and any(map(self._holds_rows, cells, range(len(cells)))):
            raise open_mark(self._file, number, len(lines))

    def check_end(self, number: int, lines: Sequence[str]) -> None:
        """Refuse the last row, with these lines, if the table ends before its quotation mark is closed."""
        if any('"' in line for line in lines) and self._is_open(lines):
            raise open_mark(self._file, number, len(lines))

    def _is_open(self, lines: Sequence[str]) -> bool:
        clean = [self._space_after.sub('"', line) for line in lines]
        try:
            list(csv.reader(clean, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return True
        return False

    def _holds_rows(self, cell: str, place: int) -> bool:
        """Whether the lines of the cell at this place look like the end, the middle and the beginning of rows."""
        lines = [line.rstrip(f"{self._delimiter} ") for line in _LINE_BREAK.split(cell)]
        first, *others = (len(self._between_cells.findall(line)) for line in lines)
        if not others:
            return False
        between, last = others[:-1], others[-1]
        return self._columns - 1 in between or (first == self._columns - 1 - place and last >= min(place, 1))


def open_mark(file: Path, number: int, count: int) -> KerasDrError:
    """Return the error for a row of a file whose `count` lines, of which one has the mark, end with line `number`."""
    message = f"A quotation mark in line {number - count + 1} of {file} seems not to be closed"
    if count > 1:
        message += f": the lines up to {number} would be one row"
    remedy = "Close the mark or delete it. If it is closed, write the cell on one line, or shorten it."
    return KerasDrError(f"{message}.", remedy)
