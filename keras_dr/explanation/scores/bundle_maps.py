"""Scores that need more forward passes: faithfulness, sanity, and the heat maps of a device's models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.errors import KerasDrError
from keras_dr.explain import faithfulness, sanity
from keras_dr.explain.closed_form import model_evidence
from keras_dr.explain.heatmaps import Explainer
from keras_dr.explain.scores import describe, summarise
from keras_dr.explain.survey import BATCH, Progress, Survey
from keras_dr.prepared import PreparedSet

RANDOM = "random"
MOST_BUNDLED = 50  # photographs that the models of a bundle are tried on
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
        tried[RANDOM] = faithfulness.shuffled(tried[methods[0]], seed + index)
        for method, heat in tried.items():
            found = faithfulness.measure(lambda some: explainer.look(some)[0], image, heat, fundus, target, seed)
            rows.setdefault(method, []).append(asdict(found))
        if progress:
            progress(done, len(indices), "faithfulness")
    return {method: summarise(found, seed) for method, found in rows.items()}


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
    for done, (stage, share) in enumerate(sanity.STAGES.items(), start=1):
        blank = Explainer(sanity.randomised(explainer.model, share, seed), explainer.layer.name)
        for method in methods:
            others = blank.heatmaps(images, classes, method)
            pairs = zip(indices, others, strict=True)
            known = [sanity.spearman(maps[index][method], other) for index, other in pairs]
            found[method][stage] = describe([value for value in known if value is not None], seed)
        if progress:
            progress(done, len(sanity.STAGES), "sanity")
    return found


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
    from edge_demo.trial import try_model
    from export.parity import variant_outputs
    from keras_dr.runs import read_manifest

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
        other = variant_outputs(file.read_bytes(), images).heatmaps[chosen]
        pairs = [(a.ravel(), b.ravel()) for a, b in zip(reference, other, strict=True) if np.ptp(a) and np.ptp(b)]
        found[variant] = describe([float(np.corrcoef(a, b)[0, 1]) for a, b in pairs], seed)
    return found
