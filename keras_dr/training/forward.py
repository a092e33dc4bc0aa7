"""The outputs of a run for photographs: one forward pass, or the mean over eight views of each."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.progress import Progress
from keras_dr.metrics.predictions import patient_codes
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.finish import calibrated
from keras_dr.training.pipeline import Photographs
from keras_dr.training.run import Run, recalibrated


def forward(
    run: Run, model: keras.Model, data: PreparedSet, progress: Progress | None = None, batch_size: int = 16
) -> NDArray[np.float32]:
    """Return the model's outputs for every photograph, float32 (n, K), or their means over eight views.

    Args:
        run: a grader.
        model: the model of the run.
        data: n photographs.
        progress: called with (batches done, number of batches, "predict").
        batch_size: photographs per batch.
    """
    photographs = Photographs(data.image_files(), run.preprocessing.size, keep=run.uses_tta)
    views = VIEWS if run.uses_tta else VIEWS[:1]
    steps = -(-len(data.rows) // batch_size)
    outputs = []
    for number, view in enumerate(views):
        batches = photographs.batches(batch_size)
        if view != VIEWS[0]:
            quarter_turns, mirrored = view
            batches = batches.map(partial(_turned, quarter_turns, mirrored))
        callbacks = [_progress_callback(progress, number * steps, len(views) * steps)] if progress else None
        outputs.append(model.predict(batches, verbose=0, callbacks=callbacks))
    return np.mean(outputs, axis=0)


# (number of quarter turns, whether mirrored) for the eight orientations of a square photograph
VIEWS = tuple((quarter_turns, mirrored) for mirrored in (False, True) for quarter_turns in range(4))


def _progress_callback(progress: Progress, done_before: int, total: int) -> keras.callbacks.Callback:
    """Return a callback that reports each batch of a prediction, after `done_before` of `total` batches."""

    def report(step: int, logs: Any) -> None:
        progress(done_before + step + 1, total, "predict")

    return keras.callbacks.LambdaCallback(on_predict_batch_end=report)


def _turned(quarter_turns: int, mirrored: bool, images: tf.Tensor) -> tf.Tensor:
    """Return the photographs mirrored or not, then rotated."""
    images = tf.reverse(images, [2]) if mirrored else images
    return tf.image.rot90(images, quarter_turns)


def with_tta(run: Run, moved_to: Path | None = None) -> Run:
    """Return the run with test-time augmentation: its outputs are means over eight views.

    All thresholds are chosen again, on validation outputs that are averaged in the same way.

    Args:
        run: a grader.
        moved_to: the folder of its prepared set now; None: the folder that it had in the training.
    """
    validation = run.own_set(moved_to).split("val")
    run = replace(run, uses_tta=True)
    outputs = forward(run, run.model(), validation)
    patients = patient_codes(validation.rows)
    chosen = calibrated(validation.labels(), outputs, run.task, run.recipe, run.decision, patients)
    return recalibrated(run, chosen)


def decode(run: Run, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities float64 (n, C) for the outputs float32 (n, K) of `forward`, at the run's temperature."""
    return probabilities(outputs, len(run.task.classes), run.temperature)


def predict(
    run: Run, model: keras.Model, data: PreparedSet, progress: Progress | None = None, batch_size: int = 16
) -> NDArray[np.float64]:
    """Return the probabilities of every photograph, float64 (n, C); arguments as for `forward`."""
    return decode(run, forward(run, model, data, progress, batch_size))
