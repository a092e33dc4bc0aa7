"""Another data set's labels in a run's own classes."""

from collections.abc import Mapping
from dataclasses import replace

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.preparation.prepared_set import PreparedSet


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
