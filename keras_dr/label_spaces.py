"""Another data set's labels in a run's own classes, and whether its photographs were in the run's training."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from keras_dr.errors import KerasDrError
from keras_dr.grades import TASKS, Task
from keras_dr.prepared import PreparedSet

_HASHES = ("source_sha256", "pixels_sha256")


def map_labels(data: PreparedSet, task: Task) -> PreparedSet:
    """The photographs labelled by a run's task: by their ICDR grade where task and set know it, else by class name.

    Photographs that have no class of the task (ungradable ones, say) are left out.

    Args:
        data: any Prepared set.
        task: of the run.

    Raises:
        KerasDrError: no photograph has a class of the task.
    """
    if data.task == task or not any(row["label"] for row in data.rows):
        return replace(data, task=task)
    names = [(row, _class_of(row, task)) for row in data.rows]
    rows = tuple(row | {"label": name} for row, name in names if name)
    if not rows:
        found = f"{data.task.name} ({', '.join(data.task.classes)}) in {data.folder}"
        expected = f"labels that have a class of the run's task, {task.name} ({', '.join(task.classes)})"
        raise KerasDrError(expected, found, f"Prepare with --task {task.name}.")
    return replace(data, task=task, rows=rows)


def _class_of(row: Mapping[str, str], task: Task) -> str | None:
    if task.name in TASKS and row["grade"]:
        index = task.labels[int(row["grade"])]
        return None if index is None else task.classes[index]
    return row["label"] if row["label"] in task.classes and task.name not in TASKS else None


def overlap(rows: Iterable[Mapping[str, str]], trained_on: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """How many photographs are, by the bytes of their file or by their pixels, in a run's train or val split.

    Args:
        rows: of a manifest, the photographs to measure on.
        trained_on: of the run's own manifest.
    """
    known = {row[key]: row["split"] for row in trained_on for key in _HASHES if row.get(key)}
    found = Counter(next((known[row[key]] for key in _HASHES if row.get(key) in known), "") for row in rows)
    return {split: found[split] for split in ("train", "val")}
