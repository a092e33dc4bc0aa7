"""Encodes the files of results as bytes: CSV, workbooks, Parquet, PNG and NPZ."""

import csv
import io
import locale
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_EXCEL_DIGITS = 4  # after the decimal point
_BOM = "\ufeff"
_NO_CELL = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)  # control characters that XML 1.0 cannot hold


@dataclass(frozen=True)
class CsvStyle:
    """How a CSV file is written.

    Attributes:
        separator: the character between cells.
        decimal: the decimal point of numbers.
        for_excel: whether the file begins with a byte order mark, by which Excel recognises UTF-8, and numbers have
            four decimals.
    """

    separator: str = ","
    decimal: str = "."
    for_excel: bool = False

    @classmethod
    def choose(cls, excel: bool = False, separator: str | None = None) -> "CsvStyle":
        """Return the style for a command's options.

        Args:
            excel: whether the file is for a spreadsheet.
            separator: a key of `SEPARATORS`; "locale": a semicolon, and decimal commas, if the user's locale has these;
                None: a comma.

        Raises:
            KerasDrError: the separator is unknown, or the user's locale is not installed.
        """
        if separator in (None, *SEPARATORS):
            return cls(SEPARATORS[separator or "comma"], ".", excel)
        if separator != "locale":
            message = f"The separator {separator!r} is not one of {', '.join(SEPARATORS)}, locale."
            raise KerasDrError(message, "Correct --separator.")
        return cls(";", ",", excel) if _decimal_point() == "," else cls(",", ".", excel)


def check_csv_options(excel: bool, separator: str | None, file: Path | None) -> None:
    """Refuse options of a CSV file where no CSV file is written, because they would have no effect.

    Args:
        excel: whether --excel was given.
        separator: the value of --separator; None: it was not given.
        file: the table to write; None: there is none.

    Raises:
        KerasDrError: one of the options was given, and the table is no CSV file.
    """
    given = [name for name, value in (("--excel", excel), ("--separator", separator)) if value]
    if given and (file is None or file.suffix.lower() != ".csv"):
        message = f"{' and '.join(given)} would have no effect, because no CSV file is written."
        raise KerasDrError(message, f"Name a table that ends in .csv, or leave {' and '.join(given)} out.")


def _decimal_point() -> str:
    """Return the decimal point of the user's locale, even if the process does not use that locale.

    Raises:
        KerasDrError: the locale is not installed.
    """
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        locale.setlocale(locale.LC_NUMERIC, "")
        return str(locale.localeconv()["decimal_point"])
    except locale.Error as error:
        message = "The locale of LC_ALL, LC_NUMERIC or LANG is not installed, so that its separator is not known."
        raise KerasDrError(message, "Pass --separator comma or --separator semicolon.") from error
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


PLAIN = CsvStyle()


def encode_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], style: CsvStyle = PLAIN) -> bytes:
    """Encode a table as CSV in UTF-8 with a header.

    Args:
        columns: the names of the columns.
        rows: column -> value for each row; a missing value is an empty cell, and other keys are left out.
        style: how the file is written.
    """
    text = io.StringIO(newline="")
    if style.for_excel:
        text.write(_BOM)
    writer = csv.DictWriter(
        text, columns, extrasaction="ignore", lineterminator="\n", delimiter=style.separator, restval=""
    )
    writer.writeheader()
    if style == PLAIN:
        writer.writerows(rows)
    else:
        writer.writerows({key: _cell(value, style) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _cell(value: Any, style: CsvStyle) -> Any:
    if not isinstance(value, float):
        return value
    return (f"{value:.{_EXCEL_DIGITS}f}" if style.for_excel else repr(value)).replace(".", style.decimal)


def check_format(suffix: str) -> None:
    """Refuse a table format whose package is not installed, before the work.

    Args:
        suffix: .csv, .xlsx or .parquet.

    Raises:
        KerasDrError: the package is not installed.
    """
    package = {".xlsx": "openpyxl", ".parquet": "pyarrow"}.get(suffix)
    try:
        if package:
            __import__(package)
    except ImportError as error:
        message = f"Tables in the format {suffix} need the package {package}, which is not installed."
        raise KerasDrError(message, f"Install it: pip install {package}. The format .csv needs no package.") from error


def encode_table(
    suffix: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], style: CsvStyle = PLAIN
) -> bytes:
    """Encode a table in the format of a file suffix.

    Args:
        suffix: .csv, .xlsx or .parquet; the latter two need a package, see `check_format`.
        columns: name of each column -> its type, as Arrow names it.
        rows: column -> value for each row; a missing value is null, or empty in CSV.
        style: how CSV is written.

    Raises:
        KerasDrError: the package is not installed.
    """
    check_format(suffix)
    if suffix == ".csv":
        return encode_csv(list(columns), rows, style)
    return _encode_workbook(list(columns), rows) if suffix == ".xlsx" else _encode_parquet(columns, rows)


def _encode_workbook(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("photographs")

    def cell(value: Any) -> Any:
        """Text stays text: a name such as "=1+1.png" is no formula, and no control character breaks the workbook."""
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, _NO_CELL.sub("?", value))
        made.data_type = "s"
        return made

    sheet.append([cell(name) for name in columns])
    for row in rows:
        sheet.append([cell(row.get(name)) for name in columns])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _encode_parquet(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    stream = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(list(rows), schema), stream, compression="zstd")
    content: bytes = stream.getvalue().to_pybytes()
    return content


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return PNG bytes of an image, uint8 grey (S, S) or RGB (S, S, 3)."""
    encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
    return encoded.tobytes()


def encode_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an uncompressed NumPy archive of named arrays, such as heat maps float32 (classes, h, w)."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type] # NumPy's stub takes every keyword for its own argument
    return stream.getvalue()
