"""How much of a heat map lies where it should. A score that a photograph does not have is None or left out.

Shares of heat are the "relevance mass accuracy" of Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 81, 2022,
equation 2: the heat within a region divided by all heat.
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
LESIONS = "lesions"  # all kinds together; a pixel where kinds overlap counts once
BASELINES = ("uniform", "centred Gaussian")
Scores = dict[str, float | None]
Masks = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class MapScores:
    """The scores of one map.

    Attributes:
        scores: name -> figure.
        overlaps: lesion kind -> float64 (19,), its IoU at each of `localisation.THRESHOLDS`.
    """

    scores: Scores
    overlaps: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def baseline(name: str, size: int) -> NDArray[np.float32]:
    """A map that does not depend on the photograph, float32 (size, size), 0..1.

    "uniform" is the same everywhere. "centred Gaussian" has a standard deviation of a quarter of the side; its scores
    show how much the habit of placing the interesting part in the middle would explain (Judd, Durand and Torralba,
    MIT-CSAIL-TR-2012-001).
    """
    if name == "uniform":
        return np.ones((size, size), np.float32)
    axis = (np.arange(size) - (size - 1) / 2) / (size / 4)
    bell = np.exp(-(axis**2) / 2)
    return np.outer(bell, bell).astype(np.float32)


def score_heatmap(heat: NDArray[np.floating], fundus: NDArray[np.bool_], masks: Masks) -> MapScores:
    """The scores of one heat map.

    Args:
        heat: float (S, S), 0..1, enlarged to the photograph.
        fundus: bool (S, S), True on the fundus.
        masks: lesion kind or `OPTIC_DISC` -> float (S, S), the share 0..1 of each pixel that it covers.

    Returns:
        share_outside_fundus, 0..1: the share of all heat that lies outside the fundus; None if the fundus fills the
        photograph or if there is no heat.
        share_on_optic_disc, 0..1: the share of the heat inside the fundus that lies on the optic disc; None if there is
        no mask of it or no heat inside the fundus.
        Further scores for `LESIONS` and each KIND of lesion that the photograph has:
        share_on_KIND, 0..1: the share of the heat inside the fundus that lies on the lesions;
        area_of_KIND, 0..1: the lesions' share of the fundus, which is the value of share_on_KIND by chance;
        enrichment_KIND, >= 0: share_on_KIND divided by area_of_KIND;
        auprc_KIND and pointing_KIND: see `Localisation`.

    Raises:
        KerasDrError: the size of a mask is not that of the map.
    """
    heat = np.asarray(heat, np.float32)
    lesion_masks = _lesion_masks(heat.shape, masks)
    heat_inside = heat * fundus
    scores: Scores = {
        "share_outside_fundus": None if fundus.all() else _share(heat, ~fundus),
        "share_on_optic_disc": _share(heat_inside, masks[OPTIC_DISC]) if OPTIC_DISC in masks else None,
    }
    overlaps = {}
    if lesion_masks and heat_inside.any():
        ranking = Ranking(heat, fundus)
        for kind, mask in lesion_masks.items():
            localisation = ranking.localise(mask)
            if localisation:
                scores |= _lesion_scores(kind, _share(heat_inside, mask), _share(fundus, mask), localisation)
                overlaps[kind] = localisation.iou
    return MapScores(scores, overlaps)


def _lesion_masks(shape: tuple[int, ...], masks: Masks) -> dict[str, NDArray[np.floating]]:
    """The masks of lesions by kind, with the mask of all kinds together first; {} if there are none."""
    for name, mask in masks.items():
        if mask.shape != shape:
            raise KerasDrError(
                f"The mask of {name} has {mask.shape[1]} x {mask.shape[0]} pixels, but the photograph has "
                f"{shape[1]} x {shape[0]}.",
                "Prepare the set again.",
            )
    by_kind = {name: mask for name, mask in masks.items() if name != OPTIC_DISC}
    if not by_kind:
        return {}
    return {LESIONS: np.max(list(by_kind.values()), axis=0), **by_kind}


def _lesion_scores(kind: str, share: float | None, area: float | None, localisation: Localisation) -> Scores:
    """The scores of one kind of lesion, from the share of the heat on it and its share of the fundus."""
    return {
        f"share_on_{kind}": share,
        f"area_of_{kind}": area,
        f"enrichment_{kind}": share / area if share is not None and area else None,
        f"auprc_{kind}": localisation.auprc,
        f"pointing_{kind}": localisation.pointing,
    }


def _share(weights: NDArray[Any], region: NDArray[Any]) -> float | None:
    """sum(weights * region) / sum(weights); None where all weights are 0."""
    total = weights.sum(dtype=np.float64)
    return float((weights * region).sum(dtype=np.float64) / total) if total > 0 else None


def choose_thresholds(map_scores: Iterable[MapScores]) -> dict[str, float]:
    """Lesion kind -> the share of a map's maximum at which heat overlaps best with it, on average over photographs."""
    curves: dict[str, list[NDArray[np.float64]]] = {}
    for scores in map_scores:
        for kind, curve in scores.overlaps.items():
            curves.setdefault(kind, []).append(curve)
    return {kind: float(THRESHOLDS[np.mean(kind_curves, axis=0).argmax()]) for kind, kind_curves in curves.items()}


def overlap_scores(map_scores: MapScores, thresholds: Mapping[str, float]) -> Scores:
    """iou_KIND, 0..1, at each kind's threshold, chosen by `choose_thresholds` on other photographs."""
    scores: Scores = {}
    for kind, curve in map_scores.overlaps.items():
        if kind in thresholds:
            nearest = int(np.abs(THRESHOLDS - thresholds[kind]).argmin())
            scores[f"iou_{kind}"] = float(curve[nearest])
    return scores


def summarise(rows: Sequence[Scores], seed: int = 42) -> dict[str, dict[str, Any]]:
    """Each score over all photographs that have it, ready for JSON: score -> the result of `describe`."""
    names = dict.fromkeys(name for row in rows for name in row)
    summary = {}
    for name in names:
        values = [row.get(name) for row in rows]
        summary[name] = describe([value for value in values if value is not None], seed)
    return summary


def describe(values: Sequence[float], seed: int = 42) -> dict[str, Any]:
    """n, mean, median, and low and high, the bounds of the 95 % interval of the mean (None below two values).

    The interval comes from a percentile bootstrap over photographs (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13) with `RESAMPLES` resamples. It treats photographs as independent, which two eyes of
    one patient are not quite.
    """
    array = np.array(values, np.float64)
    low = high = None
    if len(array) > 1:
        rng = np.random.default_rng(seed)
        means = array[rng.integers(len(array), size=(RESAMPLES, len(array)))].mean(axis=1)
        low, high = (float(bound) for bound in np.percentile(means, (2.5, 97.5)))
    return {
        "n": len(array),
        "mean": float(array.mean()) if len(array) else None,
        "median": float(np.median(array)) if len(array) else None,
        "low": low,
        "high": high,
    }


Thresholds = dict[str, dict[str, float]]  # method or baseline -> lesion kind -> share of the map's maximum


def score_maps(data: PreparedSet, index: int, maps: Mapping[str, NDArray[np.floating]]) -> dict[str, MapScores]:
    """The scores of one photograph's maps, float (h, w), as the overlay shows them, and of the baselines.

    Raises:
        KerasDrError: a mask cannot be read, or its size is not that of the photograph.
    """
    fundus = data.fundus(index)
    masks = data.masks(index)
    size = data.preprocessing.size
    map_scores = {}
    for method, heat in maps.items():
        map_scores[method] = score_heatmap(overlay.enlarge(overlay.normalise(heat), size), fundus, masks)
    for name in BASELINES:
        if masks:
            map_scores[name] = score_heatmap(baseline(name, size), fundus, masks)
        else:
            map_scores[name] = _baseline_without_masks(name, size, fundus.all())
    return map_scores


@lru_cache(maxsize=8)
def _baseline_without_masks(name: str, size: int, fundus_fills: bool) -> MapScores:
    """The scores of a baseline on any photograph without masks."""
    fundus = np.ones((size, size), bool) if fundus_fills else circle_mask(size)
    return score_heatmap(baseline(name, size), fundus, {})


def find_thresholds(photographs: Sequence[Mapping[str, MapScores]]) -> Thresholds:
    """For each method and baseline, the thresholds at which it overlaps best with the lesions of these photographs.

    Args:
        photographs: the result of `score_maps` for each photograph.
    """
    methods = dict.fromkeys(method for map_scores in photographs for method in map_scores)
    return {method: choose_thresholds([map_scores[method] for map_scores in photographs]) for method in methods}


def combine_scores(map_scores: Mapping[str, MapScores], thresholds: Thresholds) -> dict[str, Scores]:
    """All scores of one photograph, by method and baseline, with the overlaps at the thresholds."""
    return {
        method: scores.scores | overlap_scores(scores, thresholds.get(method, {}))
        for method, scores in map_scores.items()
    }
