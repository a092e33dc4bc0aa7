"""Where a result may be written: never over an input, and over another file only where that is asked for.

A file that the same command wrote for the same purpose may be replaced: it is known by its content.
"""

import csv
import json
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS
from keras_dr.core.image_files import printable

TABLE_FORMATS = (".csv", ".xlsx", ".parquet")
_OTHER_NAME = "Choose another name."
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  # of a PNG: its signature and the chunk IHDR
_LONGEST_JSON = 1 << 28  # bytes that are read to know a JSON file again
Known = Callable[[Path], bool]


def check_output(
    file: Path,
    formats: Sequence[str],
    *,
    inputs: Iterable[Path] = (),
    known: Known = lambda file: False,
    overwrite: bool = False,
) -> None:
    """Find out before the work whether a result may be written to a file.

    Args:
        file: where to write.
        formats: suffixes that say how.
        inputs: files and folders that the command reads; a result lies neither in their place nor in a folder of them
            that is itself a result (a Prepared set, a Run, a Bundle).
        known: whether a file that is there was written by this command for this purpose, see `is_table` and others.
        overwrite: replace another file.

    Raises:
        KerasDrError: another suffix, an input, a folder, no folder to hold it, or a file of something else.
    """
    name = printable(file)
    if file.suffix.lower() not in formats:
        message = f"The ending of {name} is none of the formats that can be written here: {', '.join(formats)}."
        raise KerasDrError(message, "Choose a name that ends in one of them.")
    check_apart(file, inputs)
    if file.is_dir():
        raise KerasDrError(f"The result {name} cannot be written: there is a folder of that name.", _OTHER_NAME)
    if not file.parent.is_dir():
        message = f"The result {name} cannot be written: there is no folder {printable(file.parent)}."
        raise KerasDrError(message, "Make it first.")
    if file.exists() and not overwrite and not known(file):
        message = f"There is a file {name} already, which this command did not write for this purpose."
        raise KerasDrError(message, "Choose another name, or pass --overwrite to replace it.")


def check_apart(place: Path, inputs: Iterable[Path]) -> None:
    """Refuse to write a result in the place of an input, or into a result (such as a Prepared set) that is read.

    Raises:
        KerasDrError: it would.
    """
    found = place.resolve()
    results: set[Path] = set()
    parents: set[Path] = set()
    for given in inputs:
        if found == given.resolve() or is_same_file(place, given):
            message = f"The result {printable(place)} would take the place of an input of this command."
            raise KerasDrError(message, f"{_OTHER_NAME} Inputs are never replaced.")
        results |= {given} if is_result(given) else set()
        parents.add(given.parent)
    results |= {result for parent in parents if (result := _enclosing_result(parent.resolve()))}
    for result in sorted(results):
        if found.is_relative_to(result.resolve()):
            message = f"The result {printable(place)} would lie inside {printable(result)}, an input of this command."
            raise KerasDrError(message, "Choose a name outside of it.")


def _enclosing_result(folder: Path) -> Path | None:
    """The result that a folder is or lies in, of the kinds whose files other commands are given: a Prepared set, ..."""
    names = [MANIFESTS[kind] for kind in ("prepared", "bundle", "predictions")]
    return next((place for place in (folder, *folder.parents) if any((place / name).is_file() for name in names)), None)


def check_holds_no_input(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace a whole folder that is an input of the command, or in which one lies.

    Raises:
        KerasDrError: it is, or one does.
    """
    if not folder.exists():
        return
    found = folder.resolve()
    for given in inputs:
        if is_same_file(folder, given) or _lies_in(given, found):
            message = f"The result {printable(folder)} would replace a folder that holds an input of this command: "
            raise KerasDrError(f"{message}{printable(given)}.", f"{_OTHER_NAME} Inputs are never replaced.")


def _lies_in(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):  # no name that a file can have, or links in a circle
        return False


def is_same_file(first: Path, second: Path) -> bool:
    """Whether two names lead to one file, through links as well."""
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one of them is not there, or no name that a file can have
        return False


def is_result(folder: Path) -> bool:
    """Whether a folder is a result: a Prepared set, a Run, a Bundle or another one of `folders.MANIFESTS`."""
    return any((folder / name).is_file() for name in MANIFESTS.values())


def is_table(columns: Collection[str], prefixes: tuple[str, ...] = ()) -> Known:
    """Knows a CSV file, a workbook or a Parquet file by its header: no other columns than these, and the first of them.

    Args:
        columns: all that the command writes.
        prefixes: how further columns may begin.
    """
    first = next(iter(columns))

    def known(file: Path) -> bool:
        try:
            cells = _HEADERS.get(file.suffix.lower(), _csv_header)(file)
        except (OSError, ValueError, csv.Error, KerasDrError, ImportError):
            return False
        foreign = [cell for cell in cells if cell not in columns and not (prefixes and cell.startswith(prefixes))]
        return first in cells and not foreign

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
    """Knows a JSON file by what it says of its kind."""

    def known(file: Path) -> bool:
        try:
            if file.stat().st_size > _LONGEST_JSON:
                return False
            content = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and content.get("kind") == kind

    return known


def mark_png(data: bytes, purpose: str) -> bytes:
    """The PNG file with a note of its purpose, as a chunk tEXt (PNG specification, 11.3.3.3), its pixels unchanged."""
    chunk = b"tEXt" + b"Software\0" + f"keras_dr {purpose}".encode("latin-1")
    note = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:_HEADER_END] + note + data[_HEADER_END:]


def is_png(purpose: str) -> Known:
    """Knows a PNG file that `mark_png` marked."""
    note = b"tEXtSoftware\0" + f"keras_dr {purpose}".encode("latin-1")

    def known(file: Path) -> bool:
        try:
            with file.open("rb") as stream:
                start = stream.read(_HEADER_END + 4 + len(note))
        except OSError:
            return False
        return start.startswith(_PNG) and start.endswith(note)

    return known


def known_by_suffix(**known: Known) -> Known:
    """Knows a file in the way of its format: `known_by_suffix(csv=is_table(...), json=is_json(...))`."""
    return lambda file: known.get(file.suffix.lower().lstrip("."), lambda _: False)(file)
