"""What was understood of a source, before anything is written: `inspect`, and the first lines of `prepare`."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from keras_dr.core.decision import positive_words
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import SkippedFiles, printable, why_no_image
from keras_dr.core.tables import TABLE_SUFFIXES
from keras_dr.datasets import PUBLISHED, csv_file, read_source
from keras_dr.datasets.classes import Labels, understand_labels
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.datasets.naming import is_mask_folder
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import SPLITS, Record

_DEPTH = 8  # folders below the source in which files are counted
_WIDTH = 100
_MOST_CLASSES = 12  # lines
_ROLES = {"image": "photograph", "label": "class", "patient": "patient", "eye": "eye", "split": "split"}


@dataclass(frozen=True)
class Inspection:
    """A source as it was understood; `str` says it in plain words.

    Attributes:
        source: the folder or file.
        dataset: name of the adapter.
        reading: what the adapter read, and where columns, patients and splits come from.
        labels: what the labels were taken for.
        photographs: files that records name and that are there.
        missing: names of files that records name and that are not there.
        masks: files of masks that are used.
        found: files in all.
        skipped: files that are not used, by reason.
    """

    source: Path
    dataset: str
    reading: Reading
    labels: Labels
    photographs: int
    missing: tuple[str, ...]
    masks: int
    found: int
    skipped: SkippedFiles

    @property
    def records(self) -> list[Record]:
        """The photographs, with the grade or class that each label is taken for."""
        return self.labels.records

    @property
    def task(self) -> Task:
        """The label space."""
        return self.labels.task

    @property
    def patients(self) -> int:
        """How many patients there are, as far as is known."""
        return len({record.patient_id for record in self.records})

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON, for prepared.json."""
        return {
            "why": self.reading.why,
            "columns": dict(self.reading.columns),
            "columns_not_used": list(self.reading.unused),
            "patients": self.patients if self.reading.patients else None,
            "patients_from": self.reading.patients or "unknown",
            "splits_from": self.reading.splits or "none",
            "labels": [{"label": label, "class": name, "photographs": n} for label, name, n in self.labels.taken],
            "files": self.found,
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
            near = any(record.neighbours for record in self.records)
            more = "; neighbours in the numbering stay together in the cut" if near else ""
            return f"unknown: every photograph counts as a patient of its own{more}"
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
        cut = [name for name in SPLITS if not counts[name]]
        if set(counts) == {""}:
            return "none in the source: train, val and test are cut by patient"
        text = ", ".join(f"{name} {counts[name]}" for name in SPLITS if counts[name])
        if counts[""]:
            text += f", without one {counts['']}"
        text += f", from {self.reading.splits}" if self.reading.splits else ""
        return text + (f"; {' and '.join(cut)} cut out of train by patient" if cut and "train" not in cut else "")

    def _files(self) -> str:
        inside = any(record.member for record in self.records)
        parts = [
            f"{self.photographs} with {len(self.records)} photographs"
            if inside
            else _number(self.photographs, "photograph")
        ]
        parts += [_number(self.masks, "mask")] if self.masks else []
        parts += [f"{_number(len(self.reading.tables), 'table')} read"] if self.reading.tables else []
        skipped = sum(self.skipped.counts.values())
        parts.append(f"{skipped} not used{':' if skipped else ''}")
        return f"{self.found} found = {', '.join(parts)}"

    def _notes(self) -> list[str]:
        notes = list(self.reading.notes)
        if self.missing:
            shown = ", ".join(self.missing[:3]) + (", ..." if len(self.missing) > 3 else "")
            notes.append(f"Named, but not there: {_number(len(self.missing), 'photograph')} ({shown}).")
        if self.reading.left_out:
            record, reason = self.reading.left_out[0]
            notes.append(f"Left out: {_number(len(self.reading.left_out), 'row')} ({record.path.name}), {reason}.")
        return notes


def inspect(
    source: str | Path, dataset: str = "auto", task: str = "auto", options: SourceOptions | None = None
) -> Inspection:
    """Understand a source without writing anything; no photograph is opened.

    Args:
        source: folder of a published data set or of one's own, or a table.
        dataset: "auto", or the name of an adapter.
        task: one of `grades.TASK_NAMES`.
        options: what is said instead of left to be understood.

    Returns:
        What `prepare` would read.

    Raises:
        KerasDrError: the source cannot be read, or may be read in two ways; the message names both and the option
            that chooses.
    """
    source, options = Path(source), options or SourceOptions()
    name, reading = read_source(source, dataset, options)
    labels = understand_labels(reading.records, options, task, published=name in PUBLISHED)
    root = source if source.is_dir() else source.parent
    alone = source.is_file() and name in PUBLISHED  # an .npz file; what lies beside it is another set
    files = dict.fromkeys([source] if alone else _files_below(root, _DEPTH))
    used = {record.path for record in reading.records}
    missing = [path for path in used if path not in files and not _is_there(path)]
    if len(missing) == len(used):
        example = printable(os.path.relpath(min(missing), root))
        message = f"None of the {len(used)} photographs that {source} names is there, such as {example}."
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
        found=len(files.keys() | (used - set(missing))),
        skipped=skipped,
    )


def _number(count: int, what: str) -> str:
    """ "1 table", "2 tables"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as stream:
            entries = sorted(stream, key=lambda one: one.name)
    except OSError:
        return
    for entry in entries:
        if not entry.is_dir():
            yield Path(entry)
        elif depth and not entry.name.startswith("."):
            yield from _files_below(Path(entry), depth - 1)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _why_not_used(path: Path, root: Path, dataset: str, reading: Reading) -> str:
    """Why a file is not used, in words that follow a number."""
    if path in reading.passed:
        return reading.passed[path]
    reason = why_no_image(path)
    if dataset in PUBLISHED:
        text = path.suffix.lower() in TABLE_SUFFIXES
        return "beside the photographs (tables and texts)" if text else reason or "outside this layout"
    if reason:
        return f"{reason}, not read as a table" if path.suffix.lower() in TABLE_SUFFIXES else reason
    if any(is_mask_folder(part) for part in path.relative_to(root).parts[:-1]):
        return "in folders of masks"
    return "not named by the table" if dataset == csv_file.NAME else "outside the class folders"


def _line(title: str, text: str) -> str:
    """A title and its text, wrapped and indented."""
    lines = wrap(text, _WIDTH - 13, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join([f"{title + ':':<13}{lines[0]}", *(" " * 13 + line for line in lines[1:])])


def _column_lines(reading: Reading) -> list[str]:
    if not reading.columns:
        return []
    said = [f"{word}: {reading.columns.get(role, 'none')}" for role, word in _ROLES.items()]
    dialects = {dialect for dialect in reading.tables.values() if dialect}
    lines = [_line("Columns", "; ".join(said))]
    unused = [", ".join(reading.unused)] if reading.unused else []
    if reading.unnamed:
        unused.append(f"{reading.unnamed} without a name")
    if unused:
        lines.append(_line("", f"not used: {'; '.join(unused)}").replace(":", " ", 1))
    if dialects:
        lines.append(_line("Written in", "; ".join(sorted(dialects))))
    return lines


def _class_lines(labels: Labels) -> list[str]:
    task, counts = labels.task, Counter[str]()
    for _, name, count in labels.taken:
        counts[name] += count
    if set(counts) == {""}:
        return [_line("Classes", "no photograph has a class; a trained grader can be explained on them")]
    kind = {"icdr": "ICDR grades", "icdr-ungradable": "ICDR grades and ungradable", "referable": "referable DR"}
    positive = positive_words(task.classes, task.referable)
    lines = [_line("Classes", f"{kind.get(task.name, 'its own')}{_order(task)}; {positive}")]
    names = [*task.classes, *([""] if counts[""] else [])]
    width = max(map(len, names))
    for name in names[:_MOST_CLASSES]:
        of = [f"{label or 'no label'} ({count})" for label, taken, count in labels.taken if taken == name]
        spelled = of[0].rpartition(" ")[0] == name if len(of) == 1 else False
        said = "" if spelled or not of else f"   from {', '.join(of[:6])}{', ...' if len(of) > 6 else ''}"
        lines.append(f"               {name or 'left out':<{max(width, 8)}} {counts[name]:>6}{said}")
    if len(names) > _MOST_CLASSES:
        lines.append(f"               and {len(names) - _MOST_CLASSES} more classes")
    return lines


def _order(task: Task) -> str:
    return " in order" if task.name in TASKS or (task.ordered > 1 and len(task.classes) > 2) else ""
