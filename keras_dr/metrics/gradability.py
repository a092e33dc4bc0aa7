"""Where a grader fails: figures of degraded photographs, and limits on their measured quality.

A grader holds at a strength of a fault if all of this is true:

- it keeps at least nine tenths of the sensitivity that it has on the photographs as they were taken;
- it gives the same grade as then to at least four fifths of the photographs;
- it tells photographs apart: it gives more than one grade, and sensitivity and specificity sum to more than 1. So a
  grader that answers always the same holds nowhere.

The limit of a fault is the median of its measure at the weakest strength at which the grader does not hold, and beyond
which at most one in twenty photographs lies as it was taken: a limit that refuses many photographs on which the grader
works says nothing about the fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.quality import FAULTS
from keras_dr.metrics.measure import Share
from keras_dr.metrics.predictions import Predictions

AS_TAKEN = "as taken"
LEAST_SENSITIVITY = 0.9  # of that on the photographs as taken
MOST_CHANGED = 0.2  # of the grades
MOST_REFUSED = 0.05  # of the photographs as taken, beyond one limit


@dataclass(frozen=True, eq=False)
class Step:
    """What a grader does with n photographs at one strength of one fault.

    Attributes:
        fault: key of `quality.FAULTS`, or `AS_TAKEN`.
        words: the strength in words, such as "light x 0.5".
        measures: measure of `quality` -> float (n,); NaN where no fundus was found.
        predictions: the grades of the photographs.
    """

    fault: str
    words: str
    measures: Mapping[str, NDArray[np.float64]]
    predictions: Predictions


def step_rows(steps: Sequence[Step], threshold: float) -> list[dict[str, Any]]:
    """Return what the grader does at each step, as rows of gradability.csv.

    Args:
        steps: the photographs as taken first; then the steps of each fault, from weak to strong.
        threshold: as for `Predictions.referred`.

    Returns:
        For each fault, the photographs as taken and then each strength: fault, strength (in words), measure and its
        median value (None if no fundus was found), sensitivity and specificity with the interval of the sensitivity,
        kept (the share of the sensitivity as taken that is left), same_grade with its interval, no_fundus (share of the
        photographs), and holds.
    """
    rows = []
    for fault, (measure, _) in FAULTS.items():
        for step in (steps[0], *(step for step in steps if step.fault == fault)):
            predictions = step.predictions
            as_taken = steps[0].predictions
            everyone = np.ones(len(predictions.labels), bool)
            same = Share(predictions.predicted == as_taken.predicted, everyone)
            found = np.isfinite(step.measures[measure])
            rows.append(
                {
                    "fault": fault,
                    "strength": step.words,
                    "measure": measure,
                    "value": float(np.nanmedian(step.measures[measure])) if found.any() else None,
                    **_rates(predictions, as_taken, threshold),
                    "same_grade": same.value(),
                    "same_grade_interval": same.interval(predictions.patients),
                    "no_fundus": float((~found).mean()),
                    "holds": holds(predictions, as_taken, threshold),
                }
            )
    return rows


def _rates(predictions: Predictions, as_taken: Predictions, threshold: float) -> dict[str, Any]:
    sensitivity = Share(predictions.referred(threshold), predictions.positive)
    specificity = Share(~predictions.referred(threshold), ~predictions.positive)
    before = Share(as_taken.referred(threshold), as_taken.positive).value()
    now = sensitivity.value()
    return {
        "sensitivity": now,
        "sensitivity_interval": sensitivity.interval(predictions.patients),
        "specificity": specificity.value(),
        "kept": now / before if before and now is not None else None,
    }


def holds(predictions: Predictions, as_taken: Predictions, threshold: float) -> bool:
    """Return whether a grader grades degraded photographs well enough, see the module.

    Args:
        predictions: of the degraded photographs.
        as_taken: of the same photographs as they were taken.
        threshold: as for `Predictions.referred`.
    """
    same = float((predictions.predicted == as_taken.predicted).mean())
    if same < 1 - MOST_CHANGED or len(np.unique(predictions.predicted)) < 2:
        return False
    if not predictions.task.referable:
        return True
    rates = _rates(predictions, as_taken, threshold)
    if rates["kept"] is None or rates["kept"] < LEAST_SENSITIVITY:
        return False
    return rates["specificity"] is None or rates["sensitivity"] + rates["specificity"] > 1


def find_gradability_limits(steps: Sequence[Step], threshold: float) -> dict[str, float]:
    """Return fault -> value of its measure beyond which the grader does not hold.

    A fault is absent if the grader holds at all its strengths, or if the measure of the fault does not show it: its
    median is no worse than on the photographs as they were taken, or too many of them lie beyond it.

    Args:
        steps: as for `step_rows`.
        threshold: as for `step_rows`.
    """
    as_taken = steps[0]
    limits: dict[str, float] = {}
    for step in steps[1:]:
        if step.fault in limits or holds(step.predictions, as_taken.predictions, threshold):
            continue
        measure, side = FAULTS[step.fault]
        if not np.isfinite(step.measures[measure]).any():
            continue
        value = float(np.nanmedian(step.measures[measure]))
        before = float(np.nanmedian(as_taken.measures[measure]))
        refused = _beyond(as_taken.measures[measure], value, side).mean()
        if (value > before if side else value < before) and refused <= MOST_REFUSED:
            limits[step.fault] = round(value, 4)
    return limits


def limit_rows(steps: Sequence[Step], limits: Mapping[str, float], threshold: float) -> list[dict[str, Any]]:
    """Return how the grader does on either side of each limit, over the photographs as taken and with that fault.

    Args:
        steps: as for `step_rows`.
        limits: from `find_gradability_limits`.
        threshold: as for `step_rows`.

    Returns:
        For each fault of `quality.FAULTS`: measure, limit (None if there is none), refused (the share of the
        photographs as taken that lie beyond it), and same_grade and sensitivity of the photographs within and beyond.
    """
    rows = []
    for fault, (measure, side) in FAULTS.items():
        own = [steps[0], *(step for step in steps if step.fault == fault)]
        row: dict[str, Any] = {"fault": fault, "measure": measure, "limit": limits.get(fault)}
        if fault in limits:
            beyond_each = [_beyond(step.measures[measure], limits[fault], side) for step in own]
            beyond = np.concatenate(beyond_each)
            same = np.concatenate([step.predictions.predicted == steps[0].predictions.predicted for step in own])
            referred = np.concatenate([step.predictions.referred(threshold) for step in own])
            positive = np.concatenate([step.predictions.positive for step in own])
            row["refused"] = float(beyond_each[0].mean())
            for name, among in (("within", ~beyond), ("beyond", beyond)):
                row[f"same_grade_{name}"] = Share(same, among).value()
                row[f"sensitivity_{name}"] = Share(referred, positive & among).value()
        rows.append(row)
    return rows


def refused_by(measures: Mapping[str, NDArray[np.float64]], limits: Mapping[str, float]) -> NDArray[np.bool_]:
    """Return which photographs lie beyond a limit or have no fundus, bool (n,).

    Args:
        measures: measure of `quality` -> float (n,); NaN where no fundus was found.
        limits: from `find_gradability_limits`.
    """
    poor = np.isnan(next(iter(measures.values())))
    for fault, limit in limits.items():
        name, side = FAULTS[fault]
        poor = poor | _beyond(measures[name], limit, side)
    return poor


def _beyond(values: NDArray[np.float64], limit: float, side: int) -> NDArray[np.bool_]:
    """Return which values lie beyond a lower (0) or upper (1) limit, bool (n,); without a fundus none does."""
    return values > limit if side else values < limit
