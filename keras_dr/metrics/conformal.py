"""Calibrates sets of grades, and measures them on other photographs; see `core.grade_sets`.

The limit is a conformal quantile (Y. Romano, M. Sesia and E. Candes, NeurIPS 2020). With one photograph per patient it
is the ceil((n + 1) * coverage)-th smallest score of n patients. Photographs of one patient are not independent, so that
each patient has the weight 1 / (n + 1), divided among the patient's photographs (Y. Lee, R. Barber and R. Willett,
"Distribution-free inference with hierarchical data", arXiv:2306.06342, 2023). The coverage then holds for a photograph
of a new patient, on the mean over draws of the calibration patients.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.grade_sets import GradeSets, probability_before
from keras_dr.metrics.measure import Share
from keras_dr.metrics.predictions import Predictions

_ROUNDING = 1e-12  # sums of weights are exact only up to rounding


def patients_needed(coverage: float) -> int:
    """Return the least number of patients for sets with this coverage, above 0 and below 1.

    Example:
        >>> patients_needed(0.9), patients_needed(0.95)
        (9, 19)
    """
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def conformal_limit(scores: NDArray[np.float64], patients: NDArray[np.int64], coverage: float) -> float | None:
    """Return the least score that enough patients do not exceed; None if there are too few patients.

    Args:
        scores: float (n,), of the calibration photographs.
        patients: int (n,), the patient of each photograph, 0..P-1.
        coverage: above 0 and below 1.

    Example:
        >>> conformal_limit(np.arange(9) / 10, np.arange(9), 0.9)
        0.8
    """
    photographs = np.bincount(patients)
    weights = 1 / ((len(photographs) + 1) * photographs[patients])
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= coverage - _ROUNDING
    return float(scores[order][reached][0]) if reached.any() else None


def calibrate_sets(
    predictions: Predictions, coverage: float, threshold: float, unit: str, data: str
) -> GradeSets | None:
    """Return sets of grades, calibrated on photographs that chose nothing; None if there are too few patients.

    Args:
        predictions: their `patients` are patients, or blocks.
        coverage: share of photographs whose true grade is to be in its set, above 0 and below 1.
        threshold: of the operating point at which the added referrals are counted.
        unit: "patients" or "blocks".
        data: the name of the set of photographs.
    """
    scores = probability_before(predictions.probabilities, predictions.predicted)
    true_scores = scores[np.arange(len(scores)), predictions.labels]
    limit = conformal_limit(true_scores, predictions.patients, coverage)
    if limit is None:
        return None
    count = int(predictions.patients.max()) + 1
    sets = GradeSets(min(limit, 1.0), coverage, unit, count, data)
    added = _added(sets, predictions, threshold)
    if added is None:
        return sets
    return replace(sets, added=added.value(), added_interval=added.interval(predictions.patients))


def _added(sets: GradeSets, predictions: Predictions, threshold: float) -> Share | None:
    """Return the share of photographs that are not referred although their set has a referable grade."""
    referable = list(predictions.task.referable)
    if not referable:
        return None
    inside = sets.contains(predictions.probabilities, predictions.predicted)
    would = inside[:, referable].any(axis=1) & ~predictions.referred(threshold)
    return Share(would, np.ones(len(would), bool))


def measured_sets(sets: GradeSets, predictions: Predictions, threshold: float) -> dict[str, Any]:
    """Return the coverage and the size of sets on other photographs, and the referrals that they would add.

    Args:
        sets: calibrated on other photographs.
        predictions: of these photographs.
        threshold: of the operating point, on the probability of referable DR.

    Returns:
        "coverage" and "added" with their 95 % intervals (None where nobody is referred); "size", the mean number of
        grades; "single", the share of photographs whose set has one grade; "sets", the content of `sets`.
    """
    inside = sets.contains(predictions.probabilities, predictions.predicted)
    everyone = np.ones(len(inside), bool)
    covered = Share(inside[np.arange(len(inside)), predictions.labels], everyone)
    added = _added(sets, predictions, threshold)
    return {
        "sets": sets.to_dict(),
        "coverage": covered.value(),
        "coverage_interval": covered.interval(predictions.patients),
        "size": float(inside.sum(axis=1).mean()),
        "single": float((inside.sum(axis=1) == 1).mean()),
        "added": added.value() if added else None,
        "added_interval": added.interval(predictions.patients) if added else None,
    }
