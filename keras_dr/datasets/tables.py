"""CSV tables with labels, and the photographs that they name, for the adapters."""

import csv
from pathlib import Path

from keras_dr.errors import KerasDrError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV file (UTF-8, with or without a byte-order mark) with names and values stripped of spaces.

    Raises:
        KerasDrError: no text, or a row longer than the header.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = []
            for row in reader:
                if None in row:
                    found = f"{len(row) - 1 + len(row[None])} in line {reader.line_num}"
                    raise KerasDrError(f"{len(row) - 1} columns in {file}", found, "Correct that line.")
                rows.append({name.strip(): (value or "").strip() for name, value in row.items()})
            return rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"a CSV file in UTF-8 at {file}", str(error), "Save it again as UTF-8 CSV.") from error


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


def find_image(folders: list[Path], name: str) -> Path:
    """The photograph of this name, with or without a suffix, in the first folder that has it.

    A name that no folder has comes back as a path in the first folder: `prepare` lists it as unreadable.

    Raises:
        KerasDrError: the name leads out of the folders.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise KerasDrError("an image name inside the data set's folder", repr(name), "Correct that row.")
    suffixes = ("", *IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    candidates = (folder / (name + suffix) for folder in folders for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), folders[0] / name)
