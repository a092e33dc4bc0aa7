"""Reads tables: CSV in its usual dialects and encodings, or the sheet of an .xlsx workbook.

Needs only the standard library, and openpyxl for .xlsx. A table that cannot be read is refused with the cause.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from keras_dr.core.errors import KerasDrError
from keras_dr.core.quotation_marks import QuotationMarks, open_mark
from keras_dr.core.workbooks import workbook_rows

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, ".xlsx")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE = 1 << 16  # bytes by which encoding and delimiter are recognised
_SAMPLE_ROWS = 30
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t|]*', re.IGNORECASE)
_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?")  # pandas gives such names to columns without a name
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)(\.0+|,00?)")  # 12.0, or 12,0 with a decimal comma; 1,000 is neither
# cells without a value, compared without case; "none" may also mean "no disease"
_MISSING = {"", "nan", "na", "n/a", "<na>", "#n/a", "nat", "null"}
_UNKNOWN = _MISSING | {"none", "unknown", "unk", "missing", "-", "--", "?"}


@dataclass(frozen=True)
class Header:
    """The header of a table.

    Attributes:
        file: the table.
        columns: the names of the columns in their order, stripped; "" for a column without a name, which is never data.
        dialect: how the file is written, in words, such as "semicolons, UTF-16"; "" for plain CSV.
    """

    file: Path
    columns: tuple[str, ...]
    dialect: str

    @property
    def named(self) -> tuple[str, ...]:
        """The names of the columns that have one."""
        return tuple(filter(None, self.columns))

    @property
    def unnamed(self) -> int:
        """Number of columns without a name."""
        return len(self.columns) - len(self.named)

    def find(self, names: Iterable[str]) -> list[str]:
        """Return the columns that have one of these names, in the order of the names.

        Args:
            names: the names, which are compared by `fold`.

        Raises:
            KerasDrError: two columns have the same of these names.
        """
        by_name: dict[str, list[str]] = {}
        for column in self.named:
            by_name.setdefault(fold(column), []).append(column)
        columns: list[str] = []
        for name in names:
            matching = by_name.get(fold(name), [])
            if len(matching) > 1:
                message = f"The columns {' and '.join(map(repr, matching))} of {self.file} have the same name."
                raise KerasDrError(message, "Rename the column that is not meant.")
            columns += [column for column in matching if column not in columns]
        return columns


class TableRow(dict[str, str]):
    """A row of a table: column -> value.

    Cells that a short row lacks are empty and take no memory: a line can be a thousandth of its header.

    Attributes:
        columns: the columns of the table.
        place: the place of the row, for messages, such as "line 3 of labels.csv".
    """

    def __init__(self, columns: Sequence[str], cells: Sequence[str], place: str) -> None:
        pairs = zip(columns, cells, strict=False)
        super().__init__((column, cell.strip()) for column, cell in pairs if column)
        self.columns = columns
        self.place = place

    def __missing__(self, column: str) -> str:
        if not column or column not in self.columns:
            raise KeyError(column)
        return ""

    def text(self, column: str | None) -> str:
        """Return the value of a column; "" if `column` is None or the value is missing. 12.0 is "12"."""
        value = self[column] if column else ""
        return "" if is_missing(value) else plain_number(value)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Add the file and the line to errors that are raised in the block."""
        try:
            yield
        except KerasDrError as error:
            raise KerasDrError(f"{error.message.rstrip('.')} in {self.place}.", error.remedy) from error


def fold(name: str) -> str:
    """Return a name without case, spaces and punctuation: "Image name", "image_name" and "IMAGENAME" are equal."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def is_missing(value: str) -> bool:
    """Whether a cell means that there is no value: empty, nan, NA, null."""
    return value.strip().casefold() in _MISSING


def is_unknown(value: str) -> bool:
    """Whether a cell means that the value is unknown: it is missing, none, unknown, a dash or a question mark."""
    return value.strip().casefold() in _UNKNOWN


def plain_number(value: str) -> str:
    """Return "12" for "12.0", as programs write whole numbers in columns with missing values; other text unchanged."""
    match = _WHOLE_NUMBER.fullmatch(value)
    return match[1] if match else value


@contextmanager
def open_table(file: Path) -> Iterator[tuple[Header, Iterator[TableRow]]]:
    """Yield the header of a table and an iterator over its rows, which are read one by one.

    Rows without values and empty cells beyond the header are left out.

    Args:
        file: CSV (UTF-8, UTF-16 or UTF-32; commas, semicolons, tabs or vertical bars; with or without a byte-order mark
            and Excel's first line "sep=;"), or an .xlsx workbook with only one sheet that has data.

    Raises:
        KerasDrError: the file does not exist, is not a table or not text, or a row is longer than the header. The error
            may come while rows are read.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(_SAMPLE)
            _refuse_other_kinds(file, start)
            if start.startswith(b"PK\x03\x04"):
                yield _from_cells(file, workbook_rows(file), "an Excel sheet", "row")
                return
            encoding = _encoding(start)
            stream.seek(0)
            with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
                yield _read_text(file, text, encoding)
    except OSError as error:
        message = f"The table {file} cannot be read: {error.strerror or error}."
        raise KerasDrError(message, "Check its name and its permissions.") from error


def read_table(file: Path) -> tuple[Header, list[TableRow]]:
    """Return the header and all rows of a table.

    Args:
        file: as for `open_table`.

    Raises:
        KerasDrError: as for `open_table`, or the table has no row.
    """
    with open_table(file) as (header, stream):
        rows = list(stream)
    if not rows:
        raise KerasDrError(f"{file} has no row with values below a header.", "Fill it, or name another file.")
    return header, rows


def read_header(file: Path) -> Header | None:
    """Return the header of a table; None if the file is not a table."""
    try:
        with open_table(file) as (header, _):
            return header
    except KerasDrError:
        return None


def _read_text(file: Path, text: io.TextIOWrapper, encoding: str) -> tuple[Header, Iterator[TableRow]]:
    try:
        sample = text.read(_SAMPLE)
    except UnicodeError as error:
        _refuse_encoding(file, error)
    text.seek(0)
    lines = sample.splitlines() or [""]
    separator = _SEPARATOR_LINE.fullmatch(lines[0].strip("\ufeff \r\n"))
    delimiter = separator[1] if separator else _delimiter(sample)
    if separator:
        text.readline()
    words = [_DELIMITERS.get(delimiter, repr(delimiter)), encoding.upper().removesuffix("-SIG")]
    dialect = ", ".join(word for word in words if word not in ("commas", "UTF-8"))
    return _from_cells(file, _csv_cells(file, text, delimiter, 1 if separator else 0), dialect, "line")


def _csv_cells(file: Path, text: io.TextIOWrapper, delimiter: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, cells) for each row; `before` lines have been read already."""
    lines: list[str] = []  # of the current row
    reader = csv.reader(_noted(text, lines), delimiter=delimiter)
    marks: QuotationMarks | None = None
    last: list[str] = []
    try:
        for cells in reader:
            if marks is None and _has_values(cells):
                marks = QuotationMarks(file, delimiter, cells)
            if marks:
                marks.check(reader.line_num + before, lines, cells)
            last = list(lines)
            lines.clear()
            yield reader.line_num + before, cells
        if marks:
            marks.check_end(reader.line_num + before, last)
    except UnicodeError as error:
        _refuse_encoding(file, error)
    except csv.Error as error:
        if len(lines) > 1:  # a cell is longer than csv allows
            raise open_mark(file, reader.line_num + before, len(lines)) from error
        message = f"{file} cannot be read as a table in UTF-8: {error}, near line {reader.line_num + before}."
        raise KerasDrError(message, "Save it again as UTF-8 CSV.") from error


def _has_values(cells: Sequence[str]) -> bool:
    """Whether a row is not empty; the first one that is not is the header."""
    return any(cell.strip("\ufeff \t") for cell in cells)


def _noted(text: Iterable[str], lines: list[str]) -> Iterator[str]:
    """Yield the lines of a text, and append each to a list."""
    for line in text:
        lines.append(line)
        yield line


def _from_cells(
    file: Path, rows: Iterator[tuple[int, list[str]]], dialect: str, unit: str
) -> tuple[Header, Iterator[TableRow]]:
    """Return the header and the rows of cells; `unit` is the word for a row in messages."""
    is_row = (row for row in rows if _has_values(row[1]))
    header_number, first = next(is_row, (0, []))
    names = [cell.strip("\ufeff").strip() for cell in first]
    columns = tuple("" if _UNNAMED.fullmatch(name) else name for name in names)
    header = Header(file, columns, dialect)

    def table_rows() -> Iterator[TableRow]:
        for number, cells in rows:
            if any(cell.strip() for cell in cells[len(columns) :]):
                names = f"{len(columns)} column{'' if len(columns) == 1 else 's'}"
                message = (
                    f"{unit.capitalize()} {number} of {file} has {len(cells)} cells, but the header, {unit} "
                    f"{header_number}, names {names}."
                )
                remedy = f"Correct {unit} {number}; or delete {unit} {header_number} if it is not the header."
                raise KerasDrError(message, remedy)
            if any(cell.strip() for cell in cells):  # Excel leaves rows without values
                yield TableRow(columns, cells, f"{unit} {number} of {file}")

    return header, table_rows()


def _encoding(start: bytes) -> str:
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    head = start[:2000]
    if len(head) >= 4 and head.count(0) > len(head) // 3:  # UTF-16 without a mark has 0 in every other byte
        return "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return "utf-8"


def _delimiter(sample: str) -> str:
    """Return the delimiter that divides the header and fits the most rows; of equal ones, the one with more columns."""
    lines = sample.splitlines(keepends=True)
    if len(sample) == _SAMPLE and len(lines) > 1:
        lines.pop()  # it may be cut
    best = ","
    best_fit = (-1, -1, 0)
    for delimiter in _DELIMITERS:
        rows = _sample_rows(lines, delimiter)
        columns = len(rows[0]) if rows else 0
        if columns < 2:
            continue
        full_rows = sum(len(row) == columns for row in rows[1:])
        rows_within = sum(2 <= len(row) <= columns for row in rows[1:])
        fit = (full_rows, rows_within, columns)
        if fit > best_fit:
            best = delimiter
            best_fit = fit
    return best


def _sample_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the first rows with values, without empty cells at their ends beyond the columns of the header."""
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(lines, delimiter=delimiter):
            used = max((index for index, cell in enumerate(cells, 1) if cell.strip()), default=0)
            if used:
                rows.append(cells[: max(used, min(len(cells), len(rows[0]) if rows else 0))])
            if len(rows) > _SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    return rows


def _refuse_other_kinds(file: Path, start: bytes) -> None:
    """Refuse other kinds of files that are often saved or downloaded under the name of a table, with the cause."""
    head = start[:200].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    kinds = {
        b"\xd0\xcf\x11\xe0": ("a workbook in Excel's old format (.xls)", "Save it as .xlsx or as CSV UTF-8."),
        b"<!doctype html": ("a web page", "Download the table again; you may have to sign in."),
        b"<html": ("a web page", "Download the table again; you may have to sign in."),
        b"version https://git-lfs": ("a Git LFS pointer, not the table itself", "Fetch it with: git lfs pull"),
        b"par1": ("a Parquet file", "Save it as CSV."),
        b"\x1f\x8b": ("compressed (gzip)", "Unpack it first."),
    }
    for magic, (kind, remedy) in kinds.items():
        if head.startswith(magic):
            raise KerasDrError(f"{file} is {kind}.", remedy)


def _refuse_encoding(file: Path, error: UnicodeError) -> NoReturn:
    """Refuse a file in an 8-bit code page, because nothing in the file says which code page it is."""
    byte = f" (byte {error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    message = f"{file} is text in neither UTF-8 nor UTF-16{byte}, perhaps in the code page of a Windows computer."
    remedy = "Save it again as UTF-8; Excel calls that CSV UTF-8."
    raise KerasDrError(message, remedy) from error
