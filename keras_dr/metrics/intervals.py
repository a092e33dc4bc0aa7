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
_CELLS = 1 << 19  # weights made at once: 4 MiB, which a processor's cache holds
Interval = tuple[float, float] | None
Key = TypeVar("Key", bound=Hashable)


def resamples(patients: NDArray[np.int64], count: int = RESAMPLES) -> Iterator[NDArray[np.float64]]:
    """Bootstrap resamples of patients (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

    As many patients are drawn with replacement as there are, each with all photographs.

    Args:
        patients: int (n,), 0..P-1, whose photograph each is.
        count: resamples in all.

    Yields:
        float (r, n), how often each photograph is in each of the next r resamples.
    """
    rng, people = np.random.default_rng(_SEED), int(patients.max()) + 1
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
    """Percentile intervals of figures over `resamples`; those in which a figure does not exist are left out.

    Args:
        figures: from weights (r, n) to name -> values (r,), NaN where there is none.
        patients, count: as for `resamples`.
    """
    drawn: dict[Key, list[NDArray[np.float64]]] = {}
    for weights in resamples(patients, count):
        for name, values in figures(weights).items():
            drawn.setdefault(name, []).append(values)
    return {name: percentiles(np.concatenate(parts)) for name, parts in drawn.items()}


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The middle `LEVEL` of values float (n,), NaN left out; None where nothing is left."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(hits: float, total: float) -> Interval:
    """Wilson's score interval of a proportion (JASA 22(158), 1927); None without trials.

    Args:
        hits: successes, 0..total.
        total: trials; may be a fraction, see `proportion`.
    """
    if not total:
        return None
    z, p = NormalDist().inv_cdf((1 + LEVEL) / 2), hits / total
    centre, width = p + z * z / (2 * total), z * np.sqrt(p * (1 - p) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    return max(0.0, float((centre - width) / scale)), min(1.0, float((centre + width) / scale))


def proportion(hit: NDArray[np.bool_], among: NDArray[np.bool_], patients: NDArray[np.int64]) -> Interval:
    """Wilson's interval of the share of photographs `among` that are a `hit`, several of one patient counting less.

    The number of photographs is divided by the design effect: the variance of the share over patients over that over
    independent photographs (J. Rao and A. Scott, Biometrics 48(2), 1992, without their m / (m - 1), so that it is 1
    where each patient has one photograph). Where all or none are hits it is not known: then patients are counted.

    Args:
        hit, among: bool (n,).
        patients: int (n,), whose photograph each is.
    """
    total, hits = int(among.sum()), int((hit & among).sum())
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
        p: two-sided probability of a difference at least this large where there is none; None where it is not known.
    """

    value: float
    interval: Interval
    p: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero; one without width, where all resamples say the same, shows nothing."""
        low, high = self.interval or (0.0, 0.0)
        return low < high and (low > 0 or high < 0)


def delong(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas under k ROC curves of the same photographs, and their covariance.

    E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44(3), 1988, by midranks: X. Sun and W. Xu, IEEE Signal
    Processing Letters 21(11), 2014. Photographs count as independent.

    Args:
        positive: bool (n,), two or more of either kind.
        scores: float (k, n).

    Returns:
        float (k,) and (k, k).
    """
    hits, others = scores[:, positive], scores[:, ~positive]
    m, n = hits.shape[1], others.shape[1]
    ranks = rankdata(np.hstack([hits, others]), axis=1)
    above = (ranks[:, :m] - rankdata(hits, axis=1)) / n  # share of negatives below each positive
    below = 1 - (ranks[:, m:] - rankdata(others, axis=1)) / m  # share of positives above each negative
    return above.mean(axis=1), np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n


def delong_interval(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Interval:
    """DeLong's interval of an area under the ROC curve, within 0..1; None unless two or more of either kind.

    Args:
        positive: bool (n,).
        scores: float (n,).
    """
    if min(positive.sum(), (~positive).sum()) < 2:
        return None
    areas, covariance = delong(positive, scores[None])
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(np.sqrt(max(0.0, covariance[0, 0])))
    return max(0.0, float(areas[0]) - reach), min(1.0, float(areas[0]) + reach)


def delong_difference(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Difference | None:
    """First area minus second of scores float (2, n), with DeLong's test; None unless two or more of either kind."""
    if min(positive.sum(), (~positive).sum()) < 2:
        return None
    areas, covariance = delong(positive, scores)
    value = float(areas[0] - areas[1])
    error = float(np.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])))
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    p = 2 * NormalDist().cdf(-abs(value) / error) if error else None if value else 1.0
    return Difference(value, (value - reach, value + reach), p)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """McNemar's exact test (Psychometrika 12(2), 1947): two-sided p that two graders are right equally often.

    Args:
        first, second: bool (n,), whether each grader is right.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
