"""Agreement of the heat maps of a bundle's models, which run on devices, with those of the float grader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.explanation.forward_pass import BATCH
from keras_dr.explanation.scores.explained import Explained
from keras_dr.explanation.scores.heat import describe

MOST_BUNDLED = 50  # the largest number of photographs on which the models of a bundle are run


def measure_bundle(explained: Explained, folder: Path, model_sha256: str, indices: Sequence[int]) -> dict[str, Any]:
    """Pearson's r of the raw class evidence of the float grader and of each model of its bundle: variant -> `describe`.

    Args:
        explained: the photographs and the float grader.
        folder: the folder of the bundle.
        model_sha256: the hash of the run's model.
        indices: the photographs to compare on.

    Raises:
        KerasDrError: there is no bundle in the folder, it was changed, it was made from another run, or a model fails
            its trial.
    """
    from edge_demo.bundle import Bundle
    from edge_demo.interpreter import outputs_of_file
    from edge_demo.trial import try_model
    from keras_dr.core.folders import read_manifest

    bundle = Bundle.load(folder)
    exported_sha256 = read_manifest(folder, "bundle").get("run", {}).get("model_sha256")
    if exported_sha256 != model_sha256:
        raise KerasDrError(f"The bundle at {folder} was made from another run.", "Export the run again.")
    files = {variant: bundle.model_path(variant) for variant in bundle.models}
    for file in files.values():
        try_model(file)
    explainer = explained.explainer
    images = explained.data.images(indices)
    classes = explained.survey.predictions[list(indices)]
    predicted = (np.arange(len(indices)), ..., classes)  # selects the map of each photograph's predicted class
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    features = np.concatenate([explainer.predict(batch)[1] for batch in batches])
    reference_maps = model_evidence(features, explainer.model)[predicted]
    correlations = {}
    for variant, file in files.items():
        maps = outputs_of_file(file.read_bytes(), images).heatmaps[predicted]
        correlations[variant] = describe(_correlations(reference_maps, maps), explained.seed)
    return correlations


def _correlations(references: NDArray[np.floating], maps: NDArray[np.floating]) -> list[float]:
    """Pearson's r of each pair of maps, float (n, h, w); pairs with a constant map are left out."""
    return [
        float(np.corrcoef(reference.ravel(), heat.ravel())[0, 1])
        for reference, heat in zip(references, maps, strict=True)
        if np.ptp(reference) and np.ptp(heat)
    ]
