"""Reads the rows of an Excel workbook (.xlsx) as text, with openpyxl, which is imported only then."""

import io
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError

_MOST_UNPACKED = 1 << 29  # bytes to which a workbook may unpack


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
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_UNPACKED:
            raise ValueError(f"it unpacks to {size} bytes")
        book = openpyxl.load_workbook(io.BytesIO(file.read_bytes()), read_only=True, data_only=True)
        sheets = {sheet.title: _sheet_rows(sheet) for sheet in book.worksheets}
        firsts = {title: next(rows, None) for title, rows in sheets.items()}
    except Exception as error:  # zipfile, the XML parser and openpyxl raise many kinds of errors for broken workbooks
        message = f"{file} cannot be read as an Excel workbook: {type(error).__name__}: {error}."
        raise KerasDrError(message, "Save the sheet as CSV UTF-8.") from error
    filled = [title for title, first in firsts.items() if first]
    if len(filled) > 1:
        message = f"{file} holds {len(filled)} sheets with data: {', '.join(filled)}."
        raise KerasDrError(message, "Save the sheet that is meant as CSV UTF-8, and name that file.")
    for title in filled:
        yield from chain(filter(None, [firsts[title]]), sheets[title])


def _sheet_rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [_cell_text(value) for value in values]
        if any(cells):
            yield number, cells


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
