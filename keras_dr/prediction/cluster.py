"""Grades photographs on a Ray cluster (`predict --engine ray`) into a folder of parts.

    OUT/_predictions.json    the bundle, the counts and the columns
        _photographs.jsonl   the photographs, as they were listed when the command was first given
        part-000000.parquet  one row per photograph, in the order of the list; `error` says why one could not be graded
        ...

A part is complete or absent, even after the command was killed. Programs that read tables can read the whole folder,
because they ignore files whose names begin with "_".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.photographs import grade_file
from edge_demo.results import UNFAMILIAR, column_types, failed_row, notice, table_row
from edge_demo.trial import try_model
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import SkippedFiles, find_images, is_list, printable
from keras_dr.core.operating_point import DEFAULT
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.core.privacy import shown_error
from keras_dr.core.progress import Progress, no_progress
from keras_dr.prediction.parts import Counts, Row, grade_with_journal, part_file, read_part_rows, write_part
from keras_dr.prediction.photograph_list import Part, read_part, split_list, write_list
from keras_dr.workers.ray_cluster import connected, map_on_workers

_DEATHS = 32  # workers that may die in one part; each photograph that kills its worker takes two of them
_LIST = "_photographs.jsonl"


@dataclass(frozen=True)
class GradingJob:
    """The settings that every worker needs.

    Attributes:
        bundle: the absolute path of the bundle's folder.
        folder: the folder to write into.
        ending: the ending of the parts' files, .parquet or .csv.
        operating_point: as for `Bundle.at`.
        threshold: as for `Bundle.at`.
    """

    bundle: Path
    folder: Path
    ending: str
    operating_point: str | None = None
    threshold: float | None = None

    def load_bundle(self) -> Bundle:
        """Return the bundle at the operating point."""
        return Bundle.load(self.bundle).at(self.operating_point, self.threshold)


def grade_on_cluster(
    bundle_folder: Path,
    images: Sequence[Path],
    target: Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    part_size: int | None = None,
    operating_point: str | None = None,
    threshold: float | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    skipped: SkippedFiles | None = None,
) -> Counts:
    """Grade photographs into a folder of parts; after an interruption, the same call continues where it stopped.

    Args:
        bundle_folder: the folder of a Bundle, whose default variant is used.
        images: photographs, folders and lists; see `find_images`.
        target: the folder to write; its parts are CSV files if its name ends in .csv, and Parquet files otherwise.
        address: the address of a Ray cluster; by default a cluster is started on this machine.
        workers: the number of workers, each with one core and one loaded model; by default one per core of the cluster.
        part_size: the number of photographs per part; see `split_list`.
        operating_point: the name of the operating point at which photographs are referred; by default the default one.
        threshold: a threshold on the probability of referable DR instead, 0..1; by default that of the operating point.
        overwrite: whether an existing `target` is replaced; by default it is refused.
        progress: called with (photographs done, number of photographs).
        skipped: collects the files in folders that are not photographs, while the photographs are listed.

    Returns:
        The counts of the photographs in `target`.

    Raises:
        KerasDrError: the bundle or the photographs do not exist, the model fails its trial, `target` exists already,
            Ray is not installed, or the cluster fails.
    """
    check_holds_no_input(target, images)
    bundle = Bundle.load(bundle_folder).at(operating_point, threshold)
    plan = _plan(bundle, images, part_size)
    try_model(bundle.model_path(bundle.default_variant()))  # once here, so that a bad model does not kill the workers
    ending = ".csv" if target.suffix.lower() == ".csv" else ".parquet"
    with folders.growing_folder(target, "predictions", plan, overwrite, precious=True) as folder:
        write_list(find_images(images, skipped), folder / _LIST)
        parts = split_list(folder / _LIST, part_size)
        job = GradingJob(bundle_folder.resolve(), folder, ending, operating_point, threshold)
        counts = _grade_parts(job, parts, address, workers, progress)
        for journal in folder.glob(".part-*"):  # left by workers that did not answer any more
            journal.unlink()
        folders.write_manifest(folder, "predictions", **_describe(job, len(parts), counts))
    return counts


def check_parts(target: Path) -> None:
    """Refuse a folder whose name ends like a file of a format in which parts are not written.

    Raises:
        KerasDrError: the name has such an ending.
    """
    if target.suffix.lower() not in ("", ".csv", ".parquet"):
        message = f"With --engine ray, the result {printable(target)} must have one of the suffixes .csv, .parquet."
        raise KerasDrError(message, "Choose a name with one of them, or without a suffix for Parquet.")


def _plan(bundle: Bundle, images: Sequence[Path], part_size: int | None) -> dict[str, Any]:
    """Return everything that determines the result, except the content of the photographs."""
    lists = [path for path in images if is_list(path) and path.is_file()]
    plan: dict[str, Any] = {}
    if bundle.point_name != DEFAULT:
        plan = {"operating_point": bundle.point_name, "threshold": bundle.threshold}
    if bundle.colour_limits:
        plan["columns"] = list(_column_types(bundle))
    return plan | {
        "bundle_sha256": folders.sha256_of(bundle.folder / folders.MANIFESTS["bundle"]),
        "images": [(str(path), str(path.absolute())) for path in images],
        "manifests_sha256": [folders.sha256_of(path) for path in lists],
        "part_size": part_size,
    }


def _describe(job: GradingJob, parts: int, counts: Counts) -> dict[str, Any]:
    """Return the content of _predictions.json."""
    bundle = job.load_bundle()
    variant = bundle.default_variant()
    return {
        "bundle": printable(job.bundle),
        "variant": variant,
        "model_sha256": bundle.models[variant].sha256,
        "operating_point": bundle.point_name,
        "threshold": bundle.threshold,
        "photographs": counts.photographs,
        "referred": counts.referred,
        "retake": counts.retake,
        "failed": counts.failed,
        "parts": parts,
        "columns": _column_types(bundle),
        "notice": notice(bundle),
    }


def _column_types(bundle: Bundle) -> dict[str, str]:
    """Return the columns of every part; a part is written before it is known what is found in the others."""
    return column_types(bundle, [UNFAMILIAR] if bundle.colour_limits else [])


def _grade_parts(
    job: GradingJob, parts: Sequence[Part], address: str | None, workers: int | None, progress: Progress
) -> Counts:
    """Grade the parts that do not exist yet, and return the counts of all parts."""
    total = sum(part.count for part in parts)
    counts = Counts()
    missing = []
    for part in parts:
        file = part_file(job.folder, part.number, job.ending)
        if file.is_file():
            counts += Counts.from_rows(read_part_rows(file))
        else:
            missing.append(part)
    progress(counts.photographs, total)
    if not missing:
        return counts
    with connected(address, workers) as ray:
        for part, part_counts in map_on_workers(ray, partial(PartGrader, job), missing, workers, _DEATHS):
            if part_counts is None:
                message = f"Part {part.number} cannot be graded: {_DEATHS} workers died while they graded it."
                remedy = f"Check its photographs in {_LIST}, and leave out those that no worker survives."
                raise KerasDrError(message, remedy)
            counts += part_counts
            progress(counts.photographs, total)
    return counts


class PartGrader:
    """Grades one part after another in one worker, with a model that is loaded once."""

    def __init__(self, job: GradingJob) -> None:
        bundle = job.load_bundle()
        self._job = job
        self._grader = Grader(bundle, threads=1)
        self._columns = _column_types(bundle)

    def __call__(self, part: Part) -> Counts:
        file = part_file(self._job.folder, part.number, self._job.ending)
        rows = grade_with_journal(file, read_part(self._job.folder / _LIST, part), self._grade)
        write_part(file, self._columns, rows)
        return Counts.from_rows(rows)

    def _grade(self, photograph: Path) -> Row:
        try:
            return table_row(grade_file(self._grader, photograph))
        except Exception as error:  # of any kind, because it must not stop the grading of the other photographs
            reason = shown_error(error, photograph, self._grader.privacy)
            if not isinstance(error, KerasDrError):
                reason = f"{type(error).__name__}: {reason}"
            return failed_row(self._grader.name_of(photograph), reason)
