"""Bundles with random weights for the comparison of processors: `bundles.py FOLDER BACKBONE:SIZE ...`.

Random weights exercise the same kernels as trained ones. Each bundle has all variants that `export` writes.
"""

import sys
from pathlib import Path

import numpy as np

from export.variants import VARIANTS
from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS
from keras_dr.models.grader import build_model, head_weights
from keras_dr.synthetic.photographs import synthesise

LARGE = ("float32", "int8")  # int16x8 of a large network takes minutes under emulation


def prepared(spec: Preprocessing, count: int) -> np.ndarray:
    """Return drawn photographs as the model's input: uint8 RGB (count, S, S, 3)."""
    import cv2

    from keras_dr.core.preprocessing import prepare_image

    images = []
    for number in range(count):
        image = synthesise(number, number % 5, "left", (480, 640)).image
        images.append(prepare_image(cv2.imencode(".png", image[..., ::-1])[1].tobytes(), spec))
    return np.stack(images)


def write(folder: Path, backbone: str, size: int) -> None:
    """Write the bundle of a backbone, unless it is there."""
    import keras

    target = folder / f"{backbone}-{size}"
    if (target / "bundle.json").exists():
        return
    keras.utils.set_random_seed(1)
    model = build_model(backbone, size, 5)
    spec = Preprocessing(size)
    images = prepared(spec, 12)
    # A random head gives nearly equal probabilities: make it as decided as a trained one.
    kernel, bias = head_weights(model)
    model.get_layer("logits").set_weights([kernel * 4, bias + np.linspace(-0.5, 0.5, 5)])
    settings = GraderSettings(
        task=TASKS["icdr"],
        preprocessing=spec,
        point=OperatingPoint(0.4),
        temperature=1.5,
        weights="none",
        model_sha256="00ff",
    )
    variants = tuple(VARIANTS) if backbone == "tiny" else LARGE
    validation = Validation(images[8:], np.arange(4))
    export_bundle(
        model, target, settings, Calibration(images[:8], seed=7), validation, variants=variants, allow_drift=True
    )


if __name__ == "__main__":
    for word in sys.argv[2:]:
        name, side = word.split(":")
        write(Path(sys.argv[1]), name, int(side))
