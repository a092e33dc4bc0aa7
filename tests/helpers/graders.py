"""A small grader with weights that tell photographs apart, and photographs for it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
from keras_dr.core.folders import read_json
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS
from keras_dr.models.grader import build_model, head_weights

SIZE, TEMPERATURE = 64, 1.5


def grader(backbone: str = "tiny", size: int = SIZE) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = build_model(backbone, size, 5)
    kernel, bias = head_weights(model)
    model.get_layer("logits").set_weights([kernel * 4, bias + np.linspace(-0.5, 0.5, 5)])
    return model


def photographs(count: int, size: int = SIZE) -> np.ndarray:
    """Random colours, each growing along its own direction: unlike noise, they differ after pooling."""
    rng = np.random.default_rng(count)
    slope = np.linspace(0, 1, size)
    weights = rng.uniform(0, 1, (3, count, 1, 1, 3))
    images = weights[0] + weights[1] * slope[:, None, None] + weights[2] * slope[None, :, None]
    return np.rint(images / 3 * 255 * rng.uniform(0.6, 1, images.shape)).astype(np.uint8)


def export(model: keras.Model, target: Path, **changes: Any) -> dict[str, Any]:
    """`export_bundle` with settings that tests share; what parity.json says."""
    named = {field.name for field in fields(GraderSettings)}
    settings = GraderSettings(
        task=TASKS["icdr"],
        preprocessing=Preprocessing(SIZE),
        point=OperatingPoint(0.4),
        temperature=TEMPERATURE,
        weights="none",
        model_sha256="00ff",
        **{name: value for name, value in changes.items() if name in named},
    )
    others = {name: value for name, value in changes.items() if name not in named}
    calibration = Calibration(photographs(8), seed=7)
    validation = Validation(photographs(6), np.arange(6) % 5)
    export_bundle(model, target, settings, calibration, validation, **{"variants": ("float32",), **others})
    return read_json(target / "parity.json")
