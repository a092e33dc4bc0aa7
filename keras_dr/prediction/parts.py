"""One file of results: the part that it holds, and the journal from which a worker that was lost is followed.

A row goes into the journal when its photograph is graded, the whole part into its file when all are, under a temporary
name first. So what a killed worker or command has graded is not graded again, and a part is whole or absent. The
journal also says which photograph was begun: one over which workers died twice costs itself alone.
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

_BEGUN = 2  # deaths; at the first one its machine may have been switched off
_SHOWN = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """What parts hold.

    Attributes:
        photographs: all of them.
        referred: those to be referred.
        failed: those that could not be graded.
        failures: (path, message) of the first of these.
        retake: those to be taken again.
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
            (self.failures + other.failures)[:_SHOWN],
            self.retake + other.retake,
        )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Counts":
        """Of rows with `path`, `action` and `error`."""
        failures = tuple((row["path"], row["error"]) for row in rows if row.get("error"))
        found = count_actions(rows)
        return cls(found["given"], found["referred"], found["failed"], failures[:_SHOWN], found["retake"])

    def actions(self) -> dict[str, int]:
        """As `results.count_actions` counts them."""
        others = {"referred": self.referred, "retake": self.retake, "failed": self.failed}
        return {"given": self.photographs, **others, "no_action": self.photographs - sum(others.values())}


def part_file(folder: Path, number: int, ending: str) -> Path:
    return folder / f"part-{number:06}{ending}"


def grade_with_journal(file: Path, photographs: Sequence[Path], grade: Callable[[Path], Row]) -> list[Row]:
    """A row a photograph, in order; those that a journal of this part knows are not graded again.

    Args:
        file: of the part; its journals lie beside it.
        photographs: of the part.
        grade: gives a photograph's row.
    """
    rows, begun = _read_journals(file)
    # of its own for every attempt: a worker that was taken for dead may still write to another one
    own = f".{file.name}.{socket.gethostname()}-{os.getpid()}-{time_ns()}.jsonl"
    with file.with_name(own).open("a", encoding="utf-8") as journal:

        def note(*words: Any) -> None:
            journal.write(json.dumps(words) + "\n")
            journal.flush()

        for number, photograph in enumerate(photographs):
            if number in rows:
                continue
            if begun[number] >= _BEGUN:
                message = f"The photograph cannot be graded: {DIED}."
                error = KerasDrError(message, "Look at it with another program.")
                rows[number] = failed_row(printable(photograph), str(error))
            else:
                note(number)
                rows[number] = grade(photograph)
            note(number, rows[number])
    return [rows[number] for number in range(len(photographs))]


def _read_journals(file: Path) -> tuple[dict[int, Row], Counter[int]]:
    """Rows by their number in the part, and how often others were begun."""
    rows: dict[int, Row] = {}
    begun: Counter[int] = Counter()
    for journal in find_journals(file):
        for line in journal.read_text("utf-8", errors="replace").splitlines():
            try:
                number, *row = json.loads(line)
            except ValueError:  # the line that was being written
                continue
            if row:
                rows[number] = row[0]
            else:
                begun[number] += 1
    return rows, begun


def find_journals(file: Path) -> Iterator[Path]:
    """Of a part, by the name of its file."""
    return file.parent.glob(f".{file.name}.*.jsonl")


def write_part(file: Path, columns: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Write a part, whole or not at all, and remove its journals.

    Args:
        file: ends in .csv or .parquet.
        columns: name -> type, as Arrow names them.
        rows: what lacks a value is null, in CSV empty.
    """
    write_bytes(file, encode_table(file.suffix, columns, rows))
    for journal in find_journals(file):
        journal.unlink(missing_ok=True)


def read_part_rows(file: Path) -> list[Row]:
    """Path, action and error of a part's rows."""
    wanted = ["path", "action", "error"]
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8") as stream:
            return [{name: row[name] for name in wanted} for row in csv.DictReader(stream)]
    from pyarrow import parquet

    return parquet.read_table(file, columns=wanted).to_pylist()
