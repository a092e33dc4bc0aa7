"""The photographs that a command is given, listed once, however many: never all of them in memory."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from keras_dr.datasets.csv_file import IMAGE
from keras_dr.datasets.tables import IMAGE_SUFFIXES
from keras_dr.errors import KerasDrError

_SMALLEST, _LARGEST = 32, 4096  # photographs a part


@dataclass(frozen=True)
class Part:
    """Photographs that one worker grades, and one file of results holds.

    Attributes:
        number: from 0.
        offset: where its first line begins in the list's file, in bytes.
        count: photographs in it.
    """

    number: int
    offset: int
    count: int


def list_photographs(given: Sequence[Path]) -> Iterator[Path]:
    """Photographs as given; of a folder those in it and in the folders there, sorted, hidden ones left out.

    A .csv file is a manifest: its image column names photographs relative to its own folder, or absolutely.

    Raises:
        KerasDrError: a folder without photographs, or a manifest that cannot be read or names none.
    """
    for path in given:
        if path.is_dir():
            found, where = _walk(path), "in"
        elif path.suffix.lower() == ".csv":
            found, where = _read_manifest(path), "named by"
        else:
            yield path
            continue
        empty = True
        for image in found:
            empty = False
            yield image
        if empty:
            expected = f"photographs ({', '.join(IMAGE_SUFFIXES)}) {where} {path}"
            raise KerasDrError(expected, "none", "Name another folder or manifest, or the photographs themselves.")


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as stream:
        entries = sorted((entry for entry in stream if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry))
        elif PurePath(entry.name).suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            yield Path(entry)


def _read_manifest(file: Path) -> Iterator[Path]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            column = next((names[name] for name in IMAGE if name in names), None)
            if column is None:
                found = ", ".join(names) or "an empty file"
                raise KerasDrError(f"in {file} a column named {' or '.join(IMAGE)}", found, "Rename the column.")
            for row in reader:
                if name := (row[column] or "").strip():
                    yield file.parent / name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"a CSV file in UTF-8 at {file}", str(error), "Save it again as UTF-8 CSV.") from error


def freeze(photographs: Iterable[Path], file: Path) -> None:
    """Write the list, a line a photograph, whole or not at all; one that is there already stays as it is."""
    if file.is_file():
        return
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="ascii") as stream:  # JSON escapes what no encoding holds
        stream.writelines(json.dumps(str(path)) + "\n" for path in photographs)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def cut(file: Path, size: int | None = None) -> list[Part]:
    """The parts of a frozen list.

    Args:
        file: from `freeze`.
        size: photographs a part; None: a thousandth of them, within 32 and 4096, so that a lost worker costs little
            and the file system has not too many files to hold.
    """
    if size is None:
        with file.open("rb") as stream:
            size = min(_LARGEST, max(_SMALLEST, sum(1 for _ in stream) // 1000))
    parts: list[Part] = []
    offset = 0
    with file.open("rb") as stream:
        while lines := [len(line) for line in islice(stream, size)]:
            parts.append(Part(len(parts), offset, len(lines)))
            offset += sum(lines)
    return parts


def read_part(file: Path, part: Part) -> list[Path]:
    """The photographs of a part."""
    with file.open("rb") as stream:
        stream.seek(part.offset)
        return [Path(json.loads(line)) for line in islice(stream, part.count)]
