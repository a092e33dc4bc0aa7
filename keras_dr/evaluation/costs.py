"""What a run's network costs: parameters that learned, and the time that one photograph takes."""

from time import perf_counter
from typing import Any

import keras
import numpy as np

from keras_dr.models.grader import freeze
from keras_dr.training.run import Run

_ROUNDS = 20


def measure_cost(run: Run, model: keras.Model) -> dict[str, Any]:
    """Trainable parameters in the phase that was kept, and the latency in ms of one photograph in Keras.

    The latency is the shortest of 20 rounds, of this machine and process, float32, the photograph in memory. `profile`
    measures a device's.

    Args:
        run: the grader.
        model: its network; which of its layers learn is changed.
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
