"""How much of a heat map lies where it should. A figure that does not exist for a photograph is None, or not there.

Shares of heat are the "relevance mass accuracy" of Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 81, 2022,
equation 2: the heat within a region divided by all of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import overlay
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import circle_mask
from keras_dr.explanation.scores.localisation import THRESHOLDS, Localisation, Ranking
from keras_dr.metrics.intervals import RESAMPLES
from keras_dr.preparation.prepared_set import PreparedSet

OPTIC_DISC = "optic_disc"  # a healthy landmark; every other mask is a lesion
LESIONS = "lesions"  # of all kinds together; overlapping ones count once
BASELINES = ("uniform", "centred Gaussian")
Scores = dict[str, float | None]
Masks = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Scored:
    """What one map was given.

    Attributes:
        scores: name -> figure.
        overlaps: lesion kind -> float64 (19,), its IoU at each of `lesions.THRESHOLDS`.
    """

    scores: Scores
    overlaps: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def baseline(name: str, size: int) -> NDArray[np.float32]:
    """A map that knows nothing of the photograph, float32 (size, size), 0..1.

    "uniform" is the same everywhere; "centred Gaussian", of a quarter of the side, is what a habit of photographing
    the interesting in the middle would explain (Judd, Durand and Torralba, MIT-CSAIL-TR-2012-001).
    """
    if name == "uniform":
        return np.ones((size, size), np.float32)
    axis = (np.arange(size) - (size - 1) / 2) / (size / 4)
    bell = np.exp(-(axis**2) / 2)
    return np.outer(bell, bell).astype(np.float32)


def score_heatmap(heat: NDArray[np.floating], fundus: NDArray[np.bool_], masks: Masks) -> Scored:
    """The scores of one heat map.

    Args:
        heat: float (S, S), 0..1, enlarged to the photograph.
        fundus: bool (S, S), True on the fundus.
        masks: lesion kind or `OPTIC_DISC` -> float (S, S), the share 0..1 of each pixel that it covers.

    Returns:
        share_outside_fundus, 0..1: of all heat; None where the fundus fills the photograph, or without heat.
        share_on_optic_disc, 0..1: of the heat inside the fundus; None without its mask or without heat there.
        For `LESIONS` and each KIND of lesion that the photograph has, of the heat inside the fundus:
        share_on_KIND, 0..1; area_of_KIND, 0..1: of the fundus, what share_on_KIND is by chance;
        enrichment_KIND, >= 0: the one divided by the other; auprc_KIND, pointing_KIND: see `Localisation`.

    Raises:
        KerasDrError: a mask of another size than the map.
    """
    heat, kinds = np.asarray(heat, np.float32), _kinds(heat.shape, masks)
    outside = None if fundus.all() else _share(heat, ~fundus)
    weights = heat * fundus
    disc = _share(weights, masks[OPTIC_DISC]) if OPTIC_DISC in masks else None
    scores: Scores = {"share_outside_fundus": outside, "share_on_optic_disc": disc}
    overlaps = {}
    ranking = Ranking(heat, fundus) if kinds and weights.any() else None
    for kind, mask in kinds.items():
        found = ranking.localise(mask) if ranking else None
        if found:
            scores |= _lesion_scores(kind, _share(weights, mask), _share(fundus, mask), found)
            overlaps[kind] = found.iou
    return Scored(scores, overlaps)


def _kinds(shape: tuple[int, ...], masks: Masks) -> dict[str, NDArray[np.floating]]:
    """The masks of lesions, all together first."""
    for name, mask in masks.items():
        if mask.shape != shape:
            expected = f"a mask of {name} of {shape[1]} x {shape[0]} pixels, as the photograph"
            raise KerasDrError(expected, f"{mask.shape[1]} x {mask.shape[0]}", "Prepare the set again.")
    kinds = {name: mask for name, mask in masks.items() if name != OPTIC_DISC}
    return {LESIONS: np.max(list(kinds.values()), axis=0), **kinds} if kinds else {}


def _lesion_scores(kind: str, share: float | None, area: float | None, found: Localisation) -> Scores:
    return {
        f"share_on_{kind}": share,
        f"area_of_{kind}": area,
        f"enrichment_{kind}": share / area if share is not None and area else None,
        f"auprc_{kind}": found.auprc,
        f"pointing_{kind}": found.pointing,
    }


def _share(weights: NDArray[Any], region: NDArray[Any]) -> float | None:
    """sum(weights * region) / sum(weights); None where all weights are 0."""
    total = weights.sum(dtype=np.float64)
    return float((weights * region).sum(dtype=np.float64) / total) if total > 0 else None


def choose_thresholds(scored: Iterable[Scored]) -> dict[str, float]:
    """Lesion kind -> the share of a map's maximum at which heat overlaps best with it, on average over photographs."""
    curves: dict[str, list[NDArray[np.float64]]] = {}
    for one in scored:
        for kind, curve in one.overlaps.items():
            curves.setdefault(kind, []).append(curve)
    return {kind: float(THRESHOLDS[np.mean(known, axis=0).argmax()]) for kind, known in curves.items()}


def overlap_scores(scored: Scored, thresholds: Mapping[str, float]) -> Scores:
    """iou_KIND, 0..1, at each kind's threshold, chosen by `choose_thresholds` on other photographs."""
    chosen = {kind: int(np.abs(THRESHOLDS - value).argmin()) for kind, value in thresholds.items()}
    return {f"iou_{kind}": float(curve[chosen[kind]]) for kind, curve in scored.overlaps.items() if kind in chosen}


def summarise(rows: Sequence[Scores], seed: int = 42) -> dict[str, dict[str, Any]]:
    """Each score over n photographs, ready for JSON: score -> what `describe` says of the photographs that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: describe([value for row in rows if (value := row.get(name)) is not None], seed) for name in names}


def describe(values: Sequence[float], seed: int = 42) -> dict[str, Any]:
    """n, mean, median, low and high: the 95 % interval of the mean; None below two values.

    A percentile bootstrap over photographs (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
    13), `RESAMPLES` of them; it takes photographs as independent, which fellow eyes are not quite.
    """
    known = np.array(values, np.float64)
    low = high = None
    if len(known) > 1:
        rng = np.random.default_rng(seed)
        means = known[rng.integers(len(known), size=(RESAMPLES, len(known)))].mean(axis=1)
        low, high = (float(bound) for bound in np.percentile(means, (2.5, 97.5)))
    return {
        "n": len(known),
        "mean": float(known.mean()) if len(known) else None,
        "median": float(np.median(known)) if len(known) else None,
        "low": low,
        "high": high,
    }


Thresholds = dict[str, dict[str, float]]  # method or baseline -> lesion kind -> share of the map's maximum


def score_maps(data: PreparedSet, index: int, maps: Mapping[str, NDArray[np.floating]]) -> dict[str, Scored]:
    """The scores of one photograph's maps, float (h, w), as the overlay shows them; and of the baselines.

    Raises:
        KerasDrError: a mask that cannot be read, or of another size.
    """
    fundus, masks, size = data.fundus(index), data.masks(index), data.preprocessing.size
    scored = {}
    for method, heat in maps.items():
        scored[method] = score_heatmap(overlay.enlarge(overlay.normalise(heat), size), fundus, masks)
    for name in BASELINES:
        known = (
            score_heatmap(baseline(name, size), fundus, masks) if masks else _without_masks(name, size, fundus.all())
        )
        scored[name] = known
    return scored


@lru_cache(maxsize=8)
def _without_masks(name: str, size: int, whole: bool) -> Scored:
    """A baseline's scores on any photograph without masks."""
    fundus = np.ones((size, size), bool) if whole else circle_mask(size)
    return score_heatmap(baseline(name, size), fundus, {})


def find_thresholds(scored: Sequence[Mapping[str, Scored]]) -> Thresholds:
    """For each method and baseline, where its heat overlaps best with each kind of lesion on these photographs."""
    methods = dict.fromkeys(method for one in scored for method in one)
    return {method: choose_thresholds([one[method] for one in scored]) for method in methods}


def finished(scored: Mapping[str, Scored], thresholds: Thresholds) -> dict[str, Scores]:
    """All scores of one photograph, by method and baseline."""
    return {method: one.scores | overlap_scores(one, thresholds.get(method, {})) for method, one in scored.items()}
