"""The image files in folders, and those that tables list. They are yielded one by one, so their number does not matter.

Needs only the standard library, because `edge_demo` runs this module too.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING

from keras_dr.core.dicom_files import DICOM_SUFFIXES, is_dicom, read_start, why_no_photograph
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import expand_frames, split_frame
from keras_dr.core.png_marks import is_drawn

if TYPE_CHECKING:  # tables are read only where a list is given: a device that grades starts without them
    from keras_dr.core.tables import Header, TableRow

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jpe", ".jfif", ".ppm", ".pgm", ".pnm"),
    *DICOM_SUFFIXES,
)
# names in published tables of the column of photographs; if a table has several, the column that names files counts
IMAGE_COLUMNS = (
    *("image_path", "path", "filepath", "img_path", "filename", "file", "image_file", "image", "image_name"),
    *("img", "img_name", "photograph", "photo", "picture", "fundus_image", "image_index"),
    *("image_id", "img_id", "id_code"),
)
DRAWN = "drawn by keras_dr, such as heat maps"
APPLE_DOUBLE = "by macOS itself (AppleDouble, ._name), which hold no photograph"
_SAMPLE_ROWS = 100  # first rows of a list, by which its column of photographs is chosen
_NAMES_KEPT = 3
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"P5", b"P6")


@dataclass
class SkippedFiles:
    """Files that a search passed over, by reason.

    Attributes:
        counts: reason -> number of files.
        names: reason -> the names of the first files, at most three.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path | str, reason: str) -> None:
        """Add a file with the reason why it was passed over, in words that follow a number."""
        self.counts[reason] += 1
        names = self.names.setdefault(reason, [])
        if len(names) < _NAMES_KEPT:
            names.append(shown(PurePath(path).name))

    def lines(self) -> list[str]:
        """Return one line per reason, the most frequent first: "12 with the suffix .gif (a.gif, b.gif, c.gif, ...)"."""
        return [self.line(reason) for reason, _ in self.counts.most_common()]

    def line(self, reason: str) -> str:
        """Return the line of one reason."""
        count = self.counts[reason]
        more = ", ..." if count > len(self.names[reason]) else ""
        return f"{count} {reason} ({', '.join(self.names[reason])}{more})"


def printable(path: Path | str) -> str:
    """Return a path as text that UTF-8 can encode, with "?" for each byte of a file name that is not UTF-8."""
    return str(path).encode(errors="replace").decode()


def shown(path: Path | str) -> str:
    """Return a path as one line for a terminal, with control characters and line breaks escaped."""
    text = printable(path)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def is_list(path: Path) -> bool:
    """Whether a path has the suffix of a table, which lists photographs."""
    from keras_dr.core.tables import TABLE_SUFFIXES

    return path.suffix.lower() in TABLE_SUFFIXES


def why_no_image(file: Path) -> str:
    """Return why a file is not an image, in words that follow a number ("with the suffix .gif"); "" if it is an image.

    The suffix decides, or the first bytes of the content if there is no suffix. A suffix of digits is none, because
    DICOM files are often named by identifiers such as 1.2.840.113619. Of DICOM files, the class decides as well, and of
    PNG files whether keras_dr drew them.
    """
    suffix = "" if file.suffix[1:].isdigit() else file.suffix.lower()
    if file.name.startswith("._"):
        return APPLE_DOUBLE
    if file.name.startswith("."):
        return "hidden"
    if suffix in DICOM_SUFFIXES:
        return why_no_photograph(read_start(file))
    if suffix == ".png":
        return DRAWN if is_drawn(read_start(file)) else ""
    if suffix in IMAGE_SUFFIXES:
        return ""
    if suffix:
        return f"with the suffix {shown(suffix)}"
    start = read_start(file)
    if is_dicom(start):
        return why_no_photograph(start)
    return "" if _begins_like_an_image(start) else "without a suffix or the content of an image"


def _begins_like_an_image(start: bytes) -> bool:
    return start.startswith(_SIGNATURES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def find_images(given: Iterable[Path], skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Yield the images that a user names, with those in folders and lists.

    A folder stands for the images in it and in the folders below it, sorted, without hidden files. A table (.csv, .tsv,
    .txt, .xlsx) is a list: its image column names images by paths that are absolute or relative to the table's folder
    or to the current folder. The tables that predict and grade write are such lists. A DICOM file with several frames
    stands for all of them, each with a path such as eye.dcm/frame-2.

    Args:
        given: photographs, folders and lists.
        skipped: gets each file of a folder that is passed over; None: nothing is recorded.

    Raises:
        KerasDrError: a folder or list cannot be read, or has no images.
    """
    skipped = skipped or SkippedFiles()
    for path in given:
        before = skipped.counts.copy()
        if _holds(path.is_dir):
            kind = "folder"
            images = walk_images(path, skipped=skipped)
        elif is_list(path):
            kind = "list"
            images = (image for image, _, _ in list_rows(path))
        elif _holds(path.exists) and not _holds(path.is_file):  # reading a pipe would wait for ever
            raise KerasDrError(f"{printable(path)} is neither a file nor a folder.", "Name a photograph.")
        else:
            yield from expand_frames(path)
            continue
        empty = True
        for image in images:
            empty = False
            yield from expand_frames(image)
        if empty:
            passed = [f"{count} {reason}" for reason, count in (skipped.counts - before).items()]
            message = f"The {kind} {path} has no images ({', '.join(IMAGE_SUFFIXES)})."
            if passed:
                message += f" Files that were passed over: {'; '.join(passed)}."
            raise KerasDrError(message, "Name another folder or list, or the photographs themselves.")


def check_any_exists(given: Sequence[Path]) -> None:
    """Refuse names of which none exists, such as one mistyped folder, before their results replace others.

    Raises:
        KerasDrError: no file or folder has any of the names.
    """
    if given and not any(os.path.lexists(split_frame(path)[0]) for path in given):
        more = f", and none of the {len(given)} that were named exists" if given[1:] else ""
        raise KerasDrError(f"There is no file or folder {shown(given[0])}{more}.", "Correct the path.")


def walk_files(folder: Path, depth: int, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """Yield every file in a folder and in the folders below it, sorted by name; hidden folders are left out.

    Links to folders are followed. Folders that cannot be read are passed over.

    Args:
        folder: where to begin.
        depth: number of levels of folders below it.
        enter: a function that returns whether a folder with this name is entered.
    """
    try:
        entries = _sorted_entries(folder)
    except OSError:
        return
    for entry in entries:
        if not _holds(entry.is_dir):
            yield Path(entry)
        elif depth and not entry.name.startswith(".") and enter(entry.name):
            yield from walk_files(Path(entry), depth - 1, enter)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as stream:
        return sorted(stream, key=lambda entry: entry.name)


def walk_images(folder: Path, skip_unreadable: bool = False, skipped: SkippedFiles | None = None) -> Iterator[Path]:
    """Yield every image in a folder and in the folders below it, sorted, without hidden files.

    Unlike `walk_files`, it goes to any depth, does not follow links to folders, and records what it passes over.

    Args:
        folder: where to begin.
        skip_unreadable: whether folders that cannot be read are passed over.
        skipped: gets each file that is passed over; None: nothing is recorded.

    Raises:
        KerasDrError: a folder cannot be read, and `skip_unreadable` is false.
    """
    skipped = skipped if skipped is not None else SkippedFiles()
    try:
        entries = _sorted_entries(folder)
    except OSError as error:
        if skip_unreadable:
            skipped.add(folder, "unreadable (folders)")
            return
        message = f"The folder {folder} cannot be read: {error.strerror or error}."
        raise KerasDrError(message, "Correct its permissions, or name another folder.") from error
    for entry in entries:
        path = Path(entry)
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from walk_images(path, skip_unreadable, skipped)
        elif _holds(entry.is_dir):
            skipped.add(path, "linked and not followed (folders)")
        elif not _holds(entry.is_file):
            is_link = entry.is_symlink()
            skipped.add(path, "links that lead to no file" if is_link else "neither a file nor a folder")
        elif reason := why_no_image(path):
            skipped.add(path, reason)
        else:
            yield path


def _holds(check: Callable[[], bool]) -> bool:
    """Return what a check of a file returns; False for a link in a circle, or to where the user has no permission."""
    try:
        return check()
    except OSError:
        return False


def resolved(path: Path) -> Path:
    """Return a path without links; as it is, but absolute, if its links lead nowhere or no file can have its name."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return path.absolute()


def list_rows(file: Path) -> Iterator[tuple[Path, "TableRow", "Header"]]:
    """Yield each photograph that a table names, with its row and the header of the table.

    Args:
        file: the table, see `is_list`.

    Raises:
        KerasDrError: the table cannot be read, or has no column for the photographs.
    """
    from keras_dr.core.tables import open_table

    with open_table(file) as (header, rows):
        columns = header.find(IMAGE_COLUMNS)
        if not columns:
            remedy = "Rename that column to image."
            if first_line_is_data(header):
                remedy = "Add a line above it that says: image."
            raise KerasDrError(no_column(header, "photographs", "image"), remedy)
        first = list(islice(rows, _SAMPLE_ROWS))
        column = _column_of_files(columns, first, file.parent)
        for row in chain(first, rows):
            if row.text(column):
                with row.named():
                    yield _named_file(file.parent, row[column]), row, header


def first_line_is_data(header: "Header") -> bool:
    """Whether the first line of a table does not name columns but a photograph."""
    return any(PurePath(name).suffix.lower() in IMAGE_SUFFIXES for name in header.named)


def no_column(header: "Header", what: str, example: str) -> str:
    """Return the sentence that says which column a table lacks and which columns it has.

    Args:
        header: the table's header.
        what: what the column should hold.
        example: a name that the column may have.
    """
    if first_line_is_data(header):
        names = ", ".join(header.named)
        return f"The first line of {header.file} must name columns, but it names a photograph ({names})."
    columns = ", ".join(header.named) or "no named column"
    return f"{header.file} has no known column for the {what}, such as a column named {example}; it has {columns}."


def _column_of_files(columns: Sequence[str], rows: Sequence["TableRow"], folder: Path) -> str:
    """Return the first column that names a file that exists, or the first column if none does."""
    for column in columns:
        if any(row.text(column) and _is_file(_named_file(folder, row[column])) for row in rows):
            return column
    return columns[0]


def _named_file(folder: Path, name: str) -> Path:
    """Return the file that a list names, with or without its suffix.

    The path is relative to the list's folder, or else to the current folder.

    Raises:
        KerasDrError: two files differ only in their suffix, or the name is a path of a Windows computer.
    """
    from keras_dr.core.tables import plain_number

    for spelling in dict.fromkeys((name, name.replace("\\", "/"), plain_number(name))):
        for base in (folder, Path()):
            path = base / spelling
            if _is_file(path):
                return path
            if path.suffix.lower() in IMAGE_SUFFIXES or not path.name:
                continue
            candidates = [path.with_name(path.name + suffix) for suffix in IMAGE_SUFFIXES]
            files = [file for file in candidates if _is_file(file)]
            if len(files) > 1:
                message = f"{name!r} may be {files[0].name} or {files[1].name}"
                raise KerasDrError(message, "Write the suffix into the list.")
            if files:
                return files[0]
    if os.name != "nt" and PureWindowsPath(name).drive:
        raise KerasDrError(f"{name!r} is a path of a Windows computer", "Write paths relative to the list.")
    return folder / name


def _is_file(path: Path) -> bool:
    """Whether a file or a frame's file exists; False also for a name that no file can have."""
    try:
        return _holds(split_frame(path)[0].is_file)
    except ValueError:
        return False
