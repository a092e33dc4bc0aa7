"""The inputs that the scores with further forward passes share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_dr.explanation.forward_pass import Survey
from keras_dr.explanation.methods import Explainer
from keras_dr.preparation.prepared_set import PreparedSet

Maps = Mapping[int, Mapping[str, NDArray[np.float32]]]  # index of the photograph -> method -> map (h, w)


@dataclass(frozen=True, eq=False)
class Explained:
    """Photographs, the grader that explains them, and its heat maps.

    Attributes:
        explainer: the explainer of the grader.
        data: the photographs.
        survey: the results of the grader for them.
        maps: index -> method -> float32 (h, w), of the predicted class, for each photograph that is scored.
        seed: the seed of the bootstrap and of everything that a score draws at random.
    """

    explainer: Explainer
    data: PreparedSet
    survey: Survey
    maps: Maps
    seed: int
