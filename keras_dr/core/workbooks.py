"""Reads the rows of an Excel workbook (.xlsx) as text, with openpyxl, which is imported only then."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError

_MOST_UNPACKED = 1 << 29  # bytes to which a workbook may unpack
_MOST_ROWS = 1 << 20  # Excel's own limit; rows that are left out count too, because openpyxl goes through each of them


def workbook_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, cells as text) for each row of the only sheet with data; whole numbers have no decimal point.

    Args:
        file: the workbook.

    Raises:
        KerasDrError: openpyxl is missing, the workbook is broken, or several sheets hold data.
    """
    try:
        import openpyxl
    except ImportError as error:
        message = f"{file} is an Excel workbook; reading it needs the package openpyxl, which is not installed."
        raise KerasDrError(message, "Save the sheet as CSV UTF-8, or install it: pip install openpyxl") from error
    with _reading(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_UNPACKED:
            raise ValueError(f"it unpacks to {size} bytes")
        book = openpyxl.load_workbook(io.BytesIO(file.read_bytes()), read_only=True, data_only=True)
        sheets = {sheet.title: _sheet_rows(sheet, file) for sheet in book.worksheets}
        firsts = {title: next(rows, None) for title, rows in sheets.items()}
    filled = [title for title, first in firsts.items() if first]
    if len(filled) > 1:
        message = f"{file} holds {len(filled)} sheets with data: {', '.join(filled)}."
        raise KerasDrError(message, "Save the sheet that is meant as CSV UTF-8, and name that file.")
    for title in filled:
        yield from chain(filter(None, [firsts[title]]), sheets[title])


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn the many kinds of errors that zipfile, the XML parser and openpyxl raise for broken workbooks into one."""
    try:
        yield
    except KerasDrError:
        raise
    except Exception as error:
        message = f"{file} cannot be read as an Excel workbook: {type(error).__name__}: {error}."
        raise KerasDrError(message, "Save the sheet as CSV UTF-8.") from error


def _sheet_rows(sheet: Any, file: Path) -> Iterator[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what the sheet says of its size is often wrong, and rows beyond it would be left out
    width = 0
    with _reading(file):  # a later row may be broken as well
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number > _MOST_ROWS:
                raise ValueError(f"a row has a number above {_MOST_ROWS}")
            cells = [_cell_text(value) for value in values]
            if any(cells):
                width = width or len(cells)  # of the header: rows end with their last cell that was ever filled
                yield number, cells + [""] * (width - len(cells))


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
