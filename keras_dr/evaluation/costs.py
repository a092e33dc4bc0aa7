"""Measures the cost of a run's network: the parameters that learned, and the time per photograph."""

from time import perf_counter
from typing import Any

import keras
import numpy as np

from keras_dr.models.grader import freeze
from keras_dr.training.run import Run

_ROUNDS = 20


def measure_cost(run: Run, model: keras.Model) -> dict[str, Any]:
    """Return the trainable parameters in the phase that was kept, and the latency in ms of one photograph in Keras.

    The latency is the shortest of 20 rounds on this machine in this process, in float32, with the photograph in memory.
    `profile` measures the latency on a device.

    Args:
        run: the grader.
        model: its network; this function changes which of its layers are trainable.
    """
    size = run.preprocessing.size
    image = np.zeros((1, size, size, 3), np.float32)
    model.predict_on_batch(image)  # compiles
    return {
        "latency_ms": 1000 * min(_seconds(model, image) for _ in range(_ROUNDS)),
        "trainable": _trainable(run, model),
    }


def _seconds(model: keras.Model, image: np.ndarray) -> float:
    started = perf_counter()
    model.predict_on_batch(image)
    return perf_counter() - started


def _trainable(run: Run, model: keras.Model) -> int:
    settings = run.recipe.finetune
    freeze(model, settings.unfreeze if run.about["kept"] == "finetune" else None, settings.train_batch_norm)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
