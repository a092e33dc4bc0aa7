"""A threshold with a promise: with stated confidence, no more than a stated share of patients is missed.

The promise holds for patients who are drawn like those that it was calibrated on, and only if their photographs chose
nothing before: no weights, epoch, temperature or threshold. The thresholds of a fixed sequence are tested one after the
other, from the most cautious one on, by an exact binomial test, until one fails (A. Angelopoulos et al., "Learn then
Test", arXiv:2110.01052, 2021). The loss is one per patient: whether any photograph with referable DR is not referred by
the final action. Photographs of one patient are not independent, so they may not be counted one by one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from keras_dr.core.decision import MARGIN
from keras_dr.metrics.predictions import Predictions

_STEP = 0.005
# fixed before any photograph is seen; the first refers every photograph, the last only referable grades
THRESHOLDS = np.arange(MARGIN, 1 + 2 * MARGIN + _STEP, _STEP)


def needed(risk: float, confidence: float, missed: int = 0) -> int:
    """Return how many patients with referable DR a promise needs if so many of them are missed.

    Args:
        risk: as in `Promise`, above 0 and below 1.
        confidence: as in `Promise`, above 0 and below 1.
        missed: number of patients that are missed.

    Example:
        >>> needed(0.1, 0.95), needed(0.1, 0.95, missed=1)
        (29, 46)
    """
    count = missed + 1
    while binom.cdf(missed, count, risk) > 1 - confidence:
        count += 1
    return count


def upper_bound(missed: int, count: int, confidence: float) -> float:
    """Return the one-sided upper bound of a share, 0..1 (C. Clopper and E. Pearson, Biometrika 26(4), 1934).

    Args:
        missed: number of patients that are missed.
        count: number of patients, 1 or more.
        confidence: 0..1.

    Example:
        >>> round(upper_bound(0, 29, 0.95), 3)
        0.098
    """
    return 1.0 if missed == count else float(beta.ppf(confidence, missed + 1, count - missed))


def choose_promise(predictions: Predictions, risk: float, confidence: float) -> tuple[float, int, int] | None:
    """Return the highest threshold of `THRESHOLDS` that keeps a promise.

    Args:
        predictions: of photographs that chose nothing; their `patients` are patients, or blocks.
        risk: as in `Promise`.
        confidence: as in `Promise`.

    Returns:
        The threshold, the number of patients with referable DR, and how many of them are missed; None if there are too
        few patients for a promise at any threshold.
    """
    positive = predictions.positive
    patients = predictions.patients[positive]
    count = len(np.unique(patients))
    kept: tuple[float, int, int] | None = None
    for threshold in THRESHOLDS:
        missed = missed_patients(patients, ~predictions.referred(float(threshold))[positive])
        if count == 0 or binom.cdf(missed, count, risk) > 1 - confidence:
            break
        kept = (float(threshold), count, missed)
    return kept


def missed_patients(patients: NDArray[np.int64], missed: NDArray[np.bool_]) -> int:
    """Return how many patients have a missed photograph: int (n,) and bool (n,), photographs with referable DR."""
    return len(np.unique(patients[missed]))


def too_few(count: int, unit: str, risk: float, confidence: float) -> str:
    """Return the sentence that says how many patients a promise would need."""
    none_missed = needed(risk, confidence)
    return (
        f"There are {count} {unit} with the condition. A promise of at most {100 * risk:g} % with "
        f"{100 * confidence:g} % confidence needs {none_missed} of which none is missed, or "
        f"{needed(risk, confidence, 1)} of which one is."
    )


def kept_on(predictions: Predictions, threshold: float) -> dict[str, Any]:
    """Return how many patients with referable DR are missed on other photographs, for a comparison with a promise.

    Args:
        predictions: of photographs that did not calibrate the promise.
        threshold: of the point with the promise.

    Returns:
        "patients" with referable DR, "missed" of them, the "share" and its exact 95 % "interval"; the last two are None
        without such patients.
    """
    positive = predictions.positive
    patients = predictions.patients[positive]
    count = len(np.unique(patients))
    missed = missed_patients(patients, ~predictions.referred(threshold)[positive])
    if not count:
        return {"patients": 0, "missed": 0, "share": None, "interval": None}
    low = 1 - upper_bound(count - missed, count, 0.975)
    interval = (low, upper_bound(missed, count, 0.975))
    return {"patients": count, "missed": missed, "share": missed / count, "interval": interval}
