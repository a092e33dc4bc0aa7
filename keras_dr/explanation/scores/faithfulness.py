"""Whether the decision depends on the hot pixels: blur them and measure how far the probability falls.

V. Petsiuk, A. Das and K. Saenko, "RISE", BMVC 2018: deletion and insertion. Deleted pixels are blurred, not blacked
out, because no photograph has black holes.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.scores.explained import Explained
from keras_dr.explanation.scores.heat import summarise

STEPS = 10
SIGMA = 0.05  # of the blur, as a share of the side; lesions vanish, while vessels and the optic disc fade
DARK = 10  # of 255; a pixel whose brightest channel is at most this is not fundus
_BATCH = 8
# float32 RGB (b, S, S, 3) in 0..255 -> probabilities float (b, C)
Predict = Callable[[NDArray[np.float32]], NDArray[np.floating]]


@dataclass(frozen=True)
class Faithfulness:
    """Two areas under the curve of the explained class's probability against the changed share of the fundus.

    Attributes:
        deletion_auc: 0..1, the hottest pixels blurred first; low is faithful.
        insertion_auc: 0..1, the hottest pixels restored first in the blurred photograph; high is faithful.
    """

    deletion_auc: float
    insertion_auc: float


def blurred(image: NDArray[np.uint8], fundus: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The photograph blurred within its fundus, float32 (S, S, 3).

    The surround does not change and does not bleed into the fundus.

    Args:
        image: uint8 RGB (S, S, 3).
        fundus: bool (S, S).
    """
    sigma = SIGMA * image.shape[0]
    inside = fundus.astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-6)[..., None]
    smooth = cv2.GaussianBlur(image * inside[..., None], (0, 0), sigma) / weight
    return np.where(fundus[..., None], smooth, image).astype(np.float32)


def lit(image: NDArray[np.uint8], fundus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The fundus without the parts that the camera cut off: bool (S, S), from uint8 RGB (S, S, 3) and bool (S, S)."""
    return fundus & (image.max(axis=2) > DARK)


def rank_pixels(heat: NDArray[np.floating], fundus: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """The share 0..1 of the fundus that is hotter than each pixel, float64 (S, S); 2 outside; ties in random order."""
    inside = np.random.default_rng(seed).permutation(np.flatnonzero(fundus))
    ranks = np.full(heat.size, 2.0)
    hottest = inside[np.argsort(-heat.ravel()[inside], kind="stable")]
    ranks[hottest] = np.arange(len(inside)) / len(inside)
    return ranks.reshape(heat.shape)


def shuffled(heatmap: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """A map with the same values in random places, float (h, w): as coarse, but without information."""
    return np.random.default_rng(seed).permuted(heatmap.ravel()).reshape(heatmap.shape)


def deletions(
    image: NDArray[np.uint8], ranks: NDArray[np.floating], blurred_image: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The photograph with 0, 1/10, ... 10/10 of its fundus blurred, lowest ranks first, float32 (11, S, S, 3).

    Args:
        image: uint8 RGB (S, S, 3).
        ranks: float (S, S), from `rank_pixels`.
        blurred_image: float32 (S, S, 3), from `blurred`.
    """
    shares = np.linspace(0, 1, STEPS + 1)
    steps = [np.where((ranks < share)[..., None], blurred_image, image) for share in shares]
    return np.stack(steps).astype(np.float32)


def measure(
    predict: Predict,
    image: NDArray[np.uint8],
    heatmap: NDArray[np.floating],
    fundus: NDArray[np.bool_],
    target: int,
    seed: int = 42,
) -> Faithfulness:
    """Deletion and insertion scores of one map, from 22 forward passes.

    Args:
        predict: the grader.
        image: uint8 RGB (S, S, 3).
        heatmap: float (h, w), evidence for the class `target`.
        fundus: bool (S, S); only its pixels are changed.
        target: the class whose probability is measured.
        seed: of the order of equally hot pixels.
    """
    fundus = lit(image, fundus)
    ranks = rank_pixels(enlarge(heatmap, image.shape[0]), fundus, seed)
    blurred_image = blurred(image, fundus)
    deleted = probabilities(predict, deletions(image, ranks, blurred_image))[:, target]
    # Insertion is a deletion of the coldest pixels first, read from its end to its beginning.
    coldest_first = np.where(fundus, 1 - ranks - 1 / max(1, fundus.sum()), 2)
    inserted = probabilities(predict, deletions(image, coldest_first, blurred_image))[::-1, target]
    return Faithfulness(_area(deleted), _area(inserted))


def probabilities(predict: Predict, images: NDArray[np.float32]) -> NDArray[np.floating]:
    """The result of `predict` for float32 RGB (n, S, S, 3), in batches that fit into memory: float (n, C), 0..1."""
    return np.concatenate([predict(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)])


def _area(values: NDArray[np.floating]) -> float:
    """The area under equally spaced values over 0..1, by the trapezoidal rule."""
    return float((values[1:] + values[:-1]).mean() / 2)


RANDOM = "random"  # the name of the shuffled map among the methods


def measure_faithfulness(
    explained: Explained, indices: Sequence[int], progress: Progress | None = None
) -> dict[str, Any]:
    """Deletion and insertion scores of each method, and of the first method's map with its values shuffled.

    Args:
        explained: the photographs, the grader and its heat maps.
        indices: the photographs to measure on.
        progress: called with (photographs done, number of photographs, "faithfulness").

    Returns:
        Method or `RANDOM` -> score -> the result of `heat.describe`.
    """
    seed = explained.seed
    methods = list(explained.maps[indices[0]])
    rows: dict[str, list[dict[str, float | None]]] = {}
    for done, index in enumerate(indices, start=1):
        image = explained.data.image(index)
        fundus = explained.data.fundus(index)
        target = int(explained.survey.predictions[index])
        photograph_maps = dict(explained.maps[index])
        photograph_maps[RANDOM] = shuffled(photograph_maps[methods[0]], seed + index)
        for method, heat in photograph_maps.items():
            scores = measure(lambda batch: explained.explainer.predict(batch)[0], image, heat, fundus, target, seed)
            rows.setdefault(method, []).append(asdict(scores))
        if progress:
            progress(done, len(indices), "faithfulness")
    return {method: summarise(method_rows, seed) for method, method_rows in rows.items()}
