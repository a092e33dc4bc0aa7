"""The photographs below a folder, found by the names that a table has for them; never by a guess between two."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES, why_no_image
from keras_dr.core.tables import plain_number
from keras_dr.datasets.naming import is_mask_folder, split_of_folder

_DEPTH = 6
_LONG_NUMBER = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)  # what Excel makes of a number of 12 digits or more


class PhotographIndex:
    """The photographs in a folder and six levels below; masks and hidden folders left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: dict[str, set[str]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._by_number: dict[str, list[Path]] = {}
        for path in _photographs(root, _DEPTH):
            stem = image_stem(path.name)
            self._by_stem.setdefault(_key(stem), []).append(path)
            if stem.isascii() and stem.isdigit():
                self._by_number.setdefault(stem.lstrip("0"), []).append(path)

    def find(self, name: str, split: str = "") -> Path:
        """The photograph of this name: relative to the folder, or alone; with, without or with another suffix.

        A name that nothing bears comes back as a path in the folder: `prepare` lists it as unreadable.

        Args:
            name: as the table has it.
            split: of the photograph; among folders that are splits by their names, its own is meant.

        Raises:
            KerasDrError: no name, one that no file can have or that leads out of the folder, one that several
                photographs bear, or one that a spreadsheet has spoiled.
        """
        parts = checked_parts(name)
        exact = self.root.joinpath(*parts)
        if is_file(exact):
            return exact
        for written in dict.fromkeys((parts[-1], plain_number(parts[-1]))):
            found = self._best(parts[:-1], written, split)
            if found:
                return self._one_of(found, name)
        self._refuse_spoiled(name)
        return exact

    def _best(self, folders: Sequence[str], name: str, split: str) -> list[Path]:
        """Those that bear a name best: to the letter, without suffix, in another Unicode form, in any case."""
        stem = image_stem(name)
        candidates = [
            path for path in self._by_stem.get(_key(stem), []) if _inside(path.relative_to(self.root).parts, folders)
        ]
        own = [path for path in candidates if split and split in _splits_above(path, self.root)]
        candidates = own or candidates
        normal = unicodedata.normalize("NFC", stem)
        levels = (
            lambda path: path.name == name,
            lambda path: image_stem(path.name) == stem,
            lambda path: unicodedata.normalize("NFC", image_stem(path.name)) == normal,
            lambda path: True,
        )
        notes = ("", "", "in another Unicode form (NFC, NFD) than the files", "in another case than the files")
        for fits, note in zip(levels, notes, strict=True):
            found = [path for path in candidates if fits(path)]
            if found:
                if note:
                    self.notes.setdefault(note, set()).add(name)
                return found
        return []

    def _one_of(self, found: Sequence[Path], name: str) -> Path:
        first = found[0]
        others = [path for path in found[1:] if not _same_file(first, path)]
        if others:
            shown = [path.relative_to(self.root).as_posix() for path in (first, others[0])]
            message = f"The photograph {name!r} may be {shown[0]} or {shown[1]}"
            remedy = "Name the folder that is meant with --images FOLDER, or write the path into the table."
            raise KerasDrError(message, remedy)
        return first

    def _refuse_spoiled(self, name: str) -> None:
        """Say what a spreadsheet has made of a name that no photograph bears."""
        stem = image_stem(plain_number(name))
        if stem.isascii() and stem.isdigit():
            bearing = [path for path in self._by_number.get(stem.lstrip("0"), []) if path.stem != stem]
            if bearing:
                message = f"The photograph {name!r} is not there, but {bearing[0].name} is: leading zeros were lost"
                remedy = "A spreadsheet does that to numbers; write the names as text, with their zeros."
                raise KerasDrError(message, remedy)
        if _LONG_NUMBER.fullmatch(stem):
            message = f"The photograph {name!r} is a long number that a spreadsheet has rounded"
            raise KerasDrError(message, "Write the names as text, with all their digits.")


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of a name inside a data set's folder.

    Raises:
        KerasDrError: no name, one that no file can have, or one that leads out of the folder.
    """
    path = name.replace("\\", "/")
    parts = PurePosixPath(path).parts
    cause = ""
    if PureWindowsPath(path).drive:
        cause = ", but a path of a Windows computer"
    elif path.startswith("/"):
        cause = ", but a path from the root of a computer"
    elif ".." in parts:
        cause = ", but leads out of it"
    elif not parts or "\0" in path:
        cause = ", and no file can bear it"
    if cause:
        message = f"An image name must lie inside the data set's folder; this one is not{cause}: {name!r}"
        raise KerasDrError(message, "Write it relative to that folder, with /.")
    return parts


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is no error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def image_stem(name: str) -> str:
    """The name without the suffix of an image file; other dots belong to it."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def _photographs(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as stream:
            entries = sorted(stream, key=lambda one: one.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if not why_no_image(Path(entry)):
                yield Path(entry)
        elif depth and not is_mask_folder(entry.name):
            yield from _photographs(Path(entry), depth - 1)


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _inside(parts: Sequence[str], folders: Sequence[str]) -> bool:
    """Whether a path's last folders are these, in any case."""
    above = [_key(part) for part in parts[:-1]]
    return not folders or above[-len(folders) :] == [_key(part) for part in folders]


def _splits_above(path: Path, root: Path) -> set[str]:
    return {split_of_folder(part) for part in path.relative_to(root).parts[:-1]} - {""}


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
