"""One forward pass over photographs: what the grader says of each, and the heat maps that come with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import decide
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress
from keras_dr.explanation.methods import Explainer
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.pipeline import Photographs

BATCH = 16
HEAVY_BATCH = 4  # photographs whose gradients are held at a time


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over N photographs gave.

    Attributes:
        probabilities: float64 (N, C).
        predictions: int64 (N,), class indices.
        maps: free method -> float32 (N, h, w), of the predicted class.
    """

    probabilities: NDArray[np.float64]
    predictions: NDArray[np.int64]
    maps: dict[str, NDArray[np.float32]]


def survey(explainer: Explainer, data: PreparedSet, methods: Sequence[str], progress: Progress | None = None) -> Survey:
    """Look at every photograph once.

    Raises:
        KerasDrError: the photographs do not fit the grader; see `Explainer.heatmaps`.
    """
    check_fit(explainer, data)
    free = [method for method in methods if explainer.is_free(method)]
    total, said = len(data.rows), []
    maps: dict[str, list[NDArray[np.float32]]] = {method: [] for method in free}
    for batch in (
        Photographs(data.image_files(), data.preprocessing.size, keep=False).batches(BATCH).as_numpy_iterator()
    ):
        probabilities, features = explainer.look(batch)
        said.append(probabilities)
        for method in free:
            maps[method].append(explainer.free_maps(method, features, decide(probabilities, explainer.decision)))
        if progress:
            progress(min(len(said) * BATCH, total), total, "look")
    likely = np.concatenate(said)
    whole = {method: np.concatenate(parts) for method, parts in maps.items()}
    return Survey(likely, decide(likely, explainer.decision), whole)


def check_fit(explainer: Explainer, data: PreparedSet) -> None:
    """Refuse photographs of another size or other classes than the grader's, before any work."""
    model = explainer.model
    size, classes = model.input_shape[1], len(data.task.classes)
    if data.preprocessing.size != size:
        found = f"{data.preprocessing.size} pixels in {data.folder}"
        raise KerasDrError(
            f"photographs of {size} pixels, as {model.name} takes", found, f"Prepare with --size {size}."
        )
    graded = explainer.scoring.output_shape[1]
    if graded != classes:
        remedy = f"Prepare {data.folder} for the task that the grader was trained on."
        raise KerasDrError(f"a grader of {classes} classes", f"one of {graded}", remedy)


def maps_of(
    explainer: Explainer,
    data: PreparedSet,
    seen: Survey,
    indices: Sequence[int],
    methods: Sequence[str],
    progress: Progress | None = None,
) -> dict[int, dict[str, NDArray[np.float32]]]:
    """Every method's map of the predicted class, float32 (h, w), for some of the photographs, by their index."""
    maps: dict[int, dict[str, NDArray[np.float32]]] = {index: {} for index in indices}
    for method in methods:
        if method in seen.maps:
            for index in indices:
                maps[index][method] = seen.maps[method][index]
            continue
        for start in range(0, len(indices), HEAVY_BATCH):
            some = list(indices[start : start + HEAVY_BATCH])
            made = explainer.heatmaps(data.images(some), seen.predictions[some], method, HEAVY_BATCH)
            for index, heat in zip(some, made, strict=True):
                maps[index][method] = heat
            if progress:
                progress(start + len(some), len(indices), method)
    return maps
