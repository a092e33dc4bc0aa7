"""The list of the photographs of a command, kept in a file and divided into parts; it is never in memory as a whole."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from keras_dr.core.folders import temporary_name

# limits of the number of photographs per part
_SMALLEST = 32
_LARGEST = 4096


@dataclass(frozen=True)
class Part:
    """Photographs that one worker grades, and whose results are in one file.

    Attributes:
        number: the number of the part, from 0.
        offset: the byte at which its first line begins in the file of the list.
        count: the number of photographs.
    """

    number: int
    offset: int
    count: int


def write_list(photographs: Iterable[Path], file: Path) -> None:
    """Write the list, one line per photograph, completely or not at all; an existing list is left unchanged."""
    if file.is_file():
        return
    temporary = temporary_name(file)
    with temporary.open("w", encoding="ascii") as stream:  # JSON escapes all other characters
        stream.writelines(json.dumps(str(path)) + "\n" for path in photographs)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def split_list(file: Path, size: int | None = None) -> list[Part]:
    """Divide a list into parts.

    Args:
        file: the file that `write_list` wrote.
        size: the number of photographs per part. By default, it is a thousandth of the list, but at least 32 and at
            most 4096, so that a lost worker costs little and the folder does not hold too many files.
    """
    if size is None:
        with file.open("rb") as stream:
            size = min(_LARGEST, max(_SMALLEST, sum(1 for _ in stream) // 1000))
    parts: list[Part] = []
    offset = 0
    with file.open("rb") as stream:
        while True:
            lengths = [len(line) for line in islice(stream, size)]
            if not lengths:
                return parts
            parts.append(Part(len(parts), offset, len(lengths)))
            offset += sum(lengths)


def read_part(file: Path, part: Part) -> list[Path]:
    """Return the photographs of a part."""
    with file.open("rb") as stream:
        stream.seek(part.offset)
        return [Path(json.loads(line)) for line in islice(stream, part.count)]
