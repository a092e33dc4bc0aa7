"""Figures of subgroups of a set, defined by a column of its manifest, each compared with the rest of the set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions

USUAL = ("eye", "camera", "quality", "gradable")  # the columns that are analysed by default
FIGURES = ("accuracy", "quadratic_kappa", "auroc_referable", "sensitivity", "specificity")
_MANY = 10  # a numeric column with more different values is divided into thirds
_RESAMPLES = 1000


def subgroups(
    predictions: Predictions, rows: Sequence[Mapping[str, str]], threshold: float, columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the figures of each value of some columns, and of all other photographs.

    Args:
        predictions: for n photographs.
        rows: of manifest.csv, for the same photographs.
        threshold: as for `Predictions.referred`.
        columns: the columns; if empty, the columns of `USUAL` that divide the photographs.

    Returns:
        For each value: column, value, photographs, and figure -> {value, interval, rest, rest_interval, flagged};
        flagged if both intervals have a width and they do not overlap.

    Raises:
        KerasDrError: there is no such column, or it has the same value for all photographs.
    """
    results = []
    for column in columns or USUAL:
        if column not in rows[0] and columns:
            raise KerasDrError(
                f"manifest.csv has no column {column!r}; it has {', '.join(rows[0])}.",
                "Name one of its columns with --by.",
            )
        groups = _groups([row.get(column, "") for row in rows])
        names = [name for name in dict.fromkeys(sorted(groups)) if name]
        if len(set(groups)) < 2 or (len(names) > _MANY and not columns):
            if columns:
                raise KerasDrError(
                    f"All photographs have the same value of {column}.", "Name another column with --by."
                )
            continue
        for name in names:
            inside = np.array([group == name for group in groups])
            group_figures = _figures(predictions.subset(inside), threshold)
            rest_figures = _figures(predictions.subset(~inside), threshold)
            figures = {key: _compared(group_figures[key], rest_figures[key]) for key in FIGURES}
            results.append({"column": column, "value": name, "photographs": int(inside.sum()), "figures": figures})
    return results


def _groups(values: Sequence[str]) -> list[str]:
    """Return the values themselves, or, for many different numbers, the third that each of them lies in."""
    known = [value for value in values if value]
    if len(set(known)) <= _MANY or not all(map(_is_number, known)):
        return list(values)
    low, high = np.quantile(np.array(known, float), [1 / 3, 2 / 3])

    def third(value: str) -> str:
        if not value:
            return ""
        if float(value) > high:
            return f"highest third, above {high:.3g}"
        return "middle third" if float(value) > low else f"lowest third, up to {low:.3g}"

    return [third(value) for value in values]


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _figures(predictions: Predictions, threshold: float) -> dict[str, tuple[Any, Any]]:
    """Return figure -> (value, interval)."""
    figures = measure.measure(predictions, OperatingPoint(threshold), resamples=_RESAMPLES)
    point = figures["operating_point"]
    pairs = {key: (figures[key], figures["intervals"][key]) for key in FIGURES if key in figures}
    return pairs | {key: (point[key], point["intervals"][key]) for key in ("sensitivity", "specificity")}


def _compared(group: tuple[Any, Any], rest: tuple[Any, Any]) -> dict[str, Any]:
    """Return a figure of a group and of the rest, and whether they clearly differ."""
    value, interval = group
    rest_value, rest_interval = rest
    # if a few photographs are all graded correctly, their resamples give an interval without width, which shows nothing
    comparable = all(limits and limits[0] < limits[1] for limits in (interval, rest_interval))
    differ = comparable and (interval[0] > rest_interval[1] or interval[1] < rest_interval[0])
    return {
        "value": value,
        "interval": interval,
        "rest": rest_value,
        "rest_interval": rest_interval,
        "flagged": differ,
    }
