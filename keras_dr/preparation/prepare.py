"""Writes a Prepared set from the records of a data set; see `prepared_set` for its content.

Photographs are prepared in processes that never import TensorFlow. A call that was killed continues where it stopped,
and its result is the same, byte for byte, as that of an undisturbed call. Of what is held in memory, only the rows of
the manifest grow with the number of photographs.
"""

import errno
import hashlib
import json
import os
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
from keras_dr.datasets.grades import Task, choose_task
from keras_dr.datasets.inspection import Inspection, inspect
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import Record
from keras_dr.preparation import duplicates
from keras_dr.preparation.bit_depth import choose_bits
from keras_dr.preparation.journal import MapRecords, prepare_images
from keras_dr.preparation.manifest import REJECTED_COLUMNS, columns_of, describe, divide, training_limits
from keras_dr.preparation.photograph import Row, source_name
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.preview import draw_preview
from keras_dr.preparation.settings import PreparationSettings
from keras_dr.preparation.splits import SplitShares, check_seed
from keras_dr.workers.processes import map_surviving
from keras_dr.workers.ray_cluster import map_on_cluster


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
    calibration: float = 0.0,
    seed: int = 42,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    keep_leaks: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedSet:
    """Prepare the photographs of a data set for training, and write them as a Prepared set.

    Args:
        source: the data set's folder, or a table of photographs; or the result of `inspect`, and then `dataset`, `task`
            and `options` are those that `inspect` was given.
        target: the folder to write.
        dataset: the name of the data set's adapter (a key of `DATASETS`); "auto" recognises it.
        task: the classes to tell apart: "icdr" (five grades), "icdr-ungradable", "referable" (grade 2 and above), or
            "classes" as the data set names them; "auto" is "icdr", or "classes" if there are no grades.
        options: what you say about the source, such as its columns and classes; by default everything is recognised.
        size: side of the prepared square in pixels, 28 to 1024.
        enhance: "none", "clahe", "green", "ben-graham", or several joined by "+".
        fundus: "auto" crops to the fundus circle; "none" is for images that show no fundus.
        val: share of the photographs for validation, if the data set has no validation split.
        test: share of the photographs for test, if the data set has no test split.
        calibration: share of the photographs for a split of whole patients that chooses nothing: no weights, epoch,
            temperature or threshold. `promise` and `prediction_sets` need it. By default 0: there is none.
        seed: the seed of the division into splits.
        engine: "local" works on this machine, "ray" on a Ray cluster.
        workers: number of processes; by default one per usable core. 0: work in this process; a photograph that crashes
            the decoder then crashes it too.
        address: the address of a running Ray cluster, host:port; by default one is started on this machine.
        keep_leaks: whether official training photographs that are copies of test photographs are kept; by default they
            are left out.
        overwrite: whether an existing set at `target` is replaced; by default it is refused.
        progress: called with (photographs done, photographs in all).

    Returns:
        The Prepared set.

    Raises:
        KerasDrError: an argument is out of range, the source cannot be read, `target` exists, labels do not fit the
            task, a split is empty, no photograph can be read, or the disk is full.

    Example:
        >>> data = dr.prepare("IDRiD", "prepared/idrid", size=512)
        >>> len(data.split("train").rows)
        330
    """
    target = Path(target)
    settings = PreparationSettings(
        task=task,
        size=size,
        enhance=enhance,
        fundus=fundus,
        val=val,
        test=test,
        calibration=calibration,
        engine=engine,
        address=address,
    )
    map_records = partial(map_on_cluster, address=address, workers=workers) if engine == "ray" else None
    inspection = source if isinstance(source, Inspection) else inspect(source, dataset, task, options)
    prepare_records(
        inspection.records,
        inspection.source,
        target,
        settings.preprocessing(),
        dataset=inspection.dataset,
        task=inspection.task,
        inspection=inspection,
        shares=settings.shares(),
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
        source: the folder to which the manifest's column `source` is relative.
        target: the folder to write.
        spec: the preprocessing of every photograph.
        dataset: the name of the adapter, for prepared.json.
        task: a task, or one of `TASK_NAMES`; photographs without a class of the task are left out and listed in
            rejected.csv.
        inspection: the inspection of the source, for prepared.json; what it leaves out is listed in rejected.csv.
        shares: the sizes of the splits that the data set lacks; None: the defaults of `SplitShares`.
        seed: the seed of these splits, 0 to `splits.MAX_SEED`.
        workers: number of processes; None: one per usable core. 0: work in this process; a photograph that crashes the
            decoder then crashes it too.
        spread: calls a function with each record, as `map_surviving` does; then `workers` has no effect.
        overwrite: whether an existing `target` is replaced.
        keep_leaks: whether photographs in an official train or val split are kept although val or test has a copy.
        progress: called with (photographs done, photographs in all); None: not called.

    Returns:
        The content of prepared.json: counts by split and class, rejected photographs, duplicates, leaks, quality.

    Raises:
        KerasDrError: `target` exists, the seed is out of range, labels do not fit the task, a split is empty, the
            training photographs have only one class, no photograph can be read, or the disk is full.
    """
    check_seed(seed)
    shares = shares or SplitShares()
    label_space = task if isinstance(task, Task) else choose_task(task, records)
    published = records
    records, left_out = label_space.usable(published)
    if inspection:
        left_out += inspection.reading.left_out
    processes = usable_cores() if workers is None else workers
    spread = spread or partial(map_surviving, workers=processes)
    folders.check_target(target, "prepared", overwrite)  # before photographs are read
    check_holds_no_input(target, [source, *_folders_of(records)])
    before = spec.as_before()
    if folders.interrupted_plan(target) == json.loads(json.dumps(_plan(records, before))):
        spec = before  # continue the interrupted call as it began
    elif spec.bits == UNDECIDED:
        spec = replace(spec, bits=choose_bits(records, spread))
    plan = _plan(records, spec)
    with _room_for(target), folders.growing_folder(target, "prepared", plan, overwrite) as folder:
        outcomes = prepare_images(records, source, folder, spec, spread, progress)
        rejected = [row for row in outcomes if "reason" in row]
        if len(rejected) == len(records):
            raise _nothing_readable(source, rejected)
        kept = [(record, row) for record, row in zip(records, outcomes, strict=True) if "reason" not in row]
        rows, leaks, copies = divide(kept, spec, label_space, shares, seed, keep_leaks)
        if not keep_leaks:
            rejected += leaks
        rejected += [
            {"image_id": record.image_id, "source": source_name(record, source), "reason": reason}
            for record, reason in left_out
        ]
        limits = training_limits(rows, spec)
        for row in rows:
            row |= quality.judge(row, limits["quality_limits"])
        about: dict[str, Any] = {
            "dataset": dataset,
            "source": _relative_source(source, target, records),
            "seed": seed,
            "preprocessing": spec.to_dict(),
            "leaks_kept": keep_leaks,
        }
        if inspection:
            about["inspection"] = inspection.to_dict()
        about |= describe(published, rows, label_space, spec)
        about |= {
            "rejected": len(rejected),
            **duplicates.count_copies(copies),
            "leaks": len(leaks),
            **limits,
        }
        folders.write_bytes(folder / "rejected.csv", encode_csv(REJECTED_COLUMNS, rejected))
        folders.write_bytes(folder / "duplicates.csv", encode_csv(duplicates.COLUMNS, copies))
        folders.write_bytes(folder / "manifest.csv", encode_csv(columns_of(spec), rows))
        about["manifest_sha256"] = folders.sha256_of(folder / "manifest.csv")
        _complete(folder, about, rows, spec)
    return about


def _nothing_readable(source: Path, rejected: Sequence[Row]) -> KerasDrError:
    first = f"{rejected[0]['source']}: {rejected[0]['reason'].rstrip('.')}"
    message = f"{source} has no readable photographs ({len(rejected)} were tried). The first error is {first}."
    return KerasDrError(message, "Check SOURCE.")


def _complete(folder: Path, about: dict[str, Any], rows: Sequence[Row], spec: Preprocessing) -> None:
    """Draw the preview, write prepared.json, and remove what is no longer needed."""
    preview = draw_preview(folder, rows, list(about["counts"]["train"]), spec.size)
    folders.write_bytes(folder / "preview.png", encode_png(preview))
    folders.write_manifest(folder, "prepared", **about)
    _sweep(folder, {f"{row['image_id']}.png" for row in rows})
    (folder / "progress.jsonl").unlink()


def _folders_of(records: Sequence[Record]) -> set[Path]:
    """Return the folders of the photographs and of their masks."""
    return {file.parent for record in records for file in (record.path, *record.masks.values())}


@contextmanager
def _room_for(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"There is no room on the disk of {target}: {error.strerror}."
        raise KerasDrError(message, "Free some space; the same command then continues from here.") from error


def _relative_source(source: Path, target: Path, records: Sequence[Record]) -> str:
    """Return the path of the source relative to the set; of a folder that identifies a patient, the path to show."""
    base = source if source.is_dir() else source.parent
    hidden = next((record for record in records if record.shown_path and record.path.is_relative_to(base)), None)
    if hidden:
        depth = len(hidden.path.relative_to(base).parts)
        shown_base = Path(hidden.shown_path).parents[depth - 1]
        if shown_base != base:
            return printable(Path(os.path.relpath(shown_base, target.resolve())).as_posix())
    return printable(Path(os.path.relpath(base.resolve(), target.resolve())).as_posix())


def _plan(records: Sequence[Record], spec: Preprocessing) -> dict[str, Any]:
    """Return what determines the prepared photographs."""
    return {
        "records": hashlib.sha256(repr(records).encode()).hexdigest(),
        "preprocessing": spec.to_dict(),
        "columns": columns_of(spec),
        "schema_version": folders.SCHEMA_VERSION,
    }


def _sweep(folder: Path, names: set[str]) -> None:
    """Remove images and masks of photographs that are not in the manifest, and files that killed calls left."""
    for part in ("images", "masks"):
        for file in (folder / part).rglob("*"):
            if file.is_file() and file.name not in names:
                file.unlink()
    for file in folder.glob(".*.tmp"):
        file.unlink()
