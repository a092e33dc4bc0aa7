"""What a run says of photographs: one forward pass, or the mean over eight views of each."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.progress import Progress
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.finish import calibrated
from keras_dr.training.pipeline import Photographs
from keras_dr.training.run import Run, recalibrated


def forward(
    run: Run, model: keras.Model, data: PreparedSet, progress: Progress | None = None, batch_size: int = 16
) -> NDArray[np.float32]:
    """The model's outputs for every photograph, float32 (n, K); the mean over eight views where the run `turns`."""
    photographs = Photographs(data.image_files(), run.preprocessing.size, keep=run.turns)
    views = VIEWS if run.turns else VIEWS[:1]
    steps = -(-len(data.rows) // batch_size)
    outputs = []
    for number, view in enumerate(views):
        tick = keras.callbacks.LambdaCallback(
            on_predict_batch_end=lambda step, logs, done=number * steps: (
                progress(done + step + 1, len(views) * steps, "predict") if progress else None
            )
        )
        batches = photographs.batches(batch_size)
        if view != VIEWS[0]:
            batches = batches.map(partial(_turned, *view))
        outputs.append(model.predict(batches, verbose=0, callbacks=[tick]))
    return np.mean(outputs, axis=0)


# Quarter turns, and whether mirrored: the eight ways to lay a square photograph.
VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def _turned(turns: int, mirrored: bool, images: tf.Tensor) -> tf.Tensor:
    images = tf.reverse(images, [2]) if mirrored else images
    return tf.image.rot90(images, turns)


def with_tta(run: Run, moved_to: Path | None = None) -> Run:
    """The run with test-time augmentation: outputs are means over eight views, and all thresholds are chosen anew.

    Args:
        run: a grader.
        moved_to: where its prepared set lies, whose validation photographs are looked at; None: where it was.
    """
    home, run = run.own_set(moved_to).split("val"), replace(run, turns=True)
    outputs = forward(run, run.model(), home)
    chosen = calibrated(home.labels(), outputs, run.task, run.recipe, run.decision)
    return recalibrated(run, chosen)


def decode(run: Run, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities float64 (n, C) of what `forward` gave, at the run's temperature."""
    return probabilities(outputs, len(run.task.classes), run.temperature)


def predict(
    run: Run, model: keras.Model, data: PreparedSet, progress: Progress | None = None, batch_size: int = 16
) -> NDArray[np.float64]:
    """Probabilities of every photograph, float64 (n, C)."""
    return decode(run, forward(run, model, data, progress, batch_size))
