"""Checks where a result may be written: never over an input, and over another file only if the user asks for it.

A file that the same command wrote for the same purpose may be replaced; it is recognised by its content.
"""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from keras_dr.core.dicom_files import read_start
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS, check_writable
from keras_dr.core.image_files import printable, resolved
from keras_dr.core.png_marks import is_drawn

TABLE_FORMATS = (".csv", ".xlsx", ".parquet")
_OTHER_NAME = "Choose another name."
_LONGEST_JSON = 1 << 28  # bytes; longer JSON files are not read to recognise them
Known = Callable[[Path], bool]


def check_output(
    file: Path,
    formats: Sequence[str],
    *,
    inputs: Iterable[Path] = (),
    known: Known = lambda file: False,
    overwrite: bool = False,
) -> None:
    """Check before the work whether a result may be written to a file.

    Args:
        file: the file to write.
        formats: the suffixes of the formats that can be written.
        inputs: files and folders that the command reads. A result must not replace them, nor lie in one of these
            folders that is itself a result (a Prepared set, a Run, a Bundle).
        known: a function that returns whether an existing file was written by this command for this purpose, as
            `is_table` and others make it.
        overwrite: whether any other existing file is replaced.

    Raises:
        KerasDrError: the suffix is not one of `formats`, the file is an input or a folder, its folder does not exist,
            another file exists there, or nothing can be written there.
    """
    name = printable(file)
    if file.suffix.lower() not in formats:
        message = f"The result {name} must have one of the suffixes {', '.join(formats)}."
        raise KerasDrError(message, "Choose a name with one of them.")
    check_apart(file, inputs)
    if file.is_dir():
        raise KerasDrError(f"The result {name} cannot be written, because it is an existing folder.", _OTHER_NAME)
    if not file.parent.is_dir():
        message = f"The result {name} cannot be written, because there is no folder {printable(file.parent)}."
        raise KerasDrError(message, "Create it first.")
    if file.exists() and not overwrite and not known(file):
        message = f"The file {name} already exists, and this command did not write it for this purpose."
        raise KerasDrError(message, "Choose another name, or pass --overwrite to replace it.")
    check_place(file)


def check_place(file: Path) -> None:
    """Check before the work, by a file that is made beside it and removed, that a result can be written.

    Args:
        file: the file to write; its folder exists.

    Raises:
        KerasDrError: the folder cannot be written, or the name is too long.
    """
    try:
        check_writable(file)
    except OSError as error:
        message = f"The result {printable(file)} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that is writable and has free space.") from error


def check_apart(place: Path, inputs: Iterable[Path]) -> None:
    """Refuse a result that would replace an input, or lie inside a result (such as a Prepared set) that is read.

    Args:
        place: the file or folder to write.
        inputs: the files and folders that the command reads.

    Raises:
        KerasDrError: the result would replace an input or lie inside one.
    """
    target = resolved(place)
    results: set[Path] = set()
    parents: set[Path] = set()
    for given in inputs:
        if target == resolved(given) or is_same_file(place, given):
            message = f"The result {printable(place)} would replace an input of this command."
            raise KerasDrError(message, f"{_OTHER_NAME} Inputs are never replaced.")
        results |= {given} if is_result(given) else set()
        parents.add(given.parent)
    results |= {result for parent in parents if (result := _enclosing_result(resolved(parent)))}
    for result in sorted(results):
        if target.is_relative_to(resolved(result)):
            message = f"The result {printable(place)} would lie inside {printable(result)}, an input of this command."
            raise KerasDrError(message, "Choose a name outside of it.")


def _enclosing_result(folder: Path) -> Path | None:
    """Return the Prepared set, bundle or folder of predictions that a folder is or lies in; None if there is none."""
    names = [MANIFESTS[kind] for kind in ("prepared", "bundle", "predictions")]
    return next((place for place in (folder, *folder.parents) if any((place / name).is_file() for name in names)), None)


def check_holds_no_input(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace a whole folder that is an input of the command, or that holds one.

    Args:
        folder: the folder to write; nothing is refused while it does not exist.
        inputs: the files and folders that the command reads.

    Raises:
        KerasDrError: the folder is an input or holds one.
    """
    if not folder.exists():
        return
    target = resolved(folder)
    for given in inputs:
        if is_same_file(folder, given) or resolved(given).is_relative_to(target):
            message = f"The result {printable(folder)} would replace a folder that holds an input of this command: "
            raise KerasDrError(f"{message}{printable(given)}.", f"{_OTHER_NAME} Inputs are never replaced.")


def is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to the same file, also through links."""
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one does not exist, or no file can have its name
        return False


def is_result(folder: Path) -> bool:
    """Whether a folder is a result: a Prepared set, a Run, a Bundle, or another kind in `folders.MANIFESTS`."""
    return any((folder / name).is_file() for name in MANIFESTS.values())


def is_table(columns: Collection[str], further: Collection[str] = (), prefixes: tuple[str, ...] = ()) -> Known:
    """Return a function that recognises a CSV file, a workbook or a Parquet file by its header.

    The file must have all the columns, and no unknown one: a user's own table may have some of them too.

    Args:
        columns: the columns that the command always writes.
        further: those that it may write.
        prefixes: the beginnings of the names of others that it may write.
    """

    def known(file: Path) -> bool:
        try:
            cells = _HEADERS.get(file.suffix.lower(), _csv_header)(file)
        except (OSError, ValueError, csv.Error, KerasDrError, ImportError):
            return False
        others = [cell for cell in cells if cell not in columns and cell not in further]
        return set(columns) <= set(cells) and all(prefixes and cell.startswith(prefixes) for cell in others)

    return known


def _csv_header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        line = stream.readline(1 << 16)
    return next(csv.reader([line], delimiter=_delimiter(line)), [])


def _workbook_header(file: Path) -> list[str]:
    from keras_dr.core.workbooks import workbook_rows

    return next((cells for _, cells in workbook_rows(file)), [])


def _parquet_header(file: Path) -> list[str]:
    from pyarrow import parquet

    names: list[str] = parquet.read_schema(file).names
    return names


_HEADERS: dict[str, Callable[[Path], list[str]]] = {".xlsx": _workbook_header, ".parquet": _parquet_header}


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def is_json(kind: str) -> Known:
    """Return a function that recognises a JSON file by its key "kind"."""

    def known(file: Path) -> bool:
        try:
            if file.stat().st_size > _LONGEST_JSON:
                return False
            content = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and content.get("kind") == kind

    return known


def is_png(purpose: str) -> Known:
    """Return a function that recognises a PNG file that `mark_png` marked with this purpose."""
    return lambda file: is_drawn(read_start(file), purpose)


def known_by_suffix(**known: Known) -> Known:
    """Return a function that recognises a file by the function for its suffix.

    Args:
        known: suffix without its dot -> function: `known_by_suffix(csv=is_table(...), json=is_json(...))`.
    """

    def known_file(file: Path) -> bool:
        recognise = known.get(file.suffix.lower().lstrip("."))
        return recognise is not None and recognise(file)

    return known_file
