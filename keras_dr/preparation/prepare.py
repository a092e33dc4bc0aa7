"""Writes a Prepared set from the records of a published one; see `prepared` for what it holds.

Photographs are made ready in processes that never import TensorFlow. A call that was killed goes on where it stopped,
and ends with the bytes of one that was not. What grows with the number of photographs is their manifest rows alone.
"""

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from keras_dr.core import folders, quality
from keras_dr.core.encoding import encode_csv, encode_png
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import printable
from keras_dr.core.machine import usable_cores
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.progress import Progress
from keras_dr.core.samples import UNDECIDED
from keras_dr.datasets.grades import Task, check_task, choose_task
from keras_dr.datasets.inspection import Inspection, inspect
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import SPLITS, Record
from keras_dr.preparation import duplicates
from keras_dr.preparation.bit_depth import choose_bits
from keras_dr.preparation.journal import MapRecords, prepare_images
from keras_dr.preparation.photograph import Row, read_copy_square, source_name
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.preview import draw_preview
from keras_dr.preparation.splits import (
    SplitShares,
    assign_splits,
    check_seed,
    count_straddling,
    find_leaks,
    group_photographs,
)
from keras_dr.workers.processes import map_surviving
from keras_dr.workers.ray_cluster import check_engine, map_on_cluster

COLUMNS = (
    *("image_id", "patient_id", "eye", "grade", "label", "split", "group_id", "source", "source_sha256"),
    *("pixels_sha256", "perceptual_hash", "fundus_x", "fundus_y", "fundus_radius", *quality.COLUMNS),
)
STRETCHED = "stretched"  # a further column, of sets whose squashed photographs were stretched
REJECTED_COLUMNS = ("image_id", "source", "reason")


def check_arguments(
    *, task: str, size: int, enhance: str, fundus: str, val: float, test: float, engine: str, address: str | None
) -> None:
    """Refuse what `prepare` would refuse whatever the source is, before that is read; arguments as for `prepare`.

    Raises:
        KerasDrError: an argument out of range, or an unknown name.
    """
    check_task(task)
    Preprocessing(size, enhance, fundus)
    SplitShares(val, test)
    check_engine(engine, ("local", "ray"), address)


def prepare(
    source: Path | str | Inspection,
    target: Path | str,
    *,
    dataset: str = "auto",
    task: str = "auto",
    options: SourceOptions | None = None,
    size: int = 224,
    enhance: str = "none",
    fundus: str = "auto",
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 42,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    keep_leaks: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedSet:
    """Make the photographs of a published data set ready for training, and write them as a Prepared set.

    Args:
        source: the data set's folder, or a table of photographs; or what `inspect` found there, and then `dataset`,
            `task` and `options` are those that it was told.
        target: the folder to write.
        dataset: the name of the data set's adapter (a key of `DATASETS`); "auto" recognises it.
        task: the classes to tell apart: "icdr" (five grades), "icdr-ungradable", "referable" (grade 2 and above), or
            "classes" as the data set names them; "auto" is "icdr", or "classes" where there are no grades.
        options: what is said of the source instead of left to be understood, such as its columns and classes.
        size: side of the prepared square in pixels, 28 to 1024.
        enhance: "none", "clahe", "green", "ben-graham", or several joined by "+".
        fundus: "auto" crops to the fundus circle; "none" is for images of something else.
        val: share of the photographs for validation, where the data set has no validation split.
        test: share for test, where it has no test split.
        seed: of the division into splits.
        engine: "local", or "ray": on a Ray cluster.
        workers: processes; by default one per usable core. 0: work in this process, which a photograph that crashes
            the decoder then crashes too.
        address: of a running Ray cluster, host:port; by default one is started here.
        keep_leaks: whether official training photographs that are copies of test photographs are kept; by default they
            are left out.
        overwrite: whether an existing set at `target` is replaced; by default it is refused.
        progress: called with (photographs done, photographs in all).

    Returns:
        The Prepared set.

    Raises:
        KerasDrError: an argument out of range, a source that is not understood, `target` exists, labels that do not fit
            the task, an empty split, no readable photograph, or a full disk.

    Example:
        >>> data = dr.prepare("IDRiD", "prepared/idrid", size=512)
        >>> len(data.split("train").rows)
        330
    """
    target = Path(target)
    check_arguments(
        task=task, size=size, enhance=enhance, fundus=fundus, val=val, test=test, engine=engine, address=address
    )
    spec = Preprocessing(size, enhance, fundus)
    shares = SplitShares(val, test)
    map_records = partial(map_on_cluster, address=address, workers=workers) if engine == "ray" else None
    found = source if isinstance(source, Inspection) else inspect(source, dataset, task, options)
    prepare_records(
        found.records,
        found.source,
        target,
        spec,
        dataset=found.dataset,
        task=found.task,
        inspection=found,
        shares=shares,
        seed=seed,
        workers=workers,
        spread=map_records,
        overwrite=overwrite,
        keep_leaks=keep_leaks,
        progress=progress,
    )
    return PreparedSet.load(target)


def prepare_records(
    records: Sequence[Record],
    source: Path,
    target: Path,
    spec: Preprocessing,
    *,
    dataset: str,
    task: str | Task = "auto",
    inspection: Inspection | None = None,
    shares: SplitShares | None = None,
    seed: int = 42,
    workers: int | None = None,
    spread: MapRecords | None = None,
    overwrite: bool = False,
    keep_leaks: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a Prepared set of records.

    Args:
        records: the photographs.
        source: folder to which the manifest's `source` column is relative.
        target: folder to write.
        spec: preprocessing of every photograph.
        dataset: name of the adapter, for prepared.json.
        task: one of `TASK_NAMES`, or a task; photographs without a class in it are left out, with a line in
            rejected.csv.
        inspection: what was understood of the source, for prepared.json; what it leaves out stands in rejected.csv.
        shares: sizes of the splits that the data set lacks.
        seed: of these splits, 0 to `splits.MAX_SEED`.
        workers: processes; None: one a usable core; 0: none but this one, which a photograph that kills it takes along.
        spread: calls a function with each record, elsewhere, as `map_surviving` does here; then `workers` say nothing.
        overwrite: replace an existing `target`.
        keep_leaks: keep photographs in an official train or val split although val or test holds a copy.
        progress: called with (photographs done, photographs in all).

    Returns:
        What prepared.json says: counts by split and class, number rejected, duplicates, leaks, quality.

    Raises:
        KerasDrError: `target` exists, a seed out of range, labels do not fit the task, a split or all classes but
            one stay empty, no photograph is readable, or the disk is full.
    """
    check_seed(seed)
    shares, label_space = shares or SplitShares(), task if isinstance(task, Task) else choose_task(task, records)
    published, (records, left_out) = records, label_space.usable(records)
    left_out += inspection.reading.left_out if inspection else ()
    processes = usable_cores() if workers is None else workers
    spread = spread or partial(map_surviving, workers=processes)
    folders.check_target(target, "prepared", overwrite)  # before photographs are read
    check_holds_no_input(target, [source, *_folders_of(records)])
    before = spec.as_before()
    if folders.interrupted_plan(target) == json.loads(json.dumps(_plan(records, before))):
        spec = before  # it goes on as it began
    elif spec.bits == UNDECIDED:
        spec = replace(spec, bits=choose_bits(records, spread))
    plan = _plan(records, spec)
    with _room_for(target), folders.growing_folder(target, "prepared", plan, overwrite) as folder:
        outcomes = prepare_images(records, source, folder, spec, spread, progress)
        rejected = [row for row in outcomes if "reason" in row]
        if len(rejected) == len(records):
            first = f"{rejected[0]['source']}: {rejected[0]['reason'].rstrip('.')}"
            message = f"{source} has no readable photographs (number tried: {len(records)}). The first is {first}."
            raise KerasDrError(message, "Check SOURCE.")
        kept = [(record, row) for record, row in zip(records, outcomes, strict=True) if "reason" not in row]
        rows, leaks, copies = _divide(kept, spec, label_space, shares, seed, keep_leaks)
        rejected += [] if keep_leaks else leaks
        rejected += [
            {"image_id": record.image_id, "source": source_name(record.path, source), "reason": reason}
            for record, reason in left_out
        ]
        limits = _limits(rows, spec)
        for row in rows:
            row |= quality.judge(row, limits["quality_limits"])
        settings: dict[str, Any] = {"dataset": dataset, "source": _relative_source(source, target), "seed": seed}
        settings |= {"preprocessing": spec.to_dict(), "leaks_kept": keep_leaks}
        settings |= {"inspection": inspection.to_dict()} if inspection else {}
        about = settings | _describe(published, rows, label_space, spec)
        about |= {
            "rejected": len(rejected),
            **duplicates.count_copies(copies),
            "leaks": len(leaks),
            **limits,
        }
        tables = {"rejected": (REJECTED_COLUMNS, rejected), "duplicates": (duplicates.COLUMNS, copies)}
        for name, (columns, listed) in (tables | {"manifest": (_columns(spec), rows)}).items():
            folders.write_bytes(folder / f"{name}.csv", encode_csv(columns, listed))
        about["manifest_sha256"] = folders.sha256_of(folder / "manifest.csv")
        folders.write_bytes(
            folder / "preview.png", encode_png(draw_preview(folder, rows, list(about["counts"]["train"]), spec.size))
        )
        folders.write_manifest(folder, "prepared", **about)
        _sweep(folder, {f"{row['image_id']}.png" for row in rows})
        (folder / "progress.jsonl").unlink()
    return about


def _folders_of(records: Sequence[Record]) -> set[Path]:
    """Where photographs and their masks lie."""
    return {file.parent for record in records for file in (record.path, *record.masks.values())}


@contextmanager
def _room_for(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"There is no room on the disk of {target}: {error.strerror}."
        raise KerasDrError(message, "Free some; the same command then goes on from here.") from error


def _relative_source(source: Path, target: Path) -> str:
    base = source if source.is_dir() else source.parent
    return printable(Path(os.path.relpath(base.resolve(), target.resolve())).as_posix())


def _columns(spec: Preprocessing) -> tuple[str, ...]:
    """Of manifest.csv."""
    return (*COLUMNS, STRETCHED, *quality.COLOURS) if spec.stretch else COLUMNS


def _plan(records: Sequence[Record], spec: Preprocessing) -> dict[str, Any]:
    """What determines the prepared photographs."""
    return {
        "records": hashlib.sha256(repr(records).encode()).hexdigest(),
        "preprocessing": spec.to_dict(),
        "columns": _columns(spec),
        "schema_version": folders.SCHEMA_VERSION,
    }


def _divide(
    kept: Sequence[tuple[Record, Row]],
    spec: Preprocessing,
    task: Task,
    shares: SplitShares,
    seed: int,
    keep_leaks: bool,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of the manifest (leaks left out, unless kept), of leaks for rejected.csv, and of duplicates.csv."""
    rows = [row for _, row in kept]
    copies = duplicates.group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda index: read_copy_square(kept[index][0], spec),
    )
    alike = [record.neighbours for record, _ in kept]
    groups = group_photographs([record.patient_id for record, _ in kept], copies, alike)
    labels = [task.label(record) for record, _ in kept]
    official = [record.split for record, _ in kept]
    leaking = find_leaks(official, copies)
    leaks = [
        rows[index] | {"reason": f"copy of {official[of]} photograph {rows[of]['image_id']}"}
        for index, of in leaking.items()
    ]
    staying = [index for index in range(len(kept)) if keep_leaks or index not in leaking]
    chosen = assign_splits(
        [official[index] for index in staying],
        [-1 if (label := labels[index]) is None else label for index in staying],
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


def _limits(rows: Sequence[Row], spec: Preprocessing) -> dict[str, dict[str, list[float]]]:
    """The limits of quality and of colours, from the training split."""
    learned_from = [row for row in rows if row["split"] == "train"]
    limits = {"quality_limits": quality.find_limits(learned_from)}
    if spec.stretch:  # what an earlier version began has no colours in its rows
        limits["colour_limits"] = quality.find_limits(learned_from, quality.COLOURS)
    return limits


def _describe(records: Sequence[Record], rows: Sequence[Row], task: Task, spec: Preprocessing) -> dict[str, Any]:
    """What prepared.json counts."""
    labels, counts = [task.label(record) for record in records], _count(rows, task)
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
    """Split -> class ("" in a set without grades) -> photographs.

    Raises:
        KerasDrError: the training split has photographs of fewer than two classes.
    """
    pairs = Counter((row["split"], row["label"]) for row in rows)
    labelled = any(row["label"] for row in rows)
    counts = {split: {name: pairs[split, name] for name in (task.classes if labelled else ("",))} for split in SPLITS}
    taught = [name for name, count in counts["train"].items() if count]
    if labelled and len(taught) < 2:
        classes = f"of the class {taught[0]} alone" if taught else "of no class"
        message = f"The training photographs are {classes}, but training needs two or more classes."
        raise KerasDrError(message, "Add photographs of other classes, or choose another --task.")
    return counts


def _sweep(folder: Path, names: set[str]) -> None:
    """Remove images and masks of photographs that are not in the manifest, and what killed calls left half written."""
    for part in ("images", "masks"):
        for file in (folder / part).rglob("*"):
            if file.is_file() and file.name not in names:
                file.unlink()
    for file in folder.glob(".*.tmp"):
        file.unlink()
