"""What runs' networks cost: parameters that learned, and the time that one photograph takes."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import keras
import numpy as np

from keras_dr.models.grader import freeze
from keras_dr.training.run import Run

_ROUNDS = 20


def measure_costs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Trainable parameters in the phase that was kept, and the latency in ms of one photograph in Keras, of each run.

    The latency is the shortest of 20, of this machine and process, float32, the photograph in memory; the runs take
    turns, so that what else the machine does weighs on all. `profile` measures a device's.
    """
    models = [run.model() for run in runs]
    images = [np.zeros((1, run.preprocessing.size, run.preprocessing.size, 3), np.float32) for run in runs]
    for model, image in zip(models, images, strict=True):
        model.predict_on_batch(image)  # compiles
    times = [[_seconds(model, image) for model, image in zip(models, images, strict=True)] for _ in range(_ROUNDS)]
    return [
        {"trainable": _trainable(run, model), "latency_ms": 1000 * min(times_of_run)}
        for run, model, times_of_run in zip(runs, models, zip(*times, strict=True), strict=True)
    ]


def _seconds(model: keras.Model, image: np.ndarray) -> float:
    started = perf_counter()
    model.predict_on_batch(image)
    return perf_counter() - started


def _trainable(run: Run, model: keras.Model) -> int:
    settings = run.recipe.finetune
    freeze(model, settings.unfreeze if run.about["kept"] == "finetune" else None, settings.train_batch_norm)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
