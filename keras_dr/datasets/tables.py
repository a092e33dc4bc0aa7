"""CSV tables with labels, and the photographs that they name, for the adapters."""

import csv
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_dr.errors import KerasDrError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV file (UTF-8, with or without a byte-order mark) with names and values stripped of spaces.

    Rows without any value are dropped, and so are empty cells beyond the header.

    Raises:
        KerasDrError: no text, or a row longer than the header.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = []
            for row in reader:
                beyond = row.pop(None, [])  # type: ignore[call-overload] # DictReader keeps what is too much there
                if any(map(str.strip, beyond)):
                    found = f"{len(row) + len(beyond)} in line {reader.line_num}"
                    raise KerasDrError(f"{len(row)} columns in {file}", found, "Correct that line.")
                rows.append({name.strip(): (value or "").strip() for name, value in row.items()})
            return [row for row in rows if any(row.values())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"a CSV file in UTF-8 at {file}", str(error), "Save it again as UTF-8 CSV.") from error


def read_header(file: Path) -> list[str]:
    """The column names of a CSV file in lower case; none where it is no file or no text."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return [name.strip().lower() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def pick_column(file: Path, rows: list[dict[str, str]], names: tuple[str, ...], needed: bool = True) -> str:
    """The first of these column names that the table has, compared without case; "" if none is and none is needed.

    Raises:
        KerasDrError: a needed column is missing.
    """
    present = {name.lower(): name for name in (rows[0] if rows else {})}
    for name in names:
        if name.lower() in present:
            return present[name.lower()]
    if not needed:
        return ""
    found = ", ".join(filter(None, present.values())) or "an empty table"
    raise KerasDrError(f"in {file} a column named {' or '.join(names)}", found, "Rename the column.")


def find_image(folders: Iterable[Path], name: str) -> Path:
    """The photograph of this name, with, without or with another image suffix, in the first folder that has it.

    A name that no folder has comes back as a path in the first folder: `prepare` lists it as unreadable.

    Raises:
        KerasDrError: no name, or one that leads out of the folders.
    """
    name = name.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or PureWindowsPath(name).drive:
        raise KerasDrError("an image name inside the data set's folder", repr(name), "Correct that row.")
    folders = list(folders)
    stem = image_stem(name)
    for folder in folders:
        for candidate in (name, *(stem + suffix for suffix in _SUFFIXES)):
            if (folder / candidate).is_file():
                return folder / candidate
    return folders[0] / name


def image_stem(name: str) -> str:
    """The name without the suffix of an image file; other dots belong to it."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def folders_below(source: Path, depth: int = 2) -> list[Path]:
    """The folder itself and those in it, `depth` levels down, sorted; masks and hidden ones left out."""
    inside = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "masks")
    return [source] + [below for path in inside for below in (folders_below(path, depth - 1) if depth > 1 else [path])]
