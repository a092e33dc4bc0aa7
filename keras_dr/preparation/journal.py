"""The photographs of a Prepared set, one by one, and the journal from which an interrupted call goes on."""

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


MapRecords = Callable[[WriteRecord, Sequence[Record]], Iterator[tuple[Record, Row | None]]]


def prepare_images(
    records: Sequence[Record],
    source: Path,
    folder: Path,
    spec: Preprocessing,
    spread: MapRecords,
    progress: Progress | None,
) -> list[Row]:
    """A row a record, in order; those that progress.jsonl tells of are not made again, unless their files changed."""
    journal, images = folder / "progress.jsonl", folder / "images"
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
        stream.write("\n")  # ends the line that was being written when an earlier call was killed
        for record, row in spread(work, missing):
            if row is None:
                name = source_name(record.path, source)
                row = {"image_id": record.image_id, "source": name, "reason": DIED}
            rows[record.image_id] = _sharing_names(row)
            if "reason" not in row:  # what could not be used may have been mended when the call is repeated
                stream.write(json.dumps(row) + "\n")
                stream.flush()
            if progress:
                progress(len(rows), len(records))
    return [rows[record.image_id] for record in records]


def _read_journal(journal: Path, images: set[str]) -> dict[str, Row]:
    """Rows by image_id of the photographs that an interrupted call wrote."""
    rows: dict[str, Row] = {}
    if journal.is_file():
        with journal.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    row = json.loads(line)
                    name = row["image_id"]
                except (ValueError, LookupError, TypeError):  # the line being written when the call was interrupted
                    continue
                if f"{name}.png" in images:
                    rows[name] = _sharing_names(row)
    return rows


def _sharing_names(row: Row) -> Row:
    """The row with the one copy of each column's name that all rows share; a third of their room, otherwise."""
    return {sys.intern(name): value for name, value in row.items()}
