"""The rows of manifest.csv: their division into splits, their limits of quality, and their counts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from keras_dr.core import quality
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import Task
from keras_dr.datasets.records import SPLITS, Record
from keras_dr.preparation import duplicates
from keras_dr.preparation.photograph import Row, read_copy_square
from keras_dr.preparation.splits import (
    CALIBRATION,
    SplitShares,
    assign_splits,
    count_straddling,
    find_leaks,
    group_photographs,
)

COLUMNS = (
    "image_id",
    "patient_id",
    "eye",
    "grade",
    "label",
    "split",
    "group_id",
    "source",
    "source_sha256",
    "pixels_sha256",
    "perceptual_hash",
    "fundus_x",
    "fundus_y",
    "fundus_radius",
    *quality.COLUMNS,
)
STRETCHED = "stretched"  # an additional column in sets whose squashed photographs were stretched
REJECTED_COLUMNS = ("image_id", "source", "reason")


def columns_of(spec: Preprocessing) -> tuple[str, ...]:
    """Return the columns of manifest.csv, with `STRETCHED` and colours if squashed photographs are stretched."""
    return (*COLUMNS, STRETCHED, *quality.COLOURS) if spec.stretch else COLUMNS


def divide(
    kept: Sequence[tuple[Record, Row]],
    spec: Preprocessing,
    task: Task,
    shares: SplitShares,
    seed: int,
    keep_leaks: bool,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Divide the photographs into splits.

    Args:
        kept: the photographs that could be prepared, each with its row so far.
        spec: the preprocessing.
        task: the label space.
        shares: the sizes of the splits that the data set lacks.
        seed: the seed of these splits.
        keep_leaks: whether photographs in an official train or val split are kept although val or test has a copy.

    Returns:
        The rows of the manifest, without leaks unless they are kept; the leaks as rows of rejected.csv; and the rows of
        duplicates.csv.
    """
    rows = [row for _, row in kept]
    copies = duplicates.group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda index: read_copy_square(kept[index][0], spec),
    )
    neighbours = [record.neighbours for record, _ in kept]
    groups = group_photographs([record.patient_id for record, _ in kept], copies, neighbours)
    labels = [task.label(record) for record, _ in kept]
    official = [record.split for record, _ in kept]
    leaking = find_leaks(official, copies)
    leaks = [
        rows[index] | {"reason": f"copy of {official[copy]} photograph {rows[copy]['image_id']}"}
        for index, copy in leaking.items()
    ]
    staying = [index for index in range(len(kept)) if keep_leaks or index not in leaking]
    numbers = [-1 if label is None else label for label in labels]
    chosen = assign_splits(
        [official[index] for index in staying],
        [numbers[index] for index in staying],
        [groups[index] for index in staying],
        shares,
        seed,
    )
    splits = dict(zip(staying, chosen, strict=True))
    for index, ((record, row), label, group) in enumerate(zip(kept, labels, groups, strict=True)):
        row |= {
            "patient_id": record.patient_id,
            "eye": record.eye,
            "grade": "" if record.grade is None else record.grade,
            "label": "" if label is None else task.classes[label],
            "split": splits.get(index, record.split or "train"),
            "group_id": group,
        }
    return [rows[index] for index in staying], leaks, duplicates.list_copies(rows, copies)


def training_limits(rows: Sequence[Row], spec: Preprocessing) -> dict[str, dict[str, list[float]]]:
    """Return the limits of quality and of colours, from the training split."""
    training_rows = [row for row in rows if row["split"] == "train"]
    limits = {"quality_limits": quality.find_limits(training_rows)}
    if spec.stretch:  # rows that an older version wrote have no colours
        limits["colour_limits"] = quality.find_limits(training_rows, quality.COLOURS)
    return limits


def describe(records: Sequence[Record], rows: Sequence[Row], task: Task, spec: Preprocessing) -> dict[str, Any]:
    """Return the task and the counts of prepared.json.

    Args:
        records: all photographs that the data set lists.
        rows: the rows of the manifest.
        task: the label space.
        spec: the preprocessing.
    """
    labels = [task.label(record) for record in records]
    counts = _count(rows, task)
    published = Counter("" if label is None else task.classes[label] for label in labels)
    return {
        **task.to_dict(),
        "source_counts": {name: published[name] for name in counts["train"]},
        "counts": counts,
        "patients_on_both_sides": count_straddling([row["split"] for row in rows], [row["patient_id"] for row in rows]),
        "fundus_not_found": sum(not row["fundus_radius"] for row in rows) if spec.fundus == "auto" else 0,
        "stretched": sum(bool(row.get(STRETCHED)) for row in rows),
        "too_small_for_near_copies": sum(not row["perceptual_hash"] for row in rows),
        "not_gradable": sum(row["gradable"] == "no" for row in rows),
    }


def _count(rows: Sequence[Row], task: Task) -> dict[str, dict[str, int]]:
    """Return split -> class ("" in a set without grades) -> number of photographs.

    Raises:
        KerasDrError: the training split has photographs of fewer than two classes.
    """
    pairs = Counter((row["split"], row["label"]) for row in rows)
    labelled = any(row["label"] for row in rows)
    names = task.classes if labelled else ("",)
    splits = (*SPLITS, *([CALIBRATION] if any(split == CALIBRATION for split, _ in pairs) else []))
    counts = {split: {name: pairs[split, name] for name in names} for split in splits}
    in_training = [name for name, count in counts["train"].items() if count]
    if labelled and len(in_training) < 2:
        classes = f"are all of the class {in_training[0]}" if in_training else "have no class"
        message = f"The training photographs {classes}, but training needs two or more classes."
        raise KerasDrError(message, "Add photographs of other classes, or choose another --task.")
    return counts
