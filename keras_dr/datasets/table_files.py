"""Which tables of a folder are read: the only table, or several whose names say that they are splits."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import is_prepared_set
from keras_dr.core.tables import TABLE_SUFFIXES, fold, read_header
from keras_dr.datasets.columns import has_needed_columns
from keras_dr.datasets.naming import split_of_table
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import SPLITS

_LEVELS = 2  # of folders below SOURCE that are searched if SOURCE itself has no table


def tables_of(source: Path) -> list[Path]:
    """Return the tables in a folder; if it has none, those on the first level below it that has any, of two levels."""
    folders = [source]
    tables = _tables_in(folders)
    for _ in range(_LEVELS):
        if tables:
            break
        inside = (path for folder in folders for path in folder.iterdir())
        folders = sorted(path for path in inside if path.is_dir() and path.name[0] not in "._" and path.name != "masks")
        folders = [path for path in folders if not is_prepared_set(path)]  # prepared into the source
        tables = _tables_in(folders)
    return tables


def _tables_in(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.iterdir()) if _is_table(path)]


def _is_table(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in TABLE_SUFFIXES and suffix != ".txt" and path.name[0] not in ".~" and path.is_file()


def usable_tables(tables: Sequence[Path], options: SourceOptions) -> list[Path]:
    """Return the tables with the needed columns, except a competition's sample_submission, whose classes are made up.

    Args:
        tables: the files.
        options: columns that the user named.
    """
    usable = []
    for file in tables:
        header = None if fold(file.stem).startswith("samplesubmission") else read_header(file)
        if header and has_needed_columns(header, options):
            usable.append(file)
    return usable


def tables_to_read(source: Path, options: SourceOptions) -> tuple[dict[Path, str], list[Path]]:
    """Return the tables of a source that are read together, and the others.

    Args:
        source: a table, or a folder.
        options: columns that the user named.

    Returns:
        A dictionary from each table that is read to the split in its name ("" if only one table is read), and a list of
        the other tables.

    Raises:
        KerasDrError: no table can be read, or it is not clear which of several is meant.
    """
    if source.is_file():
        return {source: ""}, []
    tables = tables_of(source)
    usable = usable_tables(tables, options) or (tables if len(tables) == 1 else [])
    others = [file for file in tables if file not in usable]
    splits = {file: split_of_table(file.stem) for file in usable}
    if not usable:
        names = ", ".join(file.name for file in tables)
        needed = "a column for the photographs and a column for the class"
        message = f"No table in {source} has {needed}" + (f": {names}." if names else ".")
        raise KerasDrError(message, "Name the CSV or Excel file itself as SOURCE, and its columns.")
    if len(usable) > 1 and (not all(splits.values()) or len(set(splits.values())) < len(splits)):
        names = " and ".join(file.relative_to(source).as_posix() for file in usable[:4])
        message = f"{source} holds {len(usable)} tables that could be read, {names}; only one can be meant."
        raise KerasDrError(message, "Name the CSV or Excel file itself as SOURCE.")
    in_order = {file: split for name in SPLITS for file, split in splits.items() if split == name}
    return (in_order if len(usable) > 1 else {usable[0]: ""}), others
