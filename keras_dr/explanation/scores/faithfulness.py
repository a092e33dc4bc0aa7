"""Whether the heat is where the decision is: blur the hottest pixels and watch the probability fall.

V. Petsiuk, A. Das and K. Saenko, "RISE", BMVC 2018: deletion and insertion. What is taken away is blurred, not blacked
out, because black holes are themselves unlike any photograph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.forward_pass import Survey
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.scores.heat import summarise
from keras_dr.preparation.prepared_set import PreparedSet

STEPS = 10
SIGMA = 0.05  # of the blur, as a share of the side: lesions vanish, vessels and the optic disc fade
DARK = 10  # of 255; the brightest channel of a pixel that is not fundus
_BATCH = 8
# float32 RGB (b, S, S, 3) in 0..255 -> probabilities float (b, C)
Predict = Callable[[NDArray[np.float32]], NDArray[np.floating]]


@dataclass(frozen=True)
class Faithfulness:
    """Two areas under the curve of the explained class's probability over the share of the fundus that was changed.

    Attributes:
        deletion_auc: 0..1, the hottest pixels blurred first; low is faithful.
        insertion_auc: 0..1, the hottest pixels given back first to the blurred photograph; high is faithful.
    """

    deletion_auc: float
    insertion_auc: float


def blurred(image: NDArray[np.uint8], fundus: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The photograph blurred within its fundus, float32 (S, S, 3); the surround neither changes nor bleeds in."""
    sigma = SIGMA * image.shape[0]
    inside = fundus.astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-6)[..., None]
    soft = cv2.GaussianBlur(image * inside[..., None], (0, 0), sigma) / weight
    return np.where(fundus[..., None], soft, image).astype(np.float32)


def lit(image: NDArray[np.uint8], fundus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The fundus less what the camera cut off: bool (S, S), of uint8 RGB (S, S, 3) and bool (S, S)."""
    return fundus & (image.max(axis=2) > DARK)


def rank_pixels(heat: NDArray[np.floating], fundus: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """Share 0..1 of the fundus that is hotter than each pixel, float64 (S, S); 2 outside; ties in random order."""
    inside = np.flatnonzero(fundus)
    inside = np.random.default_rng(seed).permutation(inside)
    ranks = np.full(heat.size, 2.0)
    hottest = inside[np.argsort(-heat.ravel()[inside], kind="stable")]
    ranks[hottest] = np.arange(len(inside)) / len(inside)
    return ranks.reshape(heat.shape)


def shuffled(heatmap: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """A map of the same values in random places, float (h, w): as coarse, and blind."""
    return np.random.default_rng(seed).permuted(heatmap.ravel()).reshape(heatmap.shape)


def deletions(image: NDArray[np.uint8], ranks: NDArray[np.floating], soft: NDArray[np.float32]) -> NDArray[np.float32]:
    """The photograph with 0, 1/10, ... 10/10 of its fundus blurred, hottest first, float32 (11, S, S, 3)."""
    shares = np.linspace(0, 1, STEPS + 1)
    return np.stack([np.where((ranks < share)[..., None], soft, image) for share in shares]).astype(np.float32)


def measure(
    predict: Predict,
    image: NDArray[np.uint8],
    heatmap: NDArray[np.floating],
    fundus: NDArray[np.bool_],
    target: int,
    seed: int = 42,
) -> Faithfulness:
    """Deletion and insertion for one map, 22 forward passes.

    Args:
        predict: the grader.
        image: uint8 RGB (S, S, 3).
        heatmap: float (h, w), evidence for the class `target`.
        fundus: bool (S, S); nothing else is changed.
        target: class whose probability is watched.
        seed: of the order of equally hot pixels.
    """
    fundus = lit(image, fundus)
    ranks = rank_pixels(enlarge(heatmap, image.shape[0]), fundus, seed)
    soft = blurred(image, fundus)
    deleted = probabilities(predict, deletions(image, ranks, soft))[:, target]
    back = np.where(fundus, 1 - ranks - 1 / max(1, fundus.sum()), 2)  # coldest first, taken from the end on
    inserted = probabilities(predict, deletions(image, back, soft))[::-1, target]
    return Faithfulness(_area(deleted), _area(inserted))


def probabilities(predict: Predict, images: NDArray[np.float32]) -> NDArray[np.floating]:
    """`predict` of float32 RGB (n, S, S, 3) in batches that fit into memory -> float (n, C), 0..1."""
    return np.concatenate([predict(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)])


def _area(values: NDArray[np.floating]) -> float:
    """Area under equally spaced values over 0..1, by trapezia."""
    return float((values[1:] + values[:-1]).mean() / 2)


RANDOM = "random"


Maps = Mapping[int, Mapping[str, NDArray[np.float32]]]


def measure_faithfulness(
    explainer: Explainer,
    data: PreparedSet,
    seen: Survey,
    maps: Maps,
    indices: Sequence[int],
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Deletion and insertion of each method, and of the first one's map in random order: method -> score -> `describe`.

    `maps` holds for each of `indices` a float32 (h, w) a method.
    """
    methods = list(maps[indices[0]])
    rows: dict[str, list[dict[str, float | None]]] = {}
    for done, index in enumerate(indices, start=1):
        image, fundus, target = data.image(index), data.fundus(index), int(seen.predictions[index])
        tried = {method: maps[index][method] for method in methods}
        tried[RANDOM] = shuffled(tried[methods[0]], seed + index)
        for method, heat in tried.items():
            found = measure(lambda some: explainer.look(some)[0], image, heat, fundus, target, seed)
            rows.setdefault(method, []).append(asdict(found))
        if progress:
            progress(done, len(indices), "faithfulness")
    return {method: summarise(found, seed) for method, found in rows.items()}
