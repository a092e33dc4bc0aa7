"""Whether a map depends on what the grader has learned, and whether methods agree.

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: weights are randomised from the top down, and a map
that still looks the same explains nothing. Here each weight array keeps its values and loses their order, so that the
activations keep their scale whatever the network's normalisation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.forward_pass import Survey
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.scores.faithfulness import Maps
from keras_dr.explanation.scores.heat import describe
from keras_dr.preparation.prepared_set import PreparedSet

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


def measure_sanity(
    explainer: Explainer,
    data: PreparedSet,
    seen: Survey,
    maps: Maps,
    indices: Sequence[int],
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Spearman's correlation of each map with that of a grader that has forgotten: method -> stage -> `describe`.

    `maps` holds for each of `indices` a float32 (h, w) a method.
    """
    methods = list(maps[indices[0]])
    found: dict[str, dict[str, Any]] = {method: {} for method in methods}
    images, classes = data.images(indices), seen.predictions[list(indices)]
    for done, (stage, share) in enumerate(STAGES.items(), start=1):
        blank = Explainer(randomised(explainer.model, share, seed), explainer.layer.name)
        for method in methods:
            others = blank.heatmaps(images, classes, method)
            pairs = zip(indices, others, strict=True)
            known = [spearman(maps[index][method], other) for index, other in pairs]
            found[method][stage] = describe([value for value in known if value is not None], seed)
        if progress:
            progress(done, len(STAGES), "sanity")
    return found
