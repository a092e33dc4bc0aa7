"""What the program recognises in a source, before it writes anything.

The command `inspect` prints it, and so does `prepare` in its first lines.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from keras_dr.core.decision import positive_words
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import split_frame
from keras_dr.core.image_files import SkippedFiles, printable, walk_files, why_no_image
from keras_dr.core.tables import TABLE_SUFFIXES
from keras_dr.datasets import PUBLISHED, csv_file, read_source
from keras_dr.datasets.classes import Labels, understand_labels
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.datasets.naming import is_mask_folder
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.photograph_index import is_file
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import SPLITS, Record

_DEPTH = 8  # folders below the source in which files are counted
_WIDTH = 100
_MOST_CLASSES = 12  # so many get a line each
_ROLES = {"image": "photograph", "label": "class", "patient": "patient", "eye": "eye", "split": "split"}


@dataclass(frozen=True)
class Inspection:
    """What was recognised in a source; `str` describes it for the user.

    Attributes:
        source: the folder or file.
        dataset: the name of the adapter.
        reading: what the adapter read, and where columns, patients and splits come from.
        labels: the grades or classes that the labels mean.
        photographs: number of files that records name and that exist.
        missing: names of files that records name but that do not exist.
        masks: number of mask files that are used.
        files: number of all files.
        skipped: the files that are not used, by reason.
    """

    source: Path
    dataset: str
    reading: Reading
    labels: Labels
    photographs: int
    missing: tuple[str, ...]
    masks: int
    files: int
    skipped: SkippedFiles

    @property
    def records(self) -> list[Record]:
        """The photographs, with the grade or class that each label means."""
        return self.labels.records

    @property
    def task(self) -> Task:
        """The label space."""
        return self.labels.task

    @property
    def patients(self) -> int:
        """Number of patients; a photograph whose patient is unknown counts as a patient of its own."""
        return len({record.patient_id for record in self.records})

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as JSON values, for prepared.json."""
        return {
            "why": self.reading.why,
            "columns": dict(self.reading.columns),
            "columns_not_used": list(self.reading.unused),
            "patients": self.patients if self.reading.patients else None,
            "patients_from": self.reading.patients or "unknown",
            "splits_from": self.reading.splits or "none",
            "labels": [{"label": label, "class": name, "photographs": n} for label, name, n in self.labels.taken],
            "files": self.files,
            "files_missing": len(self.missing),
            "files_not_used": dict(self.skipped.counts),
        }

    def __str__(self) -> str:
        lines = [
            _line("Read as", f"{self.dataset}: {self.reading.why}"),
            *_column_lines(self.reading),
            _line("Patients", self._patients()),
            *self._eye_lines(),
            _line("Splits", self._splits()),
            *_class_lines(self.labels),
            _line("Files", self._files()),
            *(f"               {line}" for line in self.skipped.lines()),
            *(_line("Note", note) for note in self._notes()),
        ]
        return "\n".join(lines)

    def _patients(self) -> str:
        if not self.reading.patients:
            text = "unknown: every photograph counts as a patient of its own"
            if any(record.neighbours for record in self.records):
                text += ", but groups that may be one patient stay in one split"
            return text
        return f"{self.patients}, from {self.reading.patients}"

    def _eye_lines(self) -> list[str]:
        eyes = Counter(record.eye for record in self.records if record.eye)
        unknown = len(self.records) - sum(eyes.values())
        if not eyes:
            return []
        text = ", ".join(f"{name} {eyes[name]}" for name in ("left", "right"))
        return [_line("Eyes", text + (f", unknown {unknown}" if unknown else ""))]

    def _splits(self) -> str:
        counts = Counter(record.split for record in self.records)
        missing = [name for name in SPLITS if not counts[name]]
        if set(counts) == {""}:
            return "none in the source: prepare divides the patients into train, val and test"
        text = ", ".join(f"{name} {counts[name]}" for name in SPLITS if counts[name])
        if counts[""]:
            text += f", without a split {counts['']}"
        if self.reading.splits:
            text += f", from {self.reading.splits}"
        if missing and "train" not in missing:
            text += f"; prepare takes {' and '.join(missing)} from train, by patient"
        return text

    def _files(self) -> str:
        if any(record.member for record in self.records):
            parts = [f"{self.photographs} with {len(self.records)} photographs"]
        else:
            parts = [_number(self.photographs, "photograph")]
        if self.masks:
            parts.append(_number(self.masks, "mask"))
        if self.reading.tables:
            parts.append(f"{_number(len(self.reading.tables), 'table')} read")
        parts.append(f"{sum(self.skipped.counts.values())} not used")
        return f"{self.files} in all: {', '.join(parts)}"

    def _notes(self) -> list[str]:
        notes = [*self.reading.notes, *self.labels.notes]
        if self.missing:
            shown = ", ".join(self.missing[:3]) + (", ..." if len(self.missing) > 3 else "")
            notes.append(f"Photographs that are named but do not exist: {len(self.missing)} ({shown}).")
        if self.reading.left_out:
            record, reason = self.reading.left_out[0]
            notes.append(f"Rows that are left out: {len(self.reading.left_out)}, such as {record.path.name}, {reason}.")
        return notes


def inspect(
    source: str | Path, dataset: str = "auto", task: str = "auto", options: SourceOptions | None = None
) -> Inspection:
    """Report how `prepare` would read a source. Nothing is written, and no photograph is opened.

    Args:
        source: the folder of a data set, published or your own, or a table.
        dataset: the name of an adapter (a key of `DATASETS`); "auto", the default, recognises it.
        task: one of `grades.TASK_NAMES`; "auto", the default, is "icdr", or "classes" if there are no grades.
        options: what you say about the source, such as its columns and classes; None, the default: everything is
            recognised.

    Returns:
        The records, and words for the user on where they come from.

    Raises:
        KerasDrError: the source cannot be read, or it can be read in two ways; then the message names both and the
            option that chooses one.
    """
    source = Path(source)
    options = options or SourceOptions()
    name, reading = read_source(source, dataset, options)
    labels = understand_labels(reading.records, options, task, published=name in PUBLISHED)
    root = source if source.is_dir() else source.parent
    only_source = source.is_file() and name in PUBLISHED  # an .npz file; other files in its folder are other sets
    files = dict.fromkeys([source] if only_source else walk_files(root, _DEPTH))
    used = {split_frame(record.path)[0] for record in reading.records}
    missing = [path for path in used if path not in files and not is_file(path)]
    if len(missing) == len(used):
        example = printable(os.path.relpath(min(missing), root))
        message = f"None of the {len(used)} photographs that {source} names exists; one of them is {example}."
        raise KerasDrError(message, "Name their folder with --images FOLDER, or correct the names.")
    masks = {mask for record in reading.records for mask in record.masks.values()}
    skipped = SkippedFiles()
    known = used | masks | set(reading.tables)
    for path in files:
        if path not in known:
            skipped.add(path, _why_not_used(path, root, name, reading))
    return Inspection(
        source=source,
        dataset=name,
        reading=reading,
        labels=labels,
        photographs=len(used) - len(missing),
        missing=tuple(sorted(printable(os.path.relpath(path, root)) for path in missing)),
        masks=len(masks),
        files=len(files.keys() | (used - set(missing))),
        skipped=skipped,
    )


def _number(count: int, noun: str) -> str:
    """Return a count with its noun: "1 table", "2 tables"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _why_not_used(path: Path, root: Path, dataset: str, reading: Reading) -> str:
    """Return why a file is not used, in words that follow a number."""
    if path in reading.not_used:
        return reading.not_used[path]
    reason = why_no_image(path)
    if dataset in PUBLISHED:
        if path.suffix.lower() in TABLE_SUFFIXES:
            return "beside the photographs (tables and texts)"
        return reason or "outside this layout"
    if reason:
        return f"{reason}, not read as a table" if path.suffix.lower() in TABLE_SUFFIXES else reason
    if any(is_mask_folder(part) for part in path.relative_to(root).parts[:-1]):
        return "in folders of masks"
    return "not named by the table" if dataset == csv_file.NAME else "outside the class folders"


def _line(title: str, text: str) -> str:
    """Return a title and its text, wrapped and indented."""
    lines = wrap(text, _WIDTH - 13, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join([f"{title + ':':<13}{lines[0]}", *(" " * 13 + line for line in lines[1:])])


def _column_lines(reading: Reading) -> list[str]:
    if not reading.columns:
        return []
    columns = [f"{word}: {reading.columns.get(role, 'none')}" for role, word in _ROLES.items()]
    dialects = {dialect for dialect in reading.tables.values() if dialect}
    lines = [_line("Columns", "; ".join(columns))]
    unused = [", ".join(reading.unused)] if reading.unused else []
    if reading.unnamed:
        unused.append(f"{reading.unnamed} without a name")
    if unused:
        lines.append(_line("", f"not used: {'; '.join(unused)}").replace(":", " ", 1))
    if dialects:
        lines.append(_line("Written in", "; ".join(sorted(dialects))))
    return lines


def _class_lines(labels: Labels) -> list[str]:
    task = labels.task
    counts = Counter[str]()
    for _, name, count in labels.taken:
        counts[name] += count
    if set(counts) == {""}:
        return [_line("Classes", "no photograph has a class; a trained grader can only be explained on them")]
    kind = {"icdr": "ICDR grades", "icdr-ungradable": "ICDR grades and ungradable", "referable": "referable DR"}
    positive = positive_words(task.classes, task.referable)
    lines = [_line("Classes", f"{kind.get(task.name, 'those of the source')}{_order(task)}; {positive}")]
    names = [*task.classes, *([""] if counts[""] else [])]
    width = max(map(len, names))
    for name in names[:_MOST_CLASSES]:
        sources = [(label or "no label", count) for label, class_name, count in labels.taken if class_name == name]
        texts = [f"{label} ({count})" for label, count in sources]
        origin = ""
        if texts and [label for label, _ in sources] != [name]:
            origin = f"   from {', '.join(texts[:6])}{', ...' if len(texts) > 6 else ''}"
        lines.append(f"               {name or 'left out':<{max(width, 8)}} {counts[name]:>6}{origin}")
    if len(names) > _MOST_CLASSES:
        lines.append(f"               and {len(names) - _MOST_CLASSES} more classes")
    return lines


def _order(task: Task) -> str:
    return " in order" if task.name in TASKS or (task.ordered > 1 and len(task.classes) > 2) else ""
