"""Operating points: thresholds on the probability of referable DR, chosen on validation, measured on any set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    "youden": Aim(),
    "screening": Aim({"sensitivity": 0.85, "specificity": 0.825}, strict=True),
}


@dataclass(frozen=True)
class OperatingPoint:
    """Refer where p_referable >= value.

    Attributes:
        value: threshold on the probability of referable DR, 0..1; just above 1 if even a score of 1 is not referred.
        targets: as in `Aim`.
        strict: as in `Aim`.
        sensitivity: measured on the photographs that the point was chosen on, 0..1; None if the task refers nobody.
        specificity: measured on the same photographs, 0..1; None if the task refers nobody.
    """

    value: float
    targets: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    sensitivity: float | None = None
    specificity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    def reached(self, figure: str, value: float | None) -> bool | None:
        """Return whether a measured sensitivity or specificity reaches its target; None without a value or a target."""
        if value is None or figure not in self.targets:
            return None
        return value > self.targets[figure] if self.strict else value >= self.targets[figure]


def choose(positive: NDArray[np.bool_], scores: NDArray[np.float64], aim: Aim) -> OperatingPoint:
    """Return the threshold that reaches all targets; if none does, the one whose largest shortfall is smallest.

    Of several such thresholds, the one with the best figure among those without a target is taken, then the one with
    the highest sum of sensitivity and specificity. Candidates lie halfway between neighbouring scores, so that rounding
    a score changes no decision.

    Args:
        positive: bool (n,), whether a photograph is truly referable.
        scores: float (n,), p_referable.
        aim: what the threshold is for.

    Raises:
        ValueError: the photographs are all positive or all negative.
    """
    if not 0 < positive.sum() < len(positive):
        raise ValueError("A threshold needs referable and non-referable photographs.")
    candidates, sensitivity, specificity = _curve(positive, scores)
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
    return OperatingPoint(
        float(candidates[best]), dict(aim.targets), aim.strict, float(sensitivity[best]), float(specificity[best])
    )


def _curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return candidate thresholds, ascending, and sensitivity and specificity at each."""
    values, index = np.unique(scores, return_inverse=True)
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between > values[:-1], between, values[1:])  # the mean of adjacent floats is the lower one
    candidates = np.concatenate([[0.0], between, [values[-1] + 1e-6]])
    positive_at = np.bincount(index[positive], minlength=len(values))
    negative_at = np.bincount(index[~positive], minlength=len(values))
    positive_below = np.concatenate([[0], np.cumsum(positive_at)])
    negative_below = np.concatenate([[0], np.cumsum(negative_at)])
    sensitivity = (positive.sum() - positive_below) / positive.sum()
    specificity = negative_below / (~positive).sum()
    return candidates, sensitivity, specificity


@dataclass(frozen=True)
class Threshold:
    """An operating point with one target: `rule` names the figure that has to reach `target`."""

    value: float
    rule: str
    target: float
    sensitivity: float
    specificity: float

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)


def choose_threshold(positive: NDArray[np.bool_], scores: NDArray[np.float64], rule: str, target: float) -> Threshold:
    """Return the threshold of `choose` for one target, in the form of run.json's "operating_point".

    Args:
        positive: bool (n,), as for `choose`.
        scores: float (n,), as for `choose`.
        rule: the figure, "sensitivity" or "specificity", that has to reach the target.
        target: 0..1.
    """
    point = choose(positive, scores, Aim({rule: target}))
    return Threshold(point.value, rule, target, float(point.sensitivity or 0), float(point.specificity or 0))


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
