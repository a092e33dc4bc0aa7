"""Which files are images: those of a folder, and those that a table lists, one by one, however many there are.

Needs the standard library alone; `edge_demo` runs this very module.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING

from keras_dr.core.errors import KerasDrError

if TYPE_CHECKING:  # tables are read only where a list is given: a device that grades starts without them
    from keras_dr.core.tables import Header, TableRow

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jpe", ".jfif", ".ppm", ".pgm", ".pnm"),
)
# how published tables call the column that names the photograph; where a table has several, the one that names files
IMAGE_COLUMNS = (
    *("image_path", "path", "filepath", "img_path", "filename", "file", "image_file", "image", "image_name"),
    *("img", "img_name", "photograph", "photo", "picture", "fundus_image", "image_index"),
    *("image_id", "img_id", "id_code"),
)
APPLE_DOUBLE = "by macOS itself (AppleDouble, ._name), which hold no photograph"
_SAMPLE_ROWS = 100  # of a list, from which its column of photographs is found out
_NAMES_KEPT = 3
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"P5", b"P6")


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
            names.append(shown(PurePath(path).name))

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


def shown(path: Path | str) -> str:
    """A path as one line for a terminal: control characters and line breaks in a name are escaped."""
    text = printable(path)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def is_list(path: Path) -> bool:
    """Whether a path, by its suffix, is a table that lists photographs."""
    from keras_dr.core.tables import TABLE_SUFFIXES

    return path.suffix.lower() in TABLE_SUFFIXES


def why_no_image(file: Path) -> str:
    """Why a file is no photograph, in words that follow a number ("with the suffix .gif"); "" where it is one.

    It is one by its suffix, or, where it has none, by the first bytes of its content.
    """
    suffix = file.suffix.lower()
    if file.name.startswith("._"):
        return APPLE_DOUBLE
    if file.name.startswith("."):
        return "hidden"
    if suffix in IMAGE_SUFFIXES:
        return ""
    if suffix:
        return f"with the suffix {shown(suffix)}"
    return "" if _begins_like_an_image(file) else "without a suffix, and no image by their content"


def _begins_like_an_image(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            start = stream.read(16)
    except (OSError, ValueError):
        return False
    return start.startswith(_SIGNATURES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def find_images(given: Iterable[Path], skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Images as given; of a folder those in it and in the folders there, sorted, hidden ones left out.

    A table (.csv, .tsv, .txt, .xlsx) is a list: its image column names images relative to its own folder, else to the
    current one, or absolutely. What predict and grade write is such a list.

    Args:
        given: photographs, folders and lists.
        skipped: is told each file of a folder that is passed over.

    Raises:
        KerasDrError: a folder without images or one that cannot be read, or a list that cannot be read or names none.
    """
    skipped = skipped or SkippedFiles()
    for path in given:
        before = skipped.counts.copy()
        if path.is_dir():
            found, kind = walk_images(path, skipped=skipped), "folder"
        elif is_list(path):
            found, kind = _read_list(path), "list"
        else:
            yield path
            continue
        empty = True
        for image in found:
            empty = False
            yield image
        if empty:
            passed = [f"{count} {reason}" for reason, count in (skipped.counts - before).items()]
            message = f"The {kind} {path} has no images ({', '.join(IMAGE_SUFFIXES)})"
            message += f"; passed over: {'; '.join(passed)}." if passed else "."
            raise KerasDrError(message, "Name another folder or list, or the photographs themselves.")


def walk_images(folder: Path, skip_unreadable: bool = False, skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Every image in a folder and in the folders there, sorted, hidden ones left out; links to folders not followed.

    Args:
        folder: where to begin.
        skip_unreadable: pass over folders that cannot be read.
        skipped: is told each file that is passed over.

    Raises:
        KerasDrError: a folder cannot be read, unless `skip_unreadable`.
    """
    skipped = skipped if skipped is not None else SkippedFiles()
    try:
        with os.scandir(folder) as stream:
            entries = sorted(stream, key=lambda one: one.name)
    except OSError as error:
        if skip_unreadable:
            skipped.add(folder, "unreadable as a folder")
            return
        message = f"The folder {folder} cannot be read: {error.strerror or error}."
        raise KerasDrError(message, "Correct its permissions, or name others.") from error
    for entry in entries:
        path = Path(entry)
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from walk_images(path, skip_unreadable, skipped)
        elif entry.is_dir():
            skipped.add(path, "linked as a folder, not followed")
        elif not entry.is_file():
            skipped.add(path, "neither a file nor a folder")
        elif reason := why_no_image(path):
            skipped.add(path, reason)
        else:
            yield path


def _read_list(file: Path) -> Iterator[Path]:
    """The photographs that a table names."""
    from keras_dr.core.tables import open_table

    with open_table(file) as (header, rows):
        columns = header.find(IMAGE_COLUMNS)
        if not columns:
            raise KerasDrError(no_column(header, "photographs", "image"), "Rename that column to image.")
        first = list(islice(rows, _SAMPLE_ROWS))
        column = _column_of_files(columns, first, file.parent)
        for row in chain(first, rows):
            if row.text(column):
                with row.named():
                    yield _named_file(file.parent, row[column])


def first_line_is_data(header: "Header") -> bool:
    """Whether what should name the columns is a row with a photograph already."""
    return any(PurePath(name).suffix.lower() in IMAGE_SUFFIXES for name in header.named)


def no_column(header: "Header", what: str, example: str) -> str:
    """The sentence that says that a table lacks a column, and which it has."""
    if first_line_is_data(header):
        names = ", ".join(header.named)
        return f"The first line of {header.file} is a photograph already ({names}); it must name columns."
    has = ", ".join(header.named) or "no named column"
    return (
        f"{header.file} has no column that is known to hold the {what}, such as a column named {example}; it has {has}."
    )


def _column_of_files(columns: Sequence[str], rows: Sequence["TableRow"], folder: Path) -> str:
    """The first column that names a file that is there; where none does, the first."""
    for column in columns:
        if any(row.text(column) and _is_file(_named_file(folder, row[column])) for row in rows):
            return column
    return columns[0]


def _named_file(folder: Path, name: str) -> Path:
    """The file that a list means: beside it, else from the current folder, with or without its suffix.

    Raises:
        KerasDrError: two files differ in their suffix alone, or the name is a path of a Windows computer.
    """
    from keras_dr.core.tables import plain_number

    for written in dict.fromkeys((name, name.replace("\\", "/"), plain_number(name))):
        for base in (folder, Path()):
            path = base / written
            if _is_file(path):
                return path
            if path.suffix.lower() in IMAGE_SUFFIXES or not path.name:
                continue
            found = [file for suffix in IMAGE_SUFFIXES if _is_file(file := path.with_name(path.name + suffix))]
            if len(found) > 1:
                message = f"{name!r} may be {found[0].name} or {found[1].name}"
                raise KerasDrError(message, "Write the suffix into the list.")
            if found:
                return found[0]
    if os.name != "nt" and PureWindowsPath(name).drive:
        raise KerasDrError(f"{name!r} is a path of a Windows computer", "Write paths relative to the list.")
    return folder / name


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is no error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
