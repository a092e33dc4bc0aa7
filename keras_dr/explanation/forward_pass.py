"""One forward pass over photographs: their predictions, and the heat maps that follow from the same pass."""

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
HEAVY_BATCH = 4  # photographs whose gradients are held in memory at a time


@dataclass(frozen=True, eq=False)
class Survey:
    """The results of one forward pass over N photographs.

    Attributes:
        probabilities: float64 (N, C).
        predictions: int64 (N,), class indices.
        maps: free method (see `Explainer.is_free`) -> float32 (N, h, w), of the predicted class.
    """

    probabilities: NDArray[np.float64]
    predictions: NDArray[np.int64]
    maps: dict[str, NDArray[np.float32]]


def survey_photographs(
    explainer: Explainer, data: PreparedSet, methods: Sequence[str], progress: Progress | None = None
) -> Survey:
    """Grade every photograph once, and make the maps of the free methods in the same pass.

    Raises:
        KerasDrError: the photographs do not fit the grader; see `Explainer.heatmaps`.
    """
    check_fit(explainer, data)
    free_methods = [method for method in methods if explainer.is_free(method)]
    photographs = Photographs(data.image_files(), data.preprocessing.size, keep=False)
    probabilities: list[NDArray[np.float64]] = []
    maps: dict[str, list[NDArray[np.float32]]] = {method: [] for method in free_methods}
    for batch in photographs.batches(BATCH).as_numpy_iterator():
        batch_probabilities, features = explainer.predict(batch)
        probabilities.append(batch_probabilities)
        for method in free_methods:
            decisions = decide(batch_probabilities, explainer.decision)
            maps[method].append(explainer.free_maps(method, features, decisions))
        if progress:
            progress(min(len(probabilities) * BATCH, len(data.rows)), len(data.rows), "predict")
    all_probabilities = np.concatenate(probabilities)
    return Survey(
        all_probabilities,
        decide(all_probabilities, explainer.decision),
        {method: np.concatenate(batch_maps) for method, batch_maps in maps.items()},
    )


def check_fit(explainer: Explainer, data: PreparedSet) -> None:
    """Refuse photographs that have another size or other classes than the grader, before any work.

    Raises:
        KerasDrError: the photographs do not fit the grader.
    """
    model = explainer.model
    size = model.input_shape[1]
    if data.preprocessing.size != size:
        raise KerasDrError(
            f"{model.name} takes photographs of {size} pixels, but those in {data.folder} have "
            f"{data.preprocessing.size} pixels.",
            f"Prepare with --size {size}.",
        )
    classes = len(data.task.classes)
    grader_classes = explainer.score_model.output_shape[1]
    if grader_classes != classes:
        raise KerasDrError(
            f"The grader has {grader_classes} classes, but the photographs in {data.folder} have {classes}.",
            f"Prepare {data.folder} for the task that the grader was trained on.",
        )


def maps_of(
    explainer: Explainer,
    data: PreparedSet,
    survey: Survey,
    indices: Sequence[int],
    methods: Sequence[str],
    progress: Progress | None = None,
) -> dict[int, dict[str, NDArray[np.float32]]]:
    """Maps of the predicted class of the photographs at `indices`: index -> method -> float32 (h, w)."""
    maps: dict[int, dict[str, NDArray[np.float32]]] = {index: {} for index in indices}
    for method in methods:
        if method in survey.maps:
            for index in indices:
                maps[index][method] = survey.maps[method][index]
            continue
        for start in range(0, len(indices), HEAVY_BATCH):
            batch = list(indices[start : start + HEAVY_BATCH])
            batch_maps = explainer.heatmaps(data.images(batch), survey.predictions[batch], method, HEAVY_BATCH)
            for index, heat in zip(batch, batch_maps, strict=True):
                maps[index][method] = heat
            if progress:
                progress(start + len(batch), len(indices), method)
    return maps
