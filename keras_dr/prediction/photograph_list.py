"""The list of photographs that a command is given, frozen in a file and cut into parts: never all of it in memory."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

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


def write_list(photographs: Iterable[Path], file: Path) -> None:
    """Write the list, a line a photograph, whole or not at all; one that is there already stays as it is."""
    if file.is_file():
        return
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="ascii") as stream:  # JSON escapes what no encoding holds
        stream.writelines(json.dumps(str(path)) + "\n" for path in photographs)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def split_list(file: Path, size: int | None = None) -> list[Part]:
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
