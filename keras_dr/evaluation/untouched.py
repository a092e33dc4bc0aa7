"""Finds photographs that chose nothing for a run, for a promise or for sets of grades."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.metrics.predictions import Predictions, patient_codes
from keras_dr.preparation.audit import LEARNED_FROM, seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import CALIBRATION
from keras_dr.training.forward import decode, forward
from keras_dr.training.run import Run


def untouched_predictions(
    run: Run, data: PreparedSet | Path | str | None, split: str | None
) -> tuple[PreparedSet, Predictions, str]:
    """Return photographs that chose nothing for a run, and its predictions for them.

    Args:
        run: the grader.
        data: a Prepared set; None: the run's own set, which needs a calibration split.
        split: its split; None: "calibration" of the run's own set, "all" of another one.

    Returns:
        The photographs; the predictions, whose patients are patients or blocks; and which of these two words is right.

    Raises:
        KerasDrError: the run's own set has no calibration split, or another split of it was named; the run, or a run
            that it started or learned from, has learned from the photographs; or their patients are not known.
    """
    photographs = _photographs(run, data, split)
    patients, unit = units(photographs)
    probabilities = decode(run, forward(run, run.model(), photographs))
    return photographs, Predictions(photographs.labels(), probabilities, run.task, run.rule, patients), unit


def units(data: PreparedSet) -> tuple[NDArray[np.int64], str]:
    """Return the patient of each photograph, int (n,), and the word for it; blocks where patients are not known.

    Raises:
        KerasDrError: neither patients nor blocks are known.
    """
    source = data.about.get("inspection", {}).get("patients_from", "")
    if source != "unknown":
        return patient_codes(data.rows), "patients"
    groups = [row["group_id"] for row in data.rows]
    if max(Counter(groups).values()) == 1:
        message = f"The patients of {data.folder} are not known, so no promise can be made about them."
        raise KerasDrError(message, "Prepare the set with --patient-column or --patients names.")
    return np.unique(groups, return_inverse=True)[1], "blocks"


def _photographs(run: Run, data: PreparedSet | Path | str | None, split: str | None) -> PreparedSet:
    photographs = run.prepared_set(data)
    if not run.is_own(photographs):
        photographs = photographs.split(split or "all")
        _check_not_learned(run, photographs)
        return photographs
    if split not in (None, CALIBRATION):
        raise KerasDrError(
            f"{photographs.folder} is the run's own set: its train and val photographs have chosen weights and "
            "thresholds, and its test photographs are kept for measuring.",
            "Leave --split out, or name a prepared set of other patients.",
        )
    if all(row["split"] != CALIBRATION for row in photographs.rows):
        raise KerasDrError(
            f"{photographs.folder}, the run's own set, has no calibration split: all its patients have chosen weights "
            "or thresholds, or are kept for measuring.",
            "Name a prepared set of other patients, or prepare the set with --calibration 0.15 and train again.",
        )
    _check_recorded(run)
    return photographs.split(CALIBRATION)


def _check_recorded(run: Run) -> None:
    """Refuse a run whose earlier runs or teachers learned from its calibration split; run.json says how many."""
    for entry in (*run.about.get("started_from", ()), *run.about.get("taught_by", ())):
        count = None if entry["met"] is None else entry["met"].get(CALIBRATION, 0)
        if count is None:
            message = f"It is not known whether {entry['run']}, from which the run learned, met the calibration split."
            raise KerasDrError(message, "Name a prepared set of other patients.")
        if count:
            message = f"{entry['run']}, from which the run learned, met {count} photographs of the calibration split."
            raise KerasDrError(message, "Name a prepared set of other patients.")


def _check_not_learned(run: Run, data: PreparedSet) -> None:
    """Refuse photographs that the run, or a run from which it learned, has learned from."""
    for home in _homes(run):
        met = seen_in(home, data)
        count = int(sum((met == split).sum() for split in LEARNED_FROM))
        if count:
            message = f"The run has learned from {count} of the {len(data.rows)} photographs in {data.folder}."
            raise KerasDrError(message, "Leave them out, and prepare the set again.")


def _homes(run: Run) -> Iterator[PreparedSet]:
    """Yield the Prepared sets of the run, and of the runs that it started or learned from.

    Raises:
        KerasDrError: one of them is gone.
    """
    yield run.own_set()
    for entry in (*run.about.get("started_from", ()), *run.about.get("taught_by", ())):
        yield Run.load((run.folder.resolve() / entry["run"]).resolve()).own_set()
