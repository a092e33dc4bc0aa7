"""Whether a map depends on what the grader has learned, and whether methods agree.

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: weights are randomised from the top down, and a map
that still looks the same explains nothing. Here the values of each weight array are shuffled, so that the activations
keep their scale whatever the network's normalisation.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.scores.explained import Explained
from keras_dr.explanation.scores.heat import describe

# The share of the backbone's layers whose weights are randomised, from the top; those of the head always are.
STAGES = {"head": 0.0, "head, top quarter": 0.25, "head, top half": 0.5, "whole network": 1.0}
_SIDE = 32  # pixels per side to which maps of different resolution are resized for the comparison


def randomised(model: keras.Model, share: float, seed: int = 42) -> keras.Model:
    """A copy of a grader with shuffled weights in its head and in this share 0..1 of its backbone, from the top."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    learned = [layer for layer in copy.layers if layer.weights and layer.name != "logits"]
    kept = len(learned) - round(share * len(learned))
    rng = np.random.default_rng(seed)
    for layer in [*learned[kept:], copy.get_layer("logits")]:
        layer.set_weights([rng.permuted(array.ravel()).reshape(array.shape) for array in layer.get_weights()])
    return copy


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Spearman's rank correlation -1..1 of two maps, float (h, w) or (n,); None if either is constant."""
    from scipy.stats import rankdata

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def agreement(maps: Mapping[str, NDArray[np.floating]], fundus: NDArray[np.bool_]) -> dict[str, float | None]:
    """Spearman's correlation of the maps float (h, w) of each pair of methods, inside the fundus, bool (S, S)."""
    inside = enlarge(fundus.astype(np.float32), _SIDE) > 0.5
    common = {method: enlarge(heat, _SIDE)[inside] for method, heat in maps.items()}
    return {f"{first} ~ {second}": spearman(common[first], common[second]) for first, second in combinations(common, 2)}


def measure_sanity(explained: Explained, indices: Sequence[int], progress: Progress | None = None) -> dict[str, Any]:
    """Spearman's correlation of each map with the map of a grader with randomised weights.

    Args:
        explained: the photographs, the grader and its heat maps.
        indices: the photographs to measure on.
        progress: called with (stages done, number of stages, "sanity").

    Returns:
        Method -> key of `STAGES` -> the result of `heat.describe`.
    """
    explainer = explained.explainer
    methods = list(explained.maps[indices[0]])
    correlations: dict[str, dict[str, Any]] = {method: {} for method in methods}
    images = explained.data.images(indices)
    classes = explained.survey.predictions[list(indices)]
    for done, (stage, share) in enumerate(STAGES.items(), start=1):
        random_explainer = Explainer(
            randomised(explainer.model, share, explained.seed), explainer.layer.name, engine=explainer.engine
        )
        for method in methods:
            random_maps = random_explainer.heatmaps(images, classes, method)
            values = []
            for index, random_map in zip(indices, random_maps, strict=True):
                value = spearman(explained.maps[index][method], random_map)
                if value is not None:
                    values.append(value)
            correlations[method][stage] = describe(values, explained.seed)
        if progress:
            progress(done, len(STAGES), "sanity")
    return correlations
