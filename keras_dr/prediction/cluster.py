"""`predict --engine ray`: photographs graded on a cluster, into parts that a killed command leaves whole.

    OUT/_predictions.json    with what was graded, how many, and the columns
        _photographs.jsonl   the photographs, as they were listed when the command was first given
        part-000000.parquet  a row a photograph, in the list's order; `error` says why it could not be graded
        ...

Table readers take the whole folder, as names that begin with "_" are none of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.photographs import grade_file
from edge_demo.results import FOOTER, column_types, failed_row, table_row
from edge_demo.trial import try_model
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import SkippedFiles, find_images, is_list, printable
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.core.progress import Progress, no_progress
from keras_dr.prediction.parts import Counts, Row, grade_with_journal, part_file, read_part_rows, write_part
from keras_dr.prediction.photograph_list import Part, read_part, split_list, write_list
from keras_dr.workers.ray_cluster import connected, map_on_workers

_DEATHS = 32  # of workers over one part: each photograph that kills takes two
_LIST = "_photographs.jsonl"


@dataclass(frozen=True)
class GradingJob:
    """What every worker must know.

    Attributes:
        bundle: its folder, absolute.
        folder: to write to.
        ending: of the parts' files, .parquet or .csv.
    """

    bundle: Path
    folder: Path
    ending: str


def grade_on_cluster(
    bundle_folder: Path,
    images: Sequence[Path],
    target: Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    part_size: int | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    skipped: SkippedFiles | None = None,
) -> Counts:
    """Grade photographs into a folder of parts; the same call goes on where a killed one stopped.

    Args:
        bundle_folder: a Bundle, of which the default variant.
        images: photographs, folders and manifests; see `find_images`.
        target: folder to write; ending in .csv, its parts are CSV, else Parquet.
        address: of a Ray cluster; None: one in here.
        workers: a model and a core each; None: as many as the cluster has cores.
        part_size: see `photographs.cut`.
        overwrite: replace an existing `target`.
        progress: called with (photographs done, photographs).
        skipped: is told each file of a folder that is passed over, while the photographs are listed.

    Returns:
        What `target` holds.

    Raises:
        KerasDrError: no bundle, a model that does not survive a trial, no photographs, `target` exists, Ray is
            missing, or the cluster fails.
    """
    check_holds_no_input(target, images)
    plan = _plan(bundle_folder, images, part_size)
    bundle = Bundle.load(bundle_folder)
    try_model(bundle.model_path(bundle.default_variant()))  # here, once, before it is loaded by worker after worker
    ending = ".csv" if target.suffix.lower() == ".csv" else ".parquet"
    with folders.growing_folder(target, "predictions", plan, overwrite, precious=True) as folder:
        write_list(find_images(images, skipped), folder / _LIST)
        parts = split_list(folder / _LIST, part_size)
        job = GradingJob(bundle_folder.resolve(), folder, ending)
        found = _grade_parts(job, parts, address, workers, progress)
        for journal in folder.glob(".part-*"):  # of workers that were taken for dead
            journal.unlink()
        folders.write_manifest(folder, "predictions", **_describe(job, len(parts), found))
    return found


def check_parts(target: Path) -> None:
    """Refuse a folder whose name says a format that parts are not written in.

    Raises:
        KerasDrError: it ends in one.
    """
    if target.suffix.lower() not in ("", ".csv", ".parquet"):
        message = f"The ending of {printable(target)} is none of the formats of a cluster's parts: .csv, .parquet."
        raise KerasDrError(message, "Choose a name that ends in one of them; without an ending it is .parquet.")


def _plan(bundle_folder: Path, images: Sequence[Path], part_size: int | None) -> dict[str, Any]:
    """What determines the result, but for the photographs' own content."""
    manifests = [path for path in images if is_list(path) and path.is_file()]
    return {
        "bundle_sha256": folders.sha256_of(bundle_folder / folders.MANIFESTS["bundle"]),
        "images": [(str(path), str(path.absolute())) for path in images],
        "manifests_sha256": [folders.sha256_of(path) for path in manifests],
        "part_size": part_size,
    }


def _describe(job: GradingJob, parts: int, found: Counts) -> dict[str, Any]:
    bundle = Bundle.load(job.bundle)
    variant = bundle.default_variant()
    return {
        "bundle": printable(job.bundle),
        "variant": variant,
        "model_sha256": bundle.models[variant].sha256,
        "threshold": bundle.threshold,
        "photographs": found.photographs,
        "referred": found.referred,
        "retake": found.retake,
        "failed": found.failed,
        "parts": parts,
        "columns": column_types(bundle),
        "notice": FOOTER,
    }


def _grade_parts(
    job: GradingJob, parts: Sequence[Part], address: str | None, workers: int | None, progress: Progress
) -> Counts:
    total, found, missing = sum(part.count for part in parts), Counts(), []
    for part in parts:
        file = part_file(job.folder, part.number, job.ending)
        if file.is_file():
            found += Counts.of(read_part_rows(file))
        else:
            missing.append(part)
    progress(found.photographs, total)
    if missing:
        with connected(address, workers) as ray:
            for part, figures in map_on_workers(ray, partial(PartGrader, job), missing, workers, _DEATHS):
                if figures is None:
                    message = f"Part {part.number} cannot be graded: {_DEATHS} workers died over it."
                    remedy = "Look at its photographs in _photographs.jsonl; leave out those that kill."
                    raise KerasDrError(message, remedy)
                found += figures
                progress(found.photographs, total)
    return found


class PartGrader:
    """One loaded model in one worker; called with part after part."""

    def __init__(self, job: GradingJob) -> None:
        self._job, bundle = job, Bundle.load(job.bundle)
        self._grader, self._columns = Grader(bundle, threads=1), column_types(bundle)

    def __call__(self, part: Part) -> Counts:
        file = part_file(self._job.folder, part.number, self._job.ending)
        rows = grade_with_journal(file, read_part(self._job.folder / _LIST, part), self._grade)
        write_part(file, self._columns, rows)
        return Counts.of(rows)

    def _grade(self, photograph: Path) -> Row:
        name = printable(photograph)
        try:
            return table_row(replace(grade_file(self._grader, photograph), path=name))
        except Exception as error:  # of whatever kind: it must not end the others' grading
            said = str(error) if isinstance(error, KerasDrError) else f"{type(error).__name__}: {error}"
            return failed_row(name, said)
