"""Tables with labels, and the photographs that they name, for the adapters of published data sets."""

from collections.abc import Iterable
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES
from keras_dr.core.tables import Header, TableRow, fold, read_header, read_table
from keras_dr.datasets.photograph_index import checked_parts, image_stem, is_file

__all__ = ["TableRow", "find_image", "folders_below", "has_columns", "image_stem", "pick_column", "read_table"]
_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def has_columns(file: Path, *groups: Iterable[str]) -> bool:
    """Whether there is such a table and it has one column of each group of names."""
    header = read_header(file) if file.is_file() else None
    present = {fold(name) for name in header.named} if header else set()
    return all(present & {fold(name) for name in group} for group in groups)


def pick_column(header: Header, names: tuple[str, ...]) -> str:
    """The first of these columns that the table has.

    Raises:
        KerasDrError: it has none of them, or two of one name.
    """
    column = find_column(header, names)
    if column is None:
        has = ", ".join(header.named)
        raise KerasDrError(
            f"{header.file} has no column named {' or '.join(names)}; it has {has}.", "Rename the column."
        )
    return column


def find_column(header: Header, names: tuple[str, ...]) -> str | None:
    """The first of these columns that the table has; None where it has none of them."""
    found = header.find(names)
    return found[0] if found else None


def find_image(folders: Iterable[Path], name: str) -> Path:
    """The photograph of this name, with, without or with another image suffix, in the first folder that has it.

    A name that no folder has comes back as a path in the first folder: `prepare` lists it as unreadable.

    Raises:
        KerasDrError: no name, one that no file can have, or one that leads out of the folders.
    """
    checked_parts(name)
    name = name.replace("\\", "/")
    folders = list(folders)
    stem = image_stem(name)
    for folder in folders:
        for candidate in (name, *(stem + suffix for suffix in _SUFFIXES)):
            if is_file(folder / candidate):
                return folder / candidate
    return folders[0] / name


def folders_below(source: Path, depth: int = 2) -> list[Path]:
    """The folder itself and those in it, `depth` levels down, sorted; masks and hidden ones left out."""
    inside = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "masks")
    return [source] + [below for path in inside for below in (folders_below(path, depth - 1) if depth > 1 else [path])]
