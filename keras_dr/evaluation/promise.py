"""Adds an operating point with a promise to a run, calibrated on photographs that chose nothing."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint, Promise
from keras_dr.metrics.operating_points import measured
from keras_dr.metrics.predictions import Predictions, patient_codes
from keras_dr.metrics.promises import choose_promise, too_few
from keras_dr.preparation.audit import LEARNED_FROM, seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.forward import decode, forward
from keras_dr.training.run import Run


def promise(
    run: Run | Path | str,
    data: PreparedSet | Path | str,
    split: str = "all",
    *,
    risk: float = 0.1,
    confidence: float = 0.95,
) -> OperatingPoint:
    """Choose a threshold at which few patients are missed, with stated confidence, and add it to the run's points.

    The point is called "promise-10" for a risk of 10 %, and travels with bundles that are exported afterwards. See
    `metrics.promises` for the method, and for what the promise needs.

    Args:
        run: the grader, or its folder.
        data: a Prepared set whose photographs chose nothing for this run; the run's own set cannot be used.
        split: the split of that set: "train", "val", "test" or "all"; by default "all".
        risk: share of the patients with referable DR that may be missed, above 0 and below 1; by default 0.1.
        confidence: probability that the promise holds, above 0 and below 1; by default 0.95.

    Returns:
        The operating point with its promise.

    Raises:
        KerasDrError: the run refers nobody; the set is the run's own, or the run has learned from photographs of it;
            its patients are not known; or there are too few of them.

    Example:
        >>> dr.promise("runs/idrid", "prepared/clinic", risk=0.1).promise.missed
        4
    """
    for name, value in (("risk", risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise KerasDrError(f"The {name} is {value}; it must be above 0 and below 1.", f"Correct --{name}.")
    run = Run.load(run)
    if not run.task.referable:
        raise KerasDrError(f"{run.folder} refers nobody, so nothing can be promised.", "Choose another run.")
    photographs = run.prepared_set(data).split(split)
    _check_untouched(run, photographs)
    patients, unit = _units(photographs)
    probabilities = decode(run, forward(run, run.model(), photographs))
    predictions = Predictions(photographs.labels(), probabilities, run.task, run.decision, patients)
    kept = choose_promise(predictions, risk, confidence)
    if kept is None:
        count = len(np.unique(patients[predictions.positive]))
        raise KerasDrError(too_few(count, unit, risk, confidence), "Prepare more photographs, or raise --risk.")
    threshold, count, missed = kept
    kept_promise = Promise(risk, confidence, unit, count, missed, photographs.name)
    point = replace(measured(predictions, OperatingPoint(threshold)), promise=kept_promise)
    content = {key: value for key, value in run.about.items() if key not in ("schema_version", "versions")}
    points = {**content.get("operating_points", {}), f"promise-{100 * risk:g}": point.to_dict()}
    folders.write_manifest(run.folder, "run", **content | {"operating_points": points})
    return point


def _check_untouched(run: Run, data: PreparedSet) -> None:
    """Refuse photographs that chose anything for the run."""
    if run.is_own(data):
        raise KerasDrError(
            f"{data.folder} is the run's own set: its train and val photographs have chosen weights and thresholds, "
            "and its test photographs are kept for measuring.",
            "Name a prepared set of other patients.",
        )
    met = seen_in(run.own_set(), data)
    count = int(sum((met == split).sum() for split in LEARNED_FROM))
    if count:
        message = f"The run has learned from {count} of the {len(data.rows)} photographs in {data.folder}."
        raise KerasDrError(message, "Leave them out, and prepare the set again.")


def _units(data: PreparedSet) -> tuple[NDArray[np.int64], str]:
    """Return the patient of each photograph, int (n,), and the word for it; blocks where patients are not known."""
    source = data.about.get("inspection", {}).get("patients_from", "")
    if source != "unknown":
        return patient_codes(data.rows), "patients"
    groups = [row["group_id"] for row in data.rows]
    if max(Counter(groups).values()) == 1:
        message = f"The patients of {data.folder} are not known, so no promise can be made about them."
        raise KerasDrError(message, "Prepare the set with --patient-column or --patients names.")
    return np.unique(groups, return_inverse=True)[1], "blocks"
