"""Whom to send on: ungradable photographs, uncertain ones, and patients with two eyes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.metrics import weighted
from keras_dr.metrics.intervals import bootstrap, delong_interval, proportion
from keras_dr.metrics.measure import single
from keras_dr.metrics.predictions import Predictions

UNGRADABLE = "ungradable"


def _rates(positive: NDArray[np.bool_], referred: NDArray[np.bool_], patients: NDArray[np.int64]) -> dict[str, Any]:
    """Sensitivity and specificity with their intervals; bool (n,), bool (n,), int (n,)."""
    once = np.ones((1, len(positive)))
    return {
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "sensitivity": single(weighted.share(once, referred, positive)),
        "sensitivity_interval": proportion(referred, positive, patients),
        "specificity": single(weighted.share(once, ~referred, ~positive)),
        "specificity_interval": proportion(~referred, ~positive, patients),
    }


def ungradable(of: Predictions, threshold: float) -> dict[str, Any] | None:
    """Referral with photographs too poor to grade counted as referred, and left out; imageability.

    As in the IDx-DR trial (M. Abramoff et al., npj Digital Medicine 1:39, 2018): imageability is the share of truly
    gradable photographs that the grader does not call ungradable.

    Args:
        of: predictions; their task has a class "ungradable", or the answer is None.
        threshold: refer where p_referable >= threshold.
    """
    if UNGRADABLE not in of.task.classes or not of.task.referable:
        return None
    index = of.task.classes.index(UNGRADABLE)
    truly, called, referred = of.labels == index, of.predicted == index, of.scores >= threshold
    kept = ~truly & ~called
    once = np.ones((1, len(truly)))
    return {
        "imageability": single(weighted.share(once, ~called, ~truly)),
        "imageability_interval": proportion(~called, ~truly, of.patients),
        "counted_as_referred": _rates(of.positive | truly, referred | called, of.patients),
        "left_out": _rates(of.positive[kept], referred[kept], of.patients[kept]),
    }


def certainty(of: Predictions, threshold: float) -> NDArray[np.float64]:
    """How far each decision is from turning over, float (n,), >= 0.

    The distance of p_referable from the threshold in log odds; where the task refers nobody, the predicted class's
    probability.
    """
    if not of.task.referable:
        return of.confidence
    p, t = np.clip(of.scores, 1e-6, 1 - 1e-6), np.clip(threshold, 1e-6, 1 - 1e-6)
    return np.abs(np.log(p / (1 - p)) - np.log(t / (1 - t)))


def band(of: Predictions, threshold: float, quantiles: Sequence[float], human: float) -> dict[str, Any]:
    """Leave the least certain share of photographs to a human, by a limit that was fixed on validation.

    Args:
        of: predictions.
        threshold: refer where p_referable >= threshold.
        quantiles: of `certainty` on validation, 0 to 100 % evenly.
        human: share of validation photographs that would go to a human, 0..1.

    Returns:
        That share, the limit, the share that goes here, and the errors of the rest, each with its interval.
    """
    limit = float(np.interp(human, np.linspace(0, 1, len(quantiles)), quantiles))
    sure, everyone = certainty(of, threshold) >= limit, np.ones(len(of.labels), bool)
    if human <= 0:
        sure = everyone
    once = np.ones((1, len(everyone)))
    found: dict[str, Any] = {"aimed": human, "limit": limit}
    for name, (hit, among) in {
        "sent": (~sure, everyone),
        "grade_error": (~of.right, sure),
        "referral_error": (of.positive != (of.scores >= threshold), sure),
    }.items():
        known = bool(of.task.referable) or name != "referral_error"
        found[name] = single(weighted.share(once, hit, among)) if known else None
        found[f"{name}_interval"] = proportion(hit, among, of.patients) if known else None
    return found


def coverage_curve(wrong: NDArray[np.bool_], sure: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Error of the n surest photographs for n = 1 .. all: coverage and error, float (n,) each.

    Y. Geifman and R. El-Yaniv, NeurIPS 2017. Photographs that are equally sure share the error at their last one.

    Args:
        wrong: bool (n,).
        sure: float (n,), higher for surer ones.
    """
    order = np.argsort(-sure, kind="stable")
    count = np.arange(1, len(wrong) + 1)
    error = np.cumsum(wrong[order]) / count
    last = np.searchsorted(-sure[order], -sure[order], side="right") - 1
    return count / len(wrong), error[last]


def per_patient(of: Predictions, threshold: float) -> dict[str, Any] | None:
    """Worst eye: a patient is referable or referred if one photograph is; None where the task refers nobody."""
    if not of.task.referable:
        return None
    people = int(of.patients.max()) + 1
    positive, referred, score = np.zeros(people, bool), np.zeros(people, bool), np.zeros(people)
    np.logical_or.at(positive, of.patients, of.positive)
    np.logical_or.at(referred, of.patients, of.scores >= threshold)
    np.maximum.at(score, of.patients, of.scores)
    once, each = np.ones((1, people)), np.arange(people)
    area = weighted.ranking(once, positive, score)[0]
    intervals = bootstrap(lambda weights: {"auroc": weighted.ranking(weights, positive, score)[0]}, each)
    return {
        "patients": people,
        "photographs_a_patient": len(of.labels) / people,
        **_rates(positive, referred, each),
        "auroc": single(area),
        "auroc_interval": intervals["auroc"] if single(area) is not None else None,
        "auroc_interval_delong": delong_interval(positive, score),
    }
