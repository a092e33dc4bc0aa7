"""Encoding of the files that results consist of as bytes: CSV, workbooks, Parquet, PNG and NPZ."""

import csv
import io
import locale
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_EXCEL_DIGITS = 4  # behind the point
_BOM = "\ufeff"
_NO_CELL = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)  # control characters that XML 1.0 cannot hold


@dataclass(frozen=True)
class CsvStyle:
    """How a CSV file is written.

    Attributes:
        separator: between cells.
        decimal: point of numbers.
        for_excel: begins with a byte order mark, by which Excel knows UTF-8, and numbers have four decimals.
    """

    separator: str = ","
    decimal: str = "."
    for_excel: bool = False

    @classmethod
    def choose(cls, excel: bool = False, separator: str | None = None) -> "CsvStyle":
        """The style that a command's options ask for.

        Args:
            excel: for a spreadsheet.
            separator: key of `SEPARATORS`, or "locale": a semicolon and decimal commas where the locale writes these.

        Raises:
            KerasDrError: another separator.
        """
        if separator in (None, *SEPARATORS):
            return cls(SEPARATORS[separator or "comma"], ".", excel)
        if separator != "locale":
            message = f"The separator {separator!r} is none of {', '.join(SEPARATORS)} and locale."
            raise KerasDrError(message, "Correct --separator.")
        return cls(";", ",", excel) if _decimal_point() == "," else cls(",", ".", excel)


def _decimal_point() -> str:
    """Of the user's locale, which the process need not have taken up."""
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        locale.setlocale(locale.LC_NUMERIC, "")
        return str(locale.localeconv()["decimal_point"])
    except locale.Error:  # one that is not installed
        return "."
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


PLAIN = CsvStyle()


def encode_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], style: CsvStyle = PLAIN) -> bytes:
    """A table in UTF-8 with a header; what rows hold besides these columns is left out."""
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
    """Refuse a format whose package is not installed, before the work.

    Raises:
        KerasDrError: it is not.
    """
    package = {".xlsx": "openpyxl", ".parquet": "pyarrow"}.get(suffix)
    try:
        if package:
            __import__(package)
    except ImportError as error:
        message = f"A table {suffix} needs the package {package}, which is not installed."
        raise KerasDrError(message, f"Install it: pip install {package}. A table .csv needs none.") from error


def encode_table(
    suffix: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], style: CsvStyle = PLAIN
) -> bytes:
    """A table in the format of a suffix.

    Args:
        suffix: .csv, .xlsx or .parquet; the latter two need a package, see `check_format`.
        columns: name -> type, as Arrow names them.
        rows: what lacks a value is null, in CSV empty.
        style: of CSV.

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
