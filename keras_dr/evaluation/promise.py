"""Adds an operating point with a promise to a run, calibrated on photographs that chose nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_dr.core.decision import MARGIN
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint, Promise
from keras_dr.evaluation.untouched import untouched_predictions
from keras_dr.metrics.operating_points import measured
from keras_dr.metrics.promises import choose_promise, too_few
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.run import Run, save_changes


def promise(
    run: Run | Path | str,
    data: PreparedSet | Path | str | None = None,
    split: str | None = None,
    *,
    risk: float = 0.1,
    confidence: float = 0.95,
) -> OperatingPoint:
    """Choose a threshold at which few patients are missed, with stated confidence, and add it to the run's points.

    The point is called "promise-10" for a risk of 10 %, and travels with bundles that are exported afterwards. See
    `metrics.promises` for the method, and for what the promise needs.

    Args:
        run: the grader, or its folder.
        data: a Prepared set whose photographs chose nothing for this run; by default the run's own set, of which only
            the calibration split is used.
        split: the split of that set: "train", "val", "test", "calibration" or "all"; by default "calibration" of the
            run's own set, and "all" of another one.
        risk: share of the patients with referable DR that may be missed, above 0 and below 1; by default 0.1.
        confidence: probability that the promise holds, above 0 and below 1; by default 0.95.

    Returns:
        The operating point with its promise.

    Raises:
        KerasDrError: the run refers nobody; its own set has no calibration split; the run has learned from photographs
            of the set; its patients are not known; or there are too few of them.

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
    photographs, predictions, unit = untouched_predictions(run, data, split)
    kept = choose_promise(predictions, risk, confidence)
    if kept is None:
        count = len(np.unique(predictions.patients[predictions.positive]))
        raise KerasDrError(too_few(count, unit, risk, confidence), "Prepare more photographs, or raise --risk.")
    threshold, count, missed = kept
    kept_promise = Promise(risk, confidence, unit, count, missed, photographs.name, MARGIN)
    point = replace(measured(predictions, OperatingPoint(threshold)), promise=kept_promise)
    points = {**run.about.get("operating_points", {}), f"promise-{100 * risk:g}": point.to_dict()}
    save_changes(run, {"operating_points": points})
    return point
