"""Chooses operating points on validation, such that the final action reaches their targets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import MARGIN, Cut
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.metrics.intervals import proportion
from keras_dr.metrics.predictions import Predictions


@dataclass(frozen=True)
class Aim:
    """The aim that a threshold is chosen for.

    Attributes:
        targets: "sensitivity" or "specificity" -> the value, 0..1, that it has to reach; empty: the threshold with the
            highest Youden's J, which is their sum less 1.
        strict: whether the targets must be exceeded, not only reached.
    """

    targets: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False


# Screening: the endpoints of the IDx-DR trial (M. Abramoff et al., npj Digital Medicine 1:39, 2018).
# Youden: Cancer 3(1), 1950.
AIMS = {
    "specificity-95": Aim({"specificity": 0.95}),
    "sensitivity-90": Aim({"sensitivity": 0.90}),
    "sensitivity-95": Aim({"sensitivity": 0.95}),
    "youden": Aim(),
    "screening": Aim({"sensitivity": 0.85, "specificity": 0.825}, strict=True),
}


def choose(predictions: Predictions, aim: Aim) -> OperatingPoint:
    """Return the threshold at which the final action reaches all targets, with the action's figures.

    If no threshold reaches them all, it is the one whose largest shortfall is smallest. Of several such thresholds, the
    one with the best figure among those without a target is taken, then the one with the highest sum of sensitivity and
    specificity. Candidates lie halfway between neighbouring scores, so that rounding a score changes no decision. The
    final action also refers referable grades and photographs within the margin; see `decision.ReferralRule`.

    Args:
        predictions: of photographs whose classes are known.
        aim: what the threshold is for.

    Raises:
        ValueError: the photographs are all positive or all negative.
    """
    positive = predictions.positive
    if not 0 < positive.sum() < len(positive):
        raise ValueError("A threshold needs referable and non-referable photographs.")
    by_grade = np.isin(predictions.predicted, predictions.task.referable)
    if isinstance(predictions.decision, Cut):  # the grade follows the threshold
        by_grade = np.zeros(len(positive), bool)
    candidates, sensitivity, specificity = _curve(positive, predictions.scores, by_grade)
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    margin = 1e-9 if aim.strict else 0.0  # less than one photograph in a million
    shortfall = np.zeros(len(candidates))
    without_target = np.zeros(len(candidates))
    for name, values in figures.items():
        if name in aim.targets:
            shortfall = np.maximum(shortfall, aim.targets[name] + margin - values)
        else:
            without_target = without_target + values
    best = np.lexsort((sensitivity + specificity, without_target, -shortfall))[-1]  # the last key counts first
    # photographs are referred from the margin below the threshold upwards, so the threshold lies a margin higher
    threshold = float(candidates[best]) + MARGIN
    return measured(predictions, OperatingPoint(threshold, dict(aim.targets), aim.strict))


def measured(predictions: Predictions, point: OperatingPoint) -> OperatingPoint:
    """Return a point with the figures of the final action on these photographs, and with their intervals."""
    referred = predictions.referred(point.value)
    positive = predictions.positive
    return replace(
        point,
        sensitivity=float(referred[positive].mean()),
        specificity=float((~referred[~positive]).mean()),
        sensitivity_interval=proportion(referred, positive, predictions.patients),
        specificity_interval=proportion(~referred, ~positive, predictions.patients),
        positive=int(positive.sum()),
        negative=int((~positive).sum()),
    )


def _curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], by_grade: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return candidate lowest scores to refer, ascending, and sensitivity and specificity at each.

    Args:
        positive: bool (n,), whether a photograph is truly referable.
        scores: float (n,), the probability of referable DR.
        by_grade: bool (n,), whether a photograph is referred by its grade, whatever its score.
    """
    values, index = np.unique(scores, return_inverse=True)
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between > values[:-1], between, values[1:])  # the mean of adjacent floats is the lower one
    candidates = np.concatenate([[0.0], between, [values[-1] + 1e-6]])
    missed_at = np.bincount(index[positive & ~by_grade], minlength=len(values))
    spared_at = np.bincount(index[~positive & ~by_grade], minlength=len(values))
    missed_below = np.concatenate([[0], np.cumsum(missed_at)])
    spared_below = np.concatenate([[0], np.cumsum(spared_at)])
    sensitivity = (positive.sum() - missed_below) / positive.sum()
    specificity = spared_below / (~positive).sum()
    return candidates, sensitivity, specificity


def predictive_values(sensitivity: Any, specificity: Any, prevalence: float) -> tuple[Any, Any]:
    """Return PPV and NPV by Bayes' theorem, 0..1; PPV is NaN if nobody would be referred, NPV if everybody would be.

    Args:
        sensitivity: 0..1, a float or an array.
        specificity: 0..1, a float or an array of the same shape.
        prevalence: share of referable eyes among those photographed, 0..1.
    """
    sensitivity = np.asarray(sensitivity, float)
    specificity = np.asarray(specificity, float)
    true_positives = sensitivity * prevalence
    false_negatives = (1 - sensitivity) * prevalence
    false_positives = (1 - specificity) * (1 - prevalence)
    true_negatives = specificity * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        ppv = true_positives / (true_positives + false_positives)
        npv = true_negatives / (true_negatives + false_negatives)
    return ppv, npv
