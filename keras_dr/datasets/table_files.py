"""Which tables of a folder are read: the only one, or those that are splits by their names."""

from collections.abc import Sequence
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.tables import TABLE_SUFFIXES, fold, read_header
from keras_dr.datasets.columns import has_needed_columns
from keras_dr.datasets.naming import split_of_table
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import SPLITS

_LEVELS = 2  # folders below SOURCE in which a table is sought where none lies in SOURCE itself


def tables_of(source: Path) -> list[Path]:
    """The tables in a folder; where it has none itself, those in the folders there, two levels down."""
    found = sorted(path for path in source.iterdir() if _is_table(path))
    level = [source]
    for _ in range(0 if found else _LEVELS):
        inside = (path for folder in level for path in folder.iterdir())
        level = sorted(path for path in inside if path.is_dir() and path.name[0] not in "._" and path.name != "masks")
        found = [path for folder in level for path in sorted(folder.iterdir()) if _is_table(path)]
        if found:
            break
    return found


def _is_table(path: Path) -> bool:
    kind = path.suffix.lower() in TABLE_SUFFIXES and path.suffix.lower() != ".txt"
    return kind and path.name[0] not in ".~" and path.is_file()


def usable_tables(tables: Sequence[Path], options: SourceOptions) -> list[Path]:
    """The tables with the needed columns; a competition's sample_submission is none, its classes are made up."""
    found = []
    for file in tables:
        header = None if fold(file.stem).startswith("samplesubmission") else read_header(file)
        if header and has_needed_columns(header, options):
            found.append(file)
    return found


def tables_to_read(source: Path, options: SourceOptions) -> tuple[dict[Path, str], list[Path]]:
    """The tables of a source that are read together, and those that are not.

    Args:
        source: a table, or a folder.
        options: columns that a person named.

    Returns:
        Table -> the split that its name says, "" for the only one; and the other tables.

    Raises:
        KerasDrError: none can be read, or several may be meant.
    """
    if source.is_file():
        return {source: ""}, []
    tables = tables_of(source)
    usable = usable_tables(tables, options) or (tables if len(tables) == 1 else [])
    others = [file for file in tables if file not in usable]
    splits = {file: split_of_table(file.stem) for file in usable}
    if not usable:
        found = ", ".join(file.name for file in tables) or "no table"
        message = f"{source} holds {found}, and none with a column for the photographs and one for the class."
        raise KerasDrError(message, "Name the CSV or Excel file itself as SOURCE, and its columns.")
    if len(usable) > 1 and (not all(splits.values()) or len(set(splits.values())) < len(splits)):
        names = " and ".join(file.relative_to(source).as_posix() for file in usable[:4])
        message = f"{source} holds {len(usable)} tables that may be meant: {names}."
        raise KerasDrError(message, "Name the CSV or Excel file itself as SOURCE.")
    in_order = {file: split for name in SPLITS for file, split in splits.items() if split == name}
    return (in_order if len(usable) > 1 else {usable[0]: ""}), others
