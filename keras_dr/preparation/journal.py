"""Writes the photographs of a Prepared set one by one, with a journal from which an interrupted call continues."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.progress import Progress
from keras_dr.datasets.records import Record
from keras_dr.preparation.photograph import Row, source_name, source_stamp, write_photograph
from keras_dr.workers.processes import DIED

WriteRecord = Callable[[Record], Row]
# calls a function with each record, and yields each record with the result; None if a process died over it
MapRecords = Callable[[WriteRecord, Sequence[Record]], Iterator[tuple[Record, Row | None]]]


def prepare_images(
    records: Sequence[Record],
    source: Path,
    folder: Path,
    spec: Preprocessing,
    spread: MapRecords,
    progress: Progress | None,
) -> list[Row]:
    """Write the photographs, and return one row per record, in their order.

    Photographs that are listed in progress.jsonl are not written again unless their files have changed.

    Args:
        records: the photographs.
        source: the folder to which the paths in the rows are relative.
        folder: the folder of the Prepared set.
        spec: the preprocessing.
        spread: calls a function with each record, as `map_surviving` does.
        progress: called with (photographs done, photographs in all); None: not called.
    """
    journal = folder / "progress.jsonl"
    images = folder / "images"
    images.mkdir(exist_ok=True)
    rows = _read_journal(journal, {entry.name for entry in os.scandir(images)})
    rows = {
        record.image_id: rows[record.image_id]
        for record in records
        if record.image_id in rows and rows[record.image_id].get("stamp") == source_stamp(record)
    }
    missing = [record for record in records if record.image_id not in rows]
    work = partial(write_photograph, source=source, folder=folder, spec=spec)
    with journal.open("a", encoding="utf-8") as stream:
        stream.write("\n")  # ends a line that an earlier call did not complete
        for record, row in spread(work, missing):
            if row is None:
                name = source_name(record, source)
                row = {"image_id": record.image_id, "source": name, "reason": DIED}
            rows[record.image_id] = _with_shared_names(row)
            if "reason" not in row:  # a photograph that cannot be used is tried again by the next call
                stream.write(json.dumps(row) + "\n")
                stream.flush()
            if progress:
                progress(len(rows), len(records))
    return [rows[record.image_id] for record in records]


def _read_journal(journal: Path, images: set[str]) -> dict[str, Row]:
    """Return image_id -> row of the photographs that an interrupted call wrote."""
    rows: dict[str, Row] = {}
    if journal.is_file():
        with journal.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    row = json.loads(line)
                    name = row["image_id"]
                except (ValueError, LookupError, TypeError):  # a line that was not completed
                    continue
                if f"{name}.png" in images:
                    rows[name] = _with_shared_names(row)
    return rows


def _with_shared_names(row: Row) -> Row:
    """Return a row that shares the names of its columns with all rows; otherwise they take a third of the memory."""
    return {sys.intern(name): value for name, value in row.items()}
