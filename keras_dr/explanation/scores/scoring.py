"""The scores of photographs' heat maps beside those of maps that know nothing of the photograph."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from keras_dr import overlay
from keras_dr.explain.scores import (
    BASELINES,
    Scored,
    Scores,
    baseline,
    choose_thresholds,
    overlap_scores,
    score_heatmap,
)
from keras_dr.prepared import PreparedSet
from keras_dr.preprocessing import circle_mask

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
