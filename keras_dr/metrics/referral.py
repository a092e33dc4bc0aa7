"""Figures of referral for ungradable photographs, uncertain photographs, and patients with several photographs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import MARGIN, Cut
from keras_dr.metrics import weighted
from keras_dr.metrics.intervals import bootstrap, delong_interval
from keras_dr.metrics.measure import Share, single
from keras_dr.metrics.predictions import Predictions

UNGRADABLE = "ungradable"


def _rates(positive: NDArray[np.bool_], referred: NDArray[np.bool_], patients: NDArray[np.int64]) -> dict[str, Any]:
    """Return sensitivity and specificity with their intervals, of bool (n,), bool (n,) and int (n,)."""
    sensitivity = Share(referred, positive)
    specificity = Share(~referred, ~positive)
    return {
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "sensitivity": sensitivity.value(),
        "sensitivity_interval": sensitivity.interval(patients),
        "specificity": specificity.value(),
        "specificity_interval": specificity.interval(patients),
    }


def ungradable(predictions: Predictions, threshold: float) -> dict[str, Any] | None:
    """Return imageability, and figures of referral if ungradable photographs count as referred or are left out.

    As in the IDx-DR trial (M. Abramoff et al., npj Digital Medicine 1:39, 2018), imageability is the share of truly
    gradable photographs that the grader does not call ungradable.

    Args:
        predictions: the predictions; if their task has no class "ungradable" or refers nobody, the result is None.
        threshold: as for `Predictions.referred`.
    """
    task = predictions.task
    if UNGRADABLE not in task.classes or not task.referable:
        return None
    index = task.classes.index(UNGRADABLE)
    truly_ungradable = predictions.labels == index
    called_ungradable = predictions.predicted == index
    referred = predictions.referred(threshold)
    positive = predictions.positive
    patients = predictions.patients
    kept = ~truly_ungradable & ~called_ungradable
    imageability = Share(~called_ungradable, ~truly_ungradable)
    return {
        "imageability": imageability.value(),
        "imageability_interval": imageability.interval(patients),
        "counted_as_referred": _rates(positive | truly_ungradable, referred | called_ungradable, patients),
        "left_out": _rates(positive[kept], referred[kept], patients[kept]),
    }


def certainty(predictions: Predictions, threshold: float) -> NDArray[np.float64]:
    """Return how far each decision is from being reversed, float (n,), >= 0.

    It is the distance of p_referable, in log odds, from the probability at which the final action turns: a margin below
    the threshold, or one half if that is lower, because then the grade refers; of two classes, the grade follows the
    threshold. If the task refers nobody, it is the probability of the predicted class.
    """
    if not predictions.task.referable:
        return predictions.confidence
    highest = 1.0 if isinstance(predictions.decision, Cut) else 0.5
    turn = np.clip(min(threshold - MARGIN, highest), 1e-6, 1 - 1e-6)
    p = np.clip(predictions.scores, 1e-6, 1 - 1e-6)
    return np.abs(np.log(p / (1 - p)) - np.log(turn / (1 - turn)))


def band(predictions: Predictions, threshold: float, quantiles: Sequence[float], human: float) -> dict[str, Any]:
    """Return the errors that remain if the least certain photographs go to a human, by a limit fixed on validation.

    Args:
        predictions: the predictions.
        threshold: as for `Predictions.referred`.
        quantiles: evenly spaced quantiles of `certainty` on validation, 0 to 100 %.
        human: share of validation photographs that would go to a human, 0..1.

    Returns:
        aimed (that share), limit, sent (the share of these photographs that goes to a human), and grade_error and
        referral_error of the rest. The last three have intervals.
    """
    limit = float(np.interp(human, np.linspace(0, 1, len(quantiles)), quantiles))
    everyone = np.ones(len(predictions.labels), bool)
    sure = certainty(predictions, threshold) >= limit if human > 0 else everyone
    wrongly_referred = predictions.positive != predictions.referred(threshold)
    shares: dict[str, Share | None] = {
        "sent": Share(~sure, everyone),
        "grade_error": Share(~predictions.right, sure),
        "referral_error": Share(wrongly_referred, sure) if predictions.task.referable else None,
    }
    figures: dict[str, Any] = {"aimed": human, "limit": limit}
    for name, share in shares.items():
        figures[name] = share.value() if share else None
        figures[f"{name}_interval"] = share.interval(predictions.patients) if share else None
    return figures


def coverage_curve(wrong: NDArray[np.bool_], sure: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the error of the k most certain photographs for k = 1 to n: coverage and error, float (n,) each.

    Y. Geifman and R. El-Yaniv, NeurIPS 2017. Equally certain photographs share the error at the last of them.

    Args:
        wrong: bool (n,).
        sure: float (n,), higher for more certain photographs.
    """
    order = np.argsort(-sure, kind="stable")
    count = np.arange(1, len(wrong) + 1)
    error = np.cumsum(wrong[order]) / count
    last = np.searchsorted(-sure[order], -sure[order], side="right") - 1
    return count / len(wrong), error[last]


def per_patient(predictions: Predictions, threshold: float) -> dict[str, Any] | None:
    """Return figures per patient, by the worse eye; None if the task refers nobody.

    A patient is positive, or referred, if one or more of the photographs are.
    """
    if not predictions.task.referable:
        return None
    people = int(predictions.patients.max()) + 1
    positive = np.zeros(people, bool)
    referred = np.zeros(people, bool)
    score = np.zeros(people)
    np.logical_or.at(positive, predictions.patients, predictions.positive)
    np.logical_or.at(referred, predictions.patients, predictions.referred(threshold))
    np.maximum.at(score, predictions.patients, predictions.scores)
    patients = np.arange(people)
    area = single(weighted.ranking(np.ones((1, people)), positive, score)[0])
    intervals = bootstrap(lambda weights: {"auroc": weighted.ranking(weights, positive, score)[0]}, patients)
    return {
        "patients": people,
        "photographs_a_patient": len(predictions.labels) / people,
        **_rates(positive, referred, patients),
        "auroc": area,
        "auroc_interval": intervals["auroc"] if area is not None else None,
        "auroc_interval_delong": delong_interval(positive, score),
    }
