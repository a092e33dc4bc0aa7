"""Whether a map depends on what the grader has learned, and whether methods agree.

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: weights are randomised from the top down, and a map
that still looks the same explains nothing. Here each weight array keeps its values and loses their order, so that the
activations keep their scale whatever the network's normalisation.
"""

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.overlay import enlarge

# Share of the backbone's layers with weights that are randomised, from the top, each time with the head.
STAGES = {"head": 0.0, "head, top quarter": 0.25, "head, top half": 0.5, "whole network": 1.0}
_SIDE = 32  # methods of different resolution are compared on this many pixels a side


def randomised(model: keras.Model, share: float, seed: int = 42) -> keras.Model:
    """A copy of a grader that has forgotten its head, and this share 0..1 of its backbone's layers from the top."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    learned = [layer for layer in copy.layers if layer.weights and layer.name != "logits"]
    kept = len(learned) - round(share * len(learned))
    rng = np.random.default_rng(seed)
    for layer in [*learned[kept:], copy.get_layer("logits")]:
        layer.set_weights([rng.permuted(array.ravel()).reshape(array.shape) for array in layer.get_weights()])
    return copy


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Spearman's rank correlation -1..1 of two maps, float (h, w) or (n,); None where one is constant."""
    from scipy.stats import rankdata

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def agreement(maps: Mapping[str, NDArray[np.floating]], fundus: NDArray[np.bool_]) -> dict[str, float | None]:
    """Spearman's correlation inside the fundus, bool (S, S), of each two methods' maps, float (h, w)."""
    inside = enlarge(fundus.astype(np.float32), _SIDE) > 0.5
    common = {method: enlarge(heat, _SIDE)[inside] for method, heat in maps.items()}
    names = list(common)
    pairs = [(one, other) for number, one in enumerate(names) for other in names[number + 1 :]]
    return {f"{one} ~ {other}": spearman(common[one], common[other]) for one, other in pairs}
