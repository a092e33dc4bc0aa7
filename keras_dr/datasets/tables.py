"""CSV tables with labels, and the photographs that they name, for the adapters."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES

_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


class TableRow(dict[str, str]):
    """A row of a table, column -> value, that knows where it stands.

    Cells that a short row lacks are empty and take no memory: a line can be a thousandth of its header.
    """

    def __init__(self, columns: Sequence[str], cells: Sequence[str], place: str) -> None:
        super().__init__(zip(columns, map(str.strip, cells), strict=False))
        self.columns, self.place = columns, place

    def __missing__(self, column: str) -> str:
        if column not in self.columns:
            raise KeyError(column)
        return ""

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name file and line in what is said against the row's values."""
        try:
            yield
        except KerasDrError as error:
            raise KerasDrError(error.expected, f"{error.found} in {self.place}", error.remedy) from error


def read_table(file: Path) -> list[TableRow]:
    """Rows of a CSV file (UTF-8, with or without a byte-order mark) with names and values stripped of spaces.

    Rows without any value are dropped, and so are empty cells beyond the header.

    Raises:
        KerasDrError: no text, a row longer than the header, or no row.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            columns = tuple(map(str.strip, next((row for row in reader if row), [])))
            rows = []
            for cells in reader:
                if any(map(str.strip, cells[len(columns) :])):
                    found = f"{len(cells)} in line {reader.line_num}"
                    raise KerasDrError(f"{len(columns)} columns in {file}", found, "Correct that line.")
                if any(map(str.strip, cells)):  # Excel leaves rows without any
                    rows.append(TableRow(columns, cells, f"line {reader.line_num} of {file}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"a CSV file in UTF-8 at {file}", str(error), "Save it again as UTF-8 CSV.") from error
    if not rows:
        raise KerasDrError(f"rows with values below a header in {file}", "none", "Fill it, or name another file.")
    return rows


def read_header(file: Path) -> list[str]:
    """The column names of a CSV file in lower case; none where it is no file or no text."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return [name.strip().lower() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def pick_column(file: Path, rows: list[TableRow], names: tuple[str, ...], needed: bool = True) -> str:
    """The first of these column names that the table has, compared without case; "" if none is and none is needed.

    Raises:
        KerasDrError: a needed column is missing.
    """
    present = {name.lower(): name for name in rows[0].columns}
    for name in names:
        if name.lower() in present:
            return present[name.lower()]
    if not needed:
        return ""
    found = ", ".join(filter(None, present.values()))
    raise KerasDrError(f"in {file} a column named {' or '.join(names)}", found, "Rename the column.")


def find_image(folders: Iterable[Path], name: str) -> Path:
    """The photograph of this name, with, without or with another image suffix, in the first folder that has it.

    A name that no folder has comes back as a path in the first folder: `prepare` lists it as unreadable.

    Raises:
        KerasDrError: no name, one that no file can have, or one that leads out of the folders.
    """
    name = name.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or PureWindowsPath(name).drive or "\0" in name:
        raise KerasDrError("an image name inside the data set's folder", repr(name), "Correct that row.")
    folders = list(folders)
    stem = image_stem(name)
    for folder in folders:
        for candidate in (name, *(stem + suffix for suffix in _SUFFIXES)):
            if is_file(folder / candidate):
                return folder / candidate
    return folders[0] / name


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name too long for one is no error."""
    try:
        return path.is_file()
    except OSError:
        return False


def image_stem(name: str) -> str:
    """The name without the suffix of an image file; other dots belong to it."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def folders_below(source: Path, depth: int = 2) -> list[Path]:
    """The folder itself and those in it, `depth` levels down, sorted; masks and hidden ones left out."""
    inside = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "masks")
    return [source] + [below for path in inside for below in (folders_below(path, depth - 1) if depth > 1 else [path])]
