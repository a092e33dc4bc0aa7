"""What a run's network costs: parameters that learned, and the time that one photograph takes."""

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from keras_dr.model import freeze
from keras_dr.trained import Run

_REPEATS = 20


def measure_cost(run: Run) -> dict[str, Any]:
    """Trainable parameters in the phase that was kept, and the median latency in ms of one photograph in Keras.

    The latency is of this machine and process, float32, the photograph in memory; `profile` measures a device's.
    """
    model = run.model()
    settings = run.recipe.finetune
    unfreeze = settings.unfreeze if run.about["kept"] == "finetune" else None
    freeze(model, unfreeze, settings.train_batch_norm)
    image = np.zeros((1, run.preprocessing.size, run.preprocessing.size, 3), np.float32)
    times = []
    for _ in range(_REPEATS + 2):
        started = perf_counter()
        model.predict_on_batch(image)
        times.append(perf_counter() - started)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {"trainable": trainable, "latency_ms": 1000 * median(times[2:])}
