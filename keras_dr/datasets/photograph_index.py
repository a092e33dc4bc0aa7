"""The photographs below a folder, found by the names that a table has for them; ambiguous names are refused."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES, walk_files, why_no_image
from keras_dr.core.tables import plain_number
from keras_dr.datasets.naming import is_mask_folder, split_of_folder

_DEPTH = 6
_LONG_NUMBER = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)  # Excel writes numbers of 12 digits or more so


class UnclearNameError(KerasDrError):
    """A name clearly means a photograph, but it does not show which file."""


class PhotographIndex:
    """The photographs in a folder and in the folders down to six levels below, except masks and hidden files.

    Attributes:
        root: the folder.
        notes: how a name was written -> the names that were found although they were written so.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: dict[str, set[str]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._by_number: dict[str, list[Path]] = {}
        for path in walk_files(root, _DEPTH, enter=lambda name: not is_mask_folder(name)):
            if why_no_image(path):
                continue
            stem = image_stem(path.name)
            self._by_stem.setdefault(_key(stem), []).append(path)
            if stem.isascii() and stem.isdigit():
                self._by_number.setdefault(stem.lstrip("0"), []).append(path)

    def find(self, name: str, split: str = "") -> Path:
        """Return the photograph with this name, which may be a path in the folder or only the file's name.

        The suffix may be missing or differ. For a name that no photograph has, the result is a path in the folder:
        `prepare` lists it as unreadable.

        Args:
            name: the name in the table.
            split: the split of the photograph; photographs in a folder named after this split are preferred.

        Raises:
            KerasDrError: the name is empty, no file can have it, it leads out of the folder, several photographs have
                it, or a spreadsheet has changed it.
        """
        parts = checked_parts(name)
        exact = self.root.joinpath(*parts)
        if is_file(exact):
            return exact
        for spelling in dict.fromkeys((parts[-1], plain_number(parts[-1]))):
            matches = self._best_matches(parts[:-1], spelling, split)
            if matches:
                return self._only_file(matches, name)
        self._refuse_changed(name)
        return exact

    def _best_matches(self, folders: Sequence[str], name: str, split: str) -> list[Path]:
        """Return the photographs whose names match best.

        In order of preference, names are equal, equal without suffixes, equal in another Unicode form, or equal except
        for upper and lower case.
        """
        stem = image_stem(name)
        candidates = [
            path for path in self._by_stem.get(_key(stem), []) if _inside(path.relative_to(self.root).parts, folders)
        ]
        in_split = [path for path in candidates if split and split in _splits_above(path, self.root)]
        candidates = in_split or candidates
        normal = unicodedata.normalize("NFC", stem)
        levels = (
            lambda path: path.name == name,
            lambda path: image_stem(path.name) == stem,
            lambda path: unicodedata.normalize("NFC", image_stem(path.name)) == normal,
            lambda path: True,
        )
        notes = ("", "", "in another Unicode form (NFC, NFD) than the files", "in another case than the files")
        for fits, note in zip(levels, notes, strict=True):
            matches = [path for path in candidates if fits(path)]
            if matches:
                if note:
                    self.notes.setdefault(note, set()).add(name)
                return matches
        return []

    def _only_file(self, matches: Sequence[Path], name: str) -> Path:
        """Return the file that all matches lead to.

        Raises:
            KerasDrError: they are different files.
        """
        first = matches[0]
        others = [path for path in matches[1:] if not _is_same_file(first, path)]
        if others:
            shown = [path.relative_to(self.root).as_posix() for path in (first, others[0])]
            message = f"The photograph {name!r} may be {shown[0]} or {shown[1]}"
            remedy = "Choose the folder with --images FOLDER, or write paths into the table."
            raise UnclearNameError(message, remedy)
        return first

    def _refuse_changed(self, name: str) -> None:
        """Refuse a name that no photograph has because a spreadsheet changed it."""
        stem = image_stem(plain_number(name))
        if stem.isascii() and stem.isdigit():
            same_number = [path for path in self._by_number.get(stem.lstrip("0"), []) if path.stem != stem]
            if same_number:
                file = same_number[0].name
                message = f"The photograph {name!r} does not exist, but {file} does: leading zeros were lost"
                remedy = "Spreadsheets drop the leading zeros of numbers; write the names as text, with their zeros."
                raise UnclearNameError(message, remedy)
        if _LONG_NUMBER.fullmatch(stem):
            message = f"The name {name!r} is a long number that a spreadsheet has rounded"
            raise KerasDrError(message, "Write the names as text, with all their digits.")


def checked_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path that must lie inside a data set's folder.

    Args:
        name: the path, as a table has it, with / or \\ between its parts.

    Raises:
        KerasDrError: the name is empty, no file can have it, or it leads out of the folder.
    """
    path = name.replace("\\", "/")
    parts = PurePosixPath(path).parts
    cause = ""
    if PureWindowsPath(path).drive:
        cause = "is a path of a Windows computer"
    elif path.startswith("/"):
        cause = "is an absolute path"
    elif ".." in parts:
        cause = "leads out of that folder"
    elif not parts:
        cause = "is empty"
    elif "\0" in path:
        cause = "contains a NUL character"
    if cause:
        message = f"Image names must lead to files inside the data set's folder, but {name!r} {cause}"
        raise KerasDrError(message, "Write it relative to that folder, with /.")
    return parts


def is_file(path: Path) -> bool:
    """Whether a file exists; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def image_stem(name: str) -> str:
    """Return a file name without the suffix of an image format; it may contain other dots."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _inside(parts: Sequence[str], folders: Sequence[str]) -> bool:
    """Whether the last folders of a path are these; upper and lower case are equal."""
    above = [_key(part) for part in parts[:-1]]
    return not folders or above[-len(folders) :] == [_key(part) for part in folders]


def _splits_above(path: Path, root: Path) -> set[str]:
    return {split_of_folder(part) for part in path.relative_to(root).parts[:-1]} - {""}


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
