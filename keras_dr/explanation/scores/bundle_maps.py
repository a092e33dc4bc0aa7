"""Scores that need more forward passes: faithfulness, sanity, and the heat maps of a device's models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.explanation.forward_pass import BATCH, Survey
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.scores.heat import describe
from keras_dr.preparation.prepared_set import PreparedSet

MOST_BUNDLED = 50  # photographs that the models of a bundle are tried on


def measure_bundle(
    explainer: Explainer,
    data: PreparedSet,
    seen: Survey,
    folder: Path,
    model_sha256: str,
    indices: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Pearson's r of the raw class evidence of the float grader and of each model of its bundle: variant -> `describe`.

    Raises:
        KerasDrError: no bundle there, an altered one, one of another run, or a model that does not survive a trial.
    """
    from edge_demo.bundle import Bundle
    from edge_demo.interpreter import outputs_of_file
    from edge_demo.trial import try_model
    from keras_dr.core.folders import read_manifest

    bundle = Bundle.load(folder)
    made_of = read_manifest(folder, "bundle").get("run", {}).get("model_sha256")
    if made_of != model_sha256:
        raise KerasDrError(f"the bundle of this run at {folder}", "one of another run", "Export the run again.")
    files = {variant: bundle.model_path(variant) for variant in bundle.models}
    for file in files.values():
        try_model(file)
    images, classes = data.images(indices), seen.predictions[list(indices)]
    chosen = (np.arange(len(indices)), ..., classes)
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    features = np.concatenate([explainer.look(batch)[1] for batch in batches])
    reference = model_evidence(features, explainer.model)[chosen]
    found = {}
    for variant, file in files.items():
        other = outputs_of_file(file.read_bytes(), images).heatmaps[chosen]
        pairs = [(a.ravel(), b.ravel()) for a, b in zip(reference, other, strict=True) if np.ptp(a) and np.ptp(b)]
        found[variant] = describe([float(np.corrcoef(a, b)[0, 1]) for a, b in pairs], seed)
    return found
