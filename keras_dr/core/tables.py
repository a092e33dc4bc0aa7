"""Tables as people hand them over: CSV in its usual dialects and encodings, or the sheet of an .xlsx workbook.

Needs the standard library alone, and openpyxl for .xlsx. A table is read, or refused with the cause.
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
from keras_dr.core.workbooks import workbook_rows

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, ".xlsx")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE = 1 << 16  # bytes from which encoding and delimiter are found out
_SAMPLE_ROWS = 30
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t|]*', re.IGNORECASE)
_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?")  # how pandas calls a column that has no name
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)(\.0+|,00?)")  # 12.0, and 12,0 where the comma is decimal; 1,000 is neither
# what tables hold where a value is missing, compared without case; "none" may be a word for "no disease"
_MISSING = {"", "nan", "na", "n/a", "<na>", "#n/a", "nat", "null"}
_UNKNOWN = _MISSING | {"none", "unknown", "unk", "missing", "-", "--", "?"}


@dataclass(frozen=True)
class Header:
    """What a table says before its rows.

    Attributes:
        file: the table.
        columns: names in their order, stripped; "" for a column without a name, which is never data.
        dialect: how the file is written, in words: "semicolons, UTF-16".
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
        """How many columns have no name."""
        return len(self.columns) - len(self.named)

    def find(self, names: Iterable[str]) -> list[str]:
        """The columns that bear one of these names, in the order of the names; compared by `fold`.

        Raises:
            KerasDrError: two columns bear one of them.
        """
        by_name: dict[str, list[str]] = {}
        for column in self.named:
            by_name.setdefault(fold(column), []).append(column)
        found: list[str] = []
        for name in names:
            matching = by_name.get(fold(name), [])
            if len(matching) > 1:
                message = f"The columns {' and '.join(map(repr, matching))} of {self.file} bear the same name."
                raise KerasDrError(message, "Rename the one that is not meant.")
            found += [column for column in matching if column not in found]
        return found


class TableRow(dict[str, str]):
    """A row of a table, column -> value, that knows where it stands.

    Cells that a short row lacks are empty and take no memory: a line can be a thousandth of its header.
    """

    def __init__(self, columns: Sequence[str], cells: Sequence[str], place: str) -> None:
        pairs = zip(columns, cells, strict=False)
        super().__init__((column, cell.strip()) for column, cell in pairs if column)
        self.columns, self.place = columns, place

    def __missing__(self, column: str) -> str:
        if not column or column not in self.columns:
            raise KeyError(column)
        return ""

    def text(self, column: str | None) -> str:
        """The value of a column, "" where there is no such column or `is_missing`; 12.0 is "12"."""
        value = self[column] if column else ""
        return "" if is_missing(value) else plain_number(value)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name file and line in what is said against the row's values."""
        try:
            yield
        except KerasDrError as error:
            raise KerasDrError(f"{error.message.rstrip('.')} in {self.place}.", error.remedy) from error


def fold(name: str) -> str:
    """A name without case, spaces and punctuation: "Image name", "image_name" and "IMAGENAME" are one."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


def is_missing(value: str) -> bool:
    """Whether a cell says that there is no value: empty, nan, NA, null."""
    return value.strip().casefold() in _MISSING


def is_unknown(value: str) -> bool:
    """Whether a cell says that nobody knows: `is_missing`, none, unknown, a dash or a question mark."""
    return value.strip().casefold() in _UNKNOWN


def plain_number(value: str) -> str:
    """ "12" of "12.0", as programs write a whole number in a column that lacks some; other text as it is."""
    match = _WHOLE_NUMBER.fullmatch(value)
    return match[1] if match else value


@contextmanager
def open_table(file: Path) -> Iterator[tuple[Header, Iterator[TableRow]]]:
    """A table's header and its rows, one by one, however many there are.

    Rows without any value are dropped, and so are empty cells beyond the header.

    Args:
        file: CSV (UTF-8, UTF-16 or UTF-32; commas, semicolons, tabs or vertical bars; with or without a byte-order mark
            and Excel's first line "sep=;"), or an .xlsx workbook with one sheet that holds anything.

    Raises:
        KerasDrError: no such file, no table, no text, or a row longer than the header; while rows are read as well.
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
    """`open_table` with all rows.

    Raises:
        KerasDrError: see `open_table`; or no row.
    """
    with open_table(file) as (header, stream):
        rows = list(stream)
    if not rows:
        raise KerasDrError(f"{file} has no row with values below a header.", "Fill it, or name another file.")
    return header, rows


def read_header(file: Path) -> Header | None:
    """The header of a table; None where the file is none."""
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
    """(number of the line, cells) of each row; `before` lines have been read already."""
    reader = csv.reader(text, delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num + before, cells
    except UnicodeError as error:
        _refuse_encoding(file, error)
    except csv.Error as error:
        message = f"{file} cannot be read as a table in UTF-8: {error}, near line {reader.line_num + before}."
        raise KerasDrError(message, "Save it again as UTF-8 CSV.") from error


def _from_cells(
    file: Path, rows: Iterator[tuple[int, list[str]]], dialect: str, unit: str
) -> tuple[Header, Iterator[TableRow]]:
    """Header and rows of cells; `unit` is what a row is called in messages."""
    first = next((cells for _, cells in rows if any(cell.strip("\ufeff \t") for cell in cells)), [])
    names = [cell.strip("\ufeff").strip() for cell in first]
    columns = tuple("" if _UNNAMED.fullmatch(name) else name for name in names)
    header = Header(file, columns, dialect)

    def table_rows() -> Iterator[TableRow]:
        for number, cells in rows:
            if any(cell.strip() for cell in cells[len(columns) :]):
                message = (
                    f"{unit.capitalize()} {number} of {file} has {len(cells)} cells, but the header names "
                    f"{len(columns)} columns."
                )
                raise KerasDrError(message, f"Correct that {unit}.")
            if any(cell.strip() for cell in cells):  # Excel leaves rows without any
                yield TableRow(columns, cells, f"{unit} {number} of {file}")

    return header, table_rows()


def _encoding(start: bytes) -> str:
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    head = start[:2000]
    if len(head) >= 4 and head.count(0) > len(head) // 3:  # UTF-16 without a mark: every other byte of plain text is 0
        return "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return "utf-8"


def _delimiter(sample: str) -> str:
    """The delimiter that divides the header and fits most rows; of equal ones that of most columns."""
    lines = sample.splitlines(keepends=True)
    if len(sample) == _SAMPLE and len(lines) > 1:
        lines.pop()  # it may be cut
    best, best_fit = ",", (-1, -1, 0)
    for delimiter in _DELIMITERS:
        rows = _sample_rows(lines, delimiter)
        columns = len(rows[0]) if rows else 0
        if columns < 2:
            continue
        whole = sum(len(row) == columns for row in rows[1:])
        short = sum(2 <= len(row) <= columns for row in rows[1:])
        fit = (whole, short, columns)
        if fit > best_fit:
            best, best_fit = delimiter, fit
    return best


def _sample_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The first rows with values; empty cells at their ends left out, except within the header's named columns."""
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
    """Refuse what is often saved or downloaded under a table's name, with that cause."""
    head = start[:200].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    kinds = {
        b"\xd0\xcf\x11\xe0": ("a workbook in Excel's old format (.xls)", "Save it as .xlsx or as CSV UTF-8."),
        b"<!doctype html": ("a web page", "Download the table again, signed in where that is needed."),
        b"<html": ("a web page", "Download the table again, signed in where that is needed."),
        b"version https://git-lfs": ("a Git LFS pointer, not the table itself", "Fetch it with: git lfs pull"),
        b"par1": ("a Parquet file", "Save it as CSV."),
        b"\x1f\x8b": ("compressed (gzip)", "Unpack it first."),
    }
    for magic, (kind, remedy) in kinds.items():
        if head.startswith(magic):
            raise KerasDrError(f"{file} is {kind}.", remedy)


def _refuse_encoding(file: Path, error: UnicodeError) -> NoReturn:
    """A file in an 8-bit code page: which one, nothing in it says."""
    found = f" (byte {error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    message = f"{file} is text in neither UTF-8 nor UTF-16{found}, perhaps in the code page of a Windows computer."
    remedy = "Save it again as UTF-8; Excel calls that CSV UTF-8."
    raise KerasDrError(message, remedy) from error
