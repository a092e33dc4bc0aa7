"""Which files are images: those of a folder, and those that a CSV list names, one by one, however many there are.

Needs the standard library alone; `edge_demo` runs this very module.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from keras_dr.core.errors import KerasDrError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
# how published tables call the column that names the photograph, in lower case
IMAGE_COLUMNS = ("image", "image_id", "id_code", "image name", "filename", "file", "path", "image_path")


_NAMES_KEPT = 3


@dataclass
class SkippedFiles:
    """Files that a search passed over: how many for which reason, and the names of the first.

    Attributes:
        counts: reason -> files.
        names: reason -> the first names, three at most.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path | str, reason: str) -> None:
        """Count one file."""
        self.counts[reason] += 1
        names = self.names.setdefault(reason, [])
        if len(names) < _NAMES_KEPT:
            names.append(printable(PurePath(path).name))

    def lines(self) -> list[str]:
        """A line a reason, the most frequent first: "12 with the suffix .gif (a.gif, b.gif, c.gif, ...)"."""
        found = []
        for reason, count in self.counts.most_common():
            more = ", ..." if count > len(self.names[reason]) else ""
            found.append(f"{count} {reason} ({', '.join(self.names[reason])}{more})")
        return found


def printable(path: Path | str) -> str:
    """A path as text that UTF-8 can hold, whatever bytes the file system gave: "?" for each that is none."""
    return str(path).encode(errors="replace").decode()


def find_images(given: Iterable[Path], skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Images as given; of a folder those in it and in the folders there, sorted, hidden ones left out.

    A .csv file is a list: its image column names images relative to its own folder, or absolutely.

    Raises:
        KerasDrError: a folder without images or one that cannot be read, or a list that cannot be read or names none.
    """
    for path in given:
        if path.is_dir():
            found, where = walk_images(path, skipped=skipped), "in"
        elif path.suffix.lower() == ".csv":
            found, where = _read_list(path), "named by"
        else:
            yield path
            continue
        empty = True
        for image in found:
            empty = False
            yield image
        if empty:
            expected = f"images ({', '.join(IMAGE_SUFFIXES)}) {where} {path}"
            raise KerasDrError(expected, "none", "Name another folder or list, or the photographs themselves.")


def walk_images(folder: Path, skip_unreadable: bool = False, skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Every image in a folder and in the folders there, sorted, hidden ones left out; links to folders not followed.

    Raises:
        KerasDrError: a folder cannot be read, unless `skip_unreadable`.
    """
    try:
        with os.scandir(folder) as stream:
            entries = sorted((one for one in stream if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError as error:
        if skip_unreadable:
            return
        found = error.strerror or str(error)
        raise KerasDrError(f"a folder at {folder}", found, "Correct its permissions, or name others.") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_images(Path(entry), skip_unreadable, skipped)
        elif PurePath(entry.name).suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            yield Path(entry)
        elif skipped is not None:
            suffix = PurePath(entry.name).suffix
            skipped.add(entry.name, f"with the suffix {suffix}" if suffix else "without a suffix")


def _read_list(file: Path) -> Iterator[Path]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            column = next((names[name] for name in IMAGE_COLUMNS if name in names), None)
            if column is None:
                found = ", ".join(names) or "an empty file"
                raise KerasDrError(f"in {file} a column named {' or '.join(IMAGE_COLUMNS)}", found, "Rename it.")
            for row in reader:
                if name := (row[column] or "").strip():
                    yield file.parent / name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"a CSV file in UTF-8 at {file}", str(error), "Save it again as UTF-8 CSV.") from error
