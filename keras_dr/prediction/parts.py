"""One part of the predictions: its file, and the journal with which another worker continues after one is lost.

A row is written to the journal as soon as its photograph is graded. When all photographs of the part are graded, the
part is written to its file, under a temporary name at first. Therefore nothing that a killed worker or command has
graded is graded again, and a part is complete or absent. The journal also notes which photograph was begun: a
photograph that killed two workers is marked as failed, and the rest of the part continues.
"""

import csv
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any

from edge_demo.results import count_actions, failed_row
from keras_dr.core.encoding import encode_table
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.image_files import printable
from keras_dr.workers.processes import DIED

_MOST_ATTEMPTS = 2  # after one death, the machine may only have been switched off
_MOST_FAILURES = 20  # whose messages are kept
Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """The numbers of photographs in one or several parts.

    Attributes:
        photographs: the number of all photographs.
        referred: the number of photographs that are to be referred.
        failed: the number of photographs that could not be graded.
        failures: (path, message) of the first photographs that could not be graded, at most 20.
        retake: the number of photographs that are to be taken again.
    """

    photographs: int = 0
    referred: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    retake: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.photographs + other.photographs,
            self.referred + other.referred,
            self.failed + other.failed,
            (self.failures + other.failures)[:_MOST_FAILURES],
            self.retake + other.retake,
        )

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "Counts":
        """Count rows that have `path`, `action` and `error`."""
        failures = tuple((row["path"], row["error"]) for row in rows if row.get("error"))
        actions = count_actions(rows)
        return cls(
            actions["given"], actions["referred"], actions["failed"], failures[:_MOST_FAILURES], actions["retake"]
        )

    def actions(self) -> dict[str, int]:
        """Return the counts in the form of `results.count_actions`."""
        counted = {"referred": self.referred, "retake": self.retake, "failed": self.failed}
        return {"given": self.photographs, **counted, "no_action": self.photographs - sum(counted.values())}


def part_file(folder: Path, number: int, ending: str) -> Path:
    """Return the file of the part with this number in the folder of the predictions."""
    return folder / f"part-{number:06}{ending}"


def grade_with_journal(file: Path, photographs: Sequence[Path], grade: Callable[[Path], Row]) -> list[Row]:
    """Return one row per photograph, in their order; a photograph that a journal has as graded is not graded again.

    Args:
        file: the file of the part; its journals lie next to it.
        photographs: the photographs of the part.
        grade: returns the row of a photograph.
    """
    rows, begun = _read_journals(file)
    # Each attempt has a journal of its own, because a worker that was given up may still write to an older one.
    name = f".{file.name}.{socket.gethostname()}-{os.getpid()}-{time_ns()}.jsonl"
    with file.with_name(name).open("a", encoding="utf-8") as journal:

        def note(*values: Any) -> None:
            journal.write(json.dumps(values) + "\n")
            journal.flush()

        for number, photograph in enumerate(photographs):
            if number in rows:
                continue
            if begun[number] >= _MOST_ATTEMPTS:
                message = f"The photograph cannot be graded: {DIED}."
                error = KerasDrError(message, "Look at it with another program.")
                rows[number] = failed_row(printable(photograph), str(error))
            else:
                note(number)
                rows[number] = grade(photograph)
            note(number, rows[number])
    return [rows[number] for number in range(len(photographs))]


def _read_journals(file: Path) -> tuple[dict[int, Row], Counter[int]]:
    """Return the graded rows by their number in the part, and how often each number was begun."""
    rows: dict[int, Row] = {}
    begun: Counter[int] = Counter()
    for journal in find_journals(file):
        for line in journal.read_text("utf-8", errors="replace").splitlines():
            try:
                number, *row = json.loads(line)
            except ValueError:  # the line was being written when the worker died
                continue
            if row:
                rows[number] = row[0]
            else:
                begun[number] += 1
    return rows, begun


def find_journals(file: Path) -> Iterator[Path]:
    """Return the journals of the part that has this file."""
    return file.parent.glob(f".{file.name}.*.jsonl")


def write_part(file: Path, columns: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Write a part, completely or not at all, and remove its journals.

    Args:
        file: the file to write, which ends in .csv or .parquet.
        columns: name -> type, as Arrow names the types.
        rows: the rows; a missing value becomes null, or an empty cell in CSV.
    """
    write_bytes(file, encode_table(file.suffix, columns, rows))
    for journal in find_journals(file):
        journal.unlink(missing_ok=True)


def read_part_rows(file: Path) -> list[Row]:
    """Return path, action and error of each row of a part."""
    columns = ["path", "action", "error"]
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as stream:
            return [{name: row[name] for name in columns} for row in csv.DictReader(stream)]
    from pyarrow import parquet

    return parquet.read_table(file, columns=columns).to_pylist()
