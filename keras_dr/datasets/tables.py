"""Tables of labels, and the photographs that they name; for the adapters of published data sets."""

from collections.abc import Iterable
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES
from keras_dr.core.tables import Header, TableRow, fold, read_header, read_table
from keras_dr.datasets.photograph_index import checked_parts, image_stem, is_file

__all__ = ["TableRow", "find_image", "folders_below", "has_columns", "image_stem", "pick_column", "read_table"]
_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def has_columns(file: Path, *groups: Iterable[str]) -> bool:
    """Whether a table exists and has a column from each group of names.

    Args:
        file: the table.
        groups: each holds the names that one column may have.
    """
    header = read_header(file) if file.is_file() else None
    present = {fold(name) for name in header.named} if header else set()
    return all(present & {fold(name) for name in group} for group in groups)


def pick_column(header: Header, names: tuple[str, ...]) -> str:
    """Return the first of these columns that the table has.

    Args:
        header: the table's header.
        names: the names that the column may have.

    Raises:
        KerasDrError: the table has none of them, or two columns of the same name.
    """
    column = find_column(header, names)
    if column is None:
        has = ", ".join(header.named)
        raise KerasDrError(
            f"{header.file} has no column named {' or '.join(names)}; it has {has}.", "Rename the column."
        )
    return column


def find_column(header: Header, names: tuple[str, ...]) -> str | None:
    """Return the first of these columns that the table has; None if it has none of them."""
    columns = header.find(names)
    return columns[0] if columns else None


def find_image(folders: Iterable[Path], name: str) -> Path:
    """Return the photograph with this name in the first folder that has it; its image suffix may be missing or differ.

    For a name that no folder has, the result is a path in the first folder: `prepare` lists it as unreadable.

    Args:
        folders: where to look.
        name: the file's name, as the table has it.

    Raises:
        KerasDrError: the name is empty, no file can have it, or it leads out of the folders.
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
    """Return a folder and the folders in it, sorted; folders of masks and hidden folders are left out.

    Args:
        source: the folder.
        depth: number of levels below it.
    """
    folders = [source]
    if depth > 0:
        for path in sorted(source.iterdir()):
            if path.is_dir() and path.name[0] != "." and path.name != "masks":
                folders += folders_below(path, depth - 1)
    return folders
