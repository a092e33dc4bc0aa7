"""Operating points: thresholds on the probability of referable DR, chosen on validation, measured anywhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Aim:
    """What a threshold is chosen for.

    Attributes:
        targets: "sensitivity" or "specificity" -> what it has to reach, 0..1; none: Youden's J, their sum, is highest.
        strict: whether it must lie above the targets.
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
        value: on the probability of referable DR, 0..1; just above 1 where even a score of 1 is not referred.
        targets: as in `Aim`.
        strict: as in `Aim`.
        sensitivity, specificity: measured on the photographs that it was chosen on, 0..1; None where nobody is referred
            by the task.
    """

    value: float
    targets: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    sensitivity: float | None = None
    specificity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)

    def reached(self, figure: str, value: float | None) -> bool | None:
        """Whether a measured sensitivity or specificity reaches the target; None where there is none of either."""
        if value is None or figure not in self.targets:
            return None
        return value > self.targets[figure] if self.strict else value >= self.targets[figure]


def choose(positive: NDArray[np.bool_], scores: NDArray[np.float64], aim: Aim) -> OperatingPoint:
    """The threshold that reaches all targets, or comes nearest to the one that it misses most.

    Among those that do, the one that is best on what is not aimed at, then on the sum of sensitivity and specificity.
    Candidates lie halfway between neighbouring scores, so that a score moved by rounding changes no decision.

    Args:
        positive: bool (n,), truly referable.
        scores: float (n,), p_referable.
        aim: what for.

    Raises:
        ValueError: only one kind of photograph is present.
    """
    if not 0 < positive.sum() < len(positive):
        raise ValueError("a threshold needs referable and non-referable photographs")
    candidates, sensitivity, specificity = _curve(positive, scores)
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    tiny = 1e-9 if aim.strict else 0.0  # less than one photograph in a million
    missed = [np.maximum(0, target + tiny - figures[name]) for name, target in aim.targets.items()]
    shortfall = np.max(missed, axis=0) if missed else np.zeros(len(candidates))
    free = sum(values for name, values in figures.items() if name not in aim.targets)
    best = np.lexsort((sensitivity + specificity, free + np.zeros(len(candidates)), -shortfall))[-1]
    return OperatingPoint(
        float(candidates[best]), dict(aim.targets), aim.strict, float(sensitivity[best]), float(specificity[best])
    )


def _curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Candidate thresholds, ascending, and sensitivity and specificity at each."""
    values, place = np.unique(scores, return_inverse=True)
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between > values[:-1], between, values[1:])  # of neighbouring floats the mean is the lower one
    candidates = np.concatenate([[0.0], between, [values[-1] + 1e-6]])
    below = [
        np.concatenate([[0], np.cumsum(np.bincount(place[kind], minlength=len(values)))])
        for kind in (positive, ~positive)
    ]
    return candidates, (positive.sum() - below[0]) / positive.sum(), below[1] / (~positive).sum()


@dataclass(frozen=True)
class Threshold:
    """An operating point with one target: "rule" names the figure that had to reach `target`."""

    value: float
    rule: str
    target: float
    sensitivity: float
    specificity: float

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)


def choose_threshold(positive: NDArray[np.bool_], scores: NDArray[np.float64], rule: str, target: float) -> Threshold:
    """`choose` for one target, in the form of run.json's "operating_point"; positive and scores as for `choose`."""
    point = choose(positive, scores, Aim({rule: target}))
    return Threshold(point.value, rule, target, float(point.sensitivity or 0), float(point.specificity or 0))


def predictive_values(sensitivity: Any, specificity: Any, prevalence: float) -> tuple[Any, Any]:
    """PPV and NPV by Bayes' theorem, NaN where nobody (or everybody) would be referred; 0..1 or arrays of it.

    Args:
        sensitivity, specificity: 0..1, float or arrays of one shape.
        prevalence: share of referable eyes among those photographed, 0..1.
    """
    sensitivity, specificity = np.asarray(sensitivity, float), np.asarray(specificity, float)
    hits, misses = sensitivity * prevalence, (1 - sensitivity) * prevalence
    alarms, cleared = (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        return hits / (hits + alarms), cleared / (cleared + misses)
