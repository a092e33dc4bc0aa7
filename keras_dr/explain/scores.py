"""How much of a heat map lies where it should. A figure that does not exist for a photograph is None.

Shares of heat are the "relevance mass accuracy" of Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 81, 2022,
equation 2: the heat within a region divided by all of it. Beside each stands what a map without any preference, the
same everywhere, would score on the same photograph.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPTIC_DISC = "optic_disc"  # a healthy landmark; every other mask is a lesion
SCORES = ("share_inside_fundus", "share_on_lesions", "lesion_area_share", "enrichment", "share_on_optic_disc")
RESAMPLES = 2000
Scores = dict[str, float | None]


def score_heatmap(
    heat: NDArray[np.floating], fundus: NDArray[np.bool_], masks: Mapping[str, NDArray[np.floating]]
) -> Scores:
    """The scores of one heat map.

    Args:
        heat: float (S, S), >= 0, of any scale, enlarged to the photograph.
        fundus: bool (S, S), True on the fundus.
        masks: lesion kind or `OPTIC_DISC` -> float (S, S), the share 0..1 of each pixel that it covers.

    Returns:
        A value a name of `SCORES`, or None where it does not exist:
        share_inside_fundus, 0..1: of all heat; None where the fundus fills the photograph, or without heat.
        share_on_lesions, 0..1: of the heat inside the fundus; None without lesions or without heat there.
        lesion_area_share, 0..1: of the fundus's area, what share_on_lesions is by chance; None without lesions.
        enrichment, >= 0: share_on_lesions / lesion_area_share; 1 is chance.
        share_on_optic_disc, 0..1: of the heat inside the fundus; None without its mask or without heat there.
    """
    heat = np.asarray(heat, np.float64)
    weights = heat * fundus
    lesions = [mask for name, mask in masks.items() if name != OPTIC_DISC]
    covered = np.max(lesions, axis=0) if lesions else np.zeros(heat.shape)  # overlapping lesions count once
    on_lesions = area = None
    if (covered * fundus).any():
        on_lesions, area = _share(weights, covered), _share(fundus, covered)
    return {
        "share_inside_fundus": None if fundus.all() else _share(heat, fundus),
        "share_on_lesions": on_lesions,
        "lesion_area_share": area,
        "enrichment": None if on_lesions is None or area is None else on_lesions / area,
        "share_on_optic_disc": _share(weights, masks[OPTIC_DISC]) if OPTIC_DISC in masks else None,
    }


def _share(weights: NDArray[Any], region: NDArray[Any]) -> float | None:
    """sum(weights * region) / sum(weights); None where all weights are 0."""
    total = weights.sum(dtype=np.float64)
    return float((weights * region).sum(dtype=np.float64) / total) if total > 0 else None


def uniform_scores(fundus: NDArray[np.bool_], masks: Mapping[str, NDArray[np.floating]]) -> Scores:
    """What the same heat on every pixel scores; arguments as for `score_heatmap`."""
    return score_heatmap(np.ones(fundus.shape), fundus, masks)


def summarise(scores: Sequence[Scores], uniform: Sequence[Scores], seed: int = 42) -> dict[str, dict[str, Any]]:
    """Each score over photographs, ready for JSON.

    The interval is a percentile bootstrap over photographs (Efron and Tibshirani, "An Introduction to the Bootstrap",
    1993, chapter 13), 2000 resamples; it takes photographs as independent, which fellow eyes are not quite.

    Args:
        scores: of n photographs.
        uniform: `uniform_scores` of the same n photographs.
        seed: of the resamples.

    Returns:
        Score -> n (photographs where it exists), mean, median, low and high (95 % interval of the mean; None below
        two photographs) and uniform_mean (the uniform map's mean on these n photographs).
    """
    summary = {}
    for name in SCORES:
        known = [(row[name], flat[name]) for row, flat in zip(scores, uniform, strict=True) if row[name] is not None]
        values = np.array([value for value, _ in known], np.float64)
        low, high = _interval(values, seed)
        summary[name] = {
            "n": len(known),
            "mean": float(values.mean()) if known else None,
            "median": float(np.median(values)) if known else None,
            "low": low,
            "high": high,
            "uniform_mean": float(np.mean([flat for _, flat in known])) if known else None,
        }
    return summary


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    """95 % percentile bootstrap interval of the mean of float (n,); (None, None) below two values."""
    if len(values) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
