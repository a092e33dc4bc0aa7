"""Intervals: bootstrap over patients, Wilson for proportions, DeLong for areas under ROC curves; and paired tests."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

LEVEL = 0.95
RESAMPLES = 2000
_SEED = 42  # the same draws for every figure, so that graders are compared on the same resamples
_CELLS = 1 << 19  # weights computed at once: 4 MiB, which fits into a processor's cache
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)  # quantile of the normal distribution for two-sided intervals at `LEVEL`
Interval = tuple[float, float] | None
Key = TypeVar("Key", bound=Hashable)


def resamples(patients: NDArray[np.int64], count: int = RESAMPLES) -> Iterator[NDArray[np.float64]]:
    """Draw bootstrap resamples of patients (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

    Each resample draws as many patients as there are, with replacement, each with all photographs of that patient.

    Args:
        patients: int (n,), 0..P-1, the patient of each photograph.
        count: the total number of resamples.

    Yields:
        float (r, n), how often each photograph is in each of the next r resamples.
    """
    rng = np.random.default_rng(_SEED)
    people = int(patients.max()) + 1
    step = max(1, _CELLS // max(people, len(patients)))
    for first in range(0, count, step):
        rows = min(step, count - first)
        drawn = rng.integers(0, people, (rows, people)) + people * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * people).reshape(rows, people)
        yield times[:, patients].astype(float)


def bootstrap(
    figures: Callable[[NDArray[np.float64]], Mapping[Key, NDArray[np.float64]]],
    patients: NDArray[np.int64],
    count: int = RESAMPLES,
) -> dict[Key, Interval]:
    """Return percentile intervals of figures over `resamples`; resamples where a figure is undefined are ignored.

    Args:
        figures: turns weights (r, n) into name -> values (r,), NaN where the figure is undefined.
        patients: int (n,), as for `resamples`.
        count: the total number of resamples.
    """
    drawn: dict[Key, list[NDArray[np.float64]]] = {}
    for weights in resamples(patients, count):
        for name, values in figures(weights).items():
            drawn.setdefault(name, []).append(values)
    return {name: percentiles(np.concatenate(parts)) for name, parts in drawn.items()}


def percentiles(values: NDArray[np.float64]) -> Interval:
    """Return the limits of the middle `LEVEL` of values float (n,), ignoring NaN; None if nothing else is there."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(hits: float, total: float) -> Interval:
    """Return Wilson's score interval of a proportion (JASA 22(158), 1927); None without trials.

    Args:
        hits: number of successes, 0..total.
        total: number of trials; may be a fraction, see `proportion`.
    """
    if not total:
        return None
    p = hits / total
    centre = p + _Z * _Z / (2 * total)
    width = _Z * np.sqrt(p * (1 - p) / total + (_Z / (2 * total)) ** 2)
    scale = 1 + _Z * _Z / total
    return max(0.0, float((centre - width) / scale)), min(1.0, float((centre + width) / scale))


def proportion(hit: NDArray[np.bool_], among: NDArray[np.bool_], patients: NDArray[np.int64]) -> Interval:
    """Return Wilson's interval for the share of the photographs in `among` that are a `hit`, clustered by patient.

    The number of photographs is divided by the design effect: the variance of the share between patients divided by
    its variance for independent photographs (J. Rao and A. Scott, Biometrics 48(2), 1992, without their m / (m - 1), so
    that it is 1 if each patient has one photograph). If all or none are hits, the design effect is unknown: then
    patients are counted instead of photographs.

    Args:
        hit: bool (n,), the photographs that count as successes.
        among: bool (n,), the photographs that count at all.
        patients: int (n,), the patient of each photograph.
    """
    total = int(among.sum())
    hits = int((hit & among).sum())
    if not total:
        return None
    people = len(np.unique(patients[among]))
    if people == total or hits in (0, total):
        return wilson(hits / total * people, people)
    p = hits / total
    residual = np.bincount(patients[among], hit[among] - p)
    effect = max(1.0, float((residual**2).sum() / (total * p * (1 - p))))
    return wilson(hits / effect, total / effect)


@dataclass(frozen=True)
class Difference:
    """A paired difference.

    Attributes:
        value: first minus second.
        interval: of the value.
        p: two-sided probability of a difference at least this large if there is no true one; None if it is unknown.
    """

    value: float
    interval: Interval
    p: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero. An interval without width, from identical resamples, shows nothing."""
        low, high = self.interval or (0.0, 0.0)
        return low < high and (low > 0 or high < 0)


def delong(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas under k ROC curves of the same photographs, and the covariance of the areas.

    E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44(3), 1988, by midranks: X. Sun and W. Xu, IEEE Signal
    Processing Letters 21(11), 2014. Photographs count as independent.

    Args:
        positive: bool (n,), with at least two positive and two negative photographs.
        scores: float (k, n).

    Returns:
        float (k,) and (k, k).
    """
    positives = scores[:, positive]
    negatives = scores[:, ~positive]
    m = positives.shape[1]
    n = negatives.shape[1]
    ranks = rankdata(np.hstack([positives, negatives]), axis=1)
    above = (ranks[:, :m] - rankdata(positives, axis=1)) / n  # share of negatives below each positive
    below = 1 - (ranks[:, m:] - rankdata(negatives, axis=1)) / m  # share of positives above each negative
    return above.mean(axis=1), np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n


def _enough_for_delong(positive: NDArray[np.bool_]) -> bool:
    """Whether bool (n,) has at least two positive and two negative photographs."""
    return min(positive.sum(), (~positive).sum()) >= 2


def delong_interval(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Interval:
    """Return DeLong's interval of an area under the ROC curve, within 0..1.

    None unless there are at least two positive and two negative photographs.

    Args:
        positive: bool (n,).
        scores: float (n,).
    """
    if not _enough_for_delong(positive):
        return None
    areas, covariance = delong(positive, scores[None])
    reach = _Z * float(np.sqrt(max(0.0, covariance[0, 0])))
    return max(0.0, float(areas[0]) - reach), min(1.0, float(areas[0]) + reach)


def delong_difference(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Difference | None:
    """Return the first area minus the second, with DeLong's test.

    None unless there are at least two positive and two negative photographs.

    Args:
        positive: bool (n,).
        scores: float (2, n).
    """
    if not _enough_for_delong(positive):
        return None
    areas, covariance = delong(positive, scores)
    value = float(areas[0] - areas[1])
    error = float(np.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])))
    p: float | None
    if error:
        p = 2 * NormalDist().cdf(-abs(value) / error)
    elif value:
        p = None  # a difference without a standard error has no test
    else:
        p = 1.0
    reach = _Z * error
    return Difference(value, (value - reach, value + reach), p)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the two-sided p-value of McNemar's exact test that two graders are right equally often.

    Q. McNemar, Psychometrika 12(2), 1947.

    Args:
        first: bool (n,), whether the first grader is right.
        second: bool (n,), whether the second grader is right.
    """
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
