"""Figures of parts of a set, by a column of its manifest, each beside the rest of the set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dr.core.errors import KerasDrError
from keras_dr.metrics import measure
from keras_dr.metrics.operating_points import OperatingPoint
from keras_dr.metrics.predictions import Predictions

USUAL = ("eye", "camera", "quality", "gradable")  # columns looked at without being asked for
FIGURES = ("accuracy", "quadratic_kappa", "auroc_referable", "sensitivity", "specificity")
_MANY = 10  # numbers of more different values are cut into thirds
_RESAMPLES = 1000


def subgroups(
    of: Predictions, rows: Sequence[Mapping[str, str]], threshold: float, columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Figures of every value of some columns, and of all other photographs.

    Args:
        of: predictions of n photographs.
        rows: of manifest.csv, likewise.
        threshold: refer where p_referable >= threshold.
        columns: none: those of `USUAL` that tell photographs apart.

    Returns:
        For each value: column, value, photographs, and figure -> {value, interval, rest, rest_interval, flagged};
        flagged where the two intervals have a width and do not overlap.

    Raises:
        KerasDrError: no such column, or one that does not tell photographs apart.
    """
    found = []
    for column in columns or USUAL:
        if column not in rows[0] and columns:
            raise KerasDrError(f"a column of manifest.csv: {', '.join(rows[0])}", repr(column), "Correct --by.")
        groups = _groups([row.get(column, "") for row in rows])
        names = [name for name in dict.fromkeys(sorted(groups)) if name]
        if len(set(groups)) < 2 or (len(names) > _MANY and not columns):
            if columns:
                raise KerasDrError(f"photographs that differ in {column}", "one value", "Choose another --by.")
            continue
        for name in names:
            inside = np.array([group == name for group in groups])
            one, rest = (_figures(of.subset(chosen), threshold) for chosen in (inside, ~inside))
            figures = {key: _beside(one[key], rest[key]) for key in FIGURES}
            found.append({"column": column, "value": name, "photographs": int(inside.sum()), "figures": figures})
    return found


def _groups(values: Sequence[str]) -> list[str]:
    """The values themselves, or for many different numbers the third that each lies in."""
    known = [value for value in values if value]
    if len(set(known)) <= _MANY or not all(map(_is_number, known)):
        return list(values)
    low, high = np.quantile(np.array(known, float), [1 / 3, 2 / 3])
    names = (f"lowest third, up to {low:.3g}", "middle third", f"highest third, above {high:.3g}")
    return [names[int(float(value) > low) + int(float(value) > high)] if value else "" for value in values]


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _figures(of: Predictions, threshold: float) -> dict[str, tuple[Any, Any]]:
    figures = measure.measure(of, OperatingPoint(threshold), resamples=_RESAMPLES)
    point = figures["operating_point"]
    both = {key: (figures[key], figures["intervals"][key]) for key in FIGURES if key in figures}
    return both | {key: (point[key], point["intervals"][key]) for key in ("sensitivity", "specificity")}


def _beside(one: tuple[Any, Any], rest: tuple[Any, Any]) -> dict[str, Any]:
    # resamples of a few photographs, all graded rightly, give an interval without width: that shows nothing
    known = all(interval and interval[0] < interval[1] for interval in (one[1], rest[1]))
    apart = known and (one[1][0] > rest[1][1] or one[1][1] < rest[1][0])
    return {"value": one[0], "interval": one[1], "rest": rest[0], "rest_interval": rest[1], "flagged": apart}
