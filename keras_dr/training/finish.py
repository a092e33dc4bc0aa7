"""What is done to a trained grader before it is kept: cut-points, float32, and all that is chosen on validation."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure
from keras_dr.metrics.calibration import calibrate
from keras_dr.models.grader import recipe_model
from keras_dr.models.heads import NAME as LOGITS
from keras_dr.models.heads import probabilities
from keras_dr.recipe import Recipe
from keras_dr.training.loop import Training, save_model


def calibrated(
    labels: NDArray[np.int64], outputs: NDArray[np.floating], task: Task, recipe: Recipe, decision: str
) -> dict[str, Any]:
    """What `calibration.calibrate` chooses, as keys of run.json.

    Args:
        labels: int (n,), class indices of validation photographs.
        outputs: float (n, K), what the grader says of them.
        task: the label space.
        recipe: for the operating point that photographs are referred by.
        decision: see `decision.decide`.
    """

    def decode(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
        return probabilities(logits, len(task.classes), temperature)

    return calibrate(
        labels, outputs, decode, task, recipe.operating_point.rule, recipe.operating_point.target, decision
    )


def finished_head(recipe: Recipe, classes: int, head: layers.Layer, labels: NDArray[np.int64], outputs: Any) -> Any:
    """A head as it is kept: a regression with its cut-points, an ordinal head with ordered offsets, a softmax as it is.

    Args:
        recipe: which kind of head.
        classes: number C of classes.
        head: the trained layer.
        labels: int (n,), of validation photographs.
        outputs: float (n, K), what the head says of them.

    Returns:
        The head's weights, for a softmax or an ordinal layer of C classes.
    """
    kernel, bias = head.get_weights()
    if recipe.head == "ordinal":
        return [kernel, np.sort(bias)[::-1]]
    if recipe.head == "regression":
        cuts = cut_points(labels, outputs[:, 0], classes)
        slope = _sharpness(labels, outputs[:, :1] - cuts, classes)
        return [slope * kernel, slope * (bias - cuts)]
    return [kernel, bias]


def cut_points(labels: NDArray[np.int64], scores: NDArray[np.floating], classes: int) -> NDArray[np.float64]:
    """Where a score passes from one grade to the next, for the best quadratic kappa.

    One cut-point after another is moved to the place between two scores that serves kappa best, until none moves;
    the begin is halfway between the grades. Ties go to the place nearest the old one.

    Args:
        labels: int (n,), 0..C-1.
        scores: float (n,).
        classes: C.

    Returns:
        float64 (C-1,), rising.
    """
    cuts = np.arange(classes - 1, dtype=np.float64) + 0.5
    values = np.unique(scores)
    places = (values[:-1] + values[1:]) / 2

    def kappa(trial: NDArray[np.float64]) -> float:
        predictions = (scores[:, None] > trial).sum(axis=1)
        return measure.quadratic_kappa(labels, predictions, classes) or 0.0

    for _ in range(10):
        before = cuts.copy()
        for step in range(classes - 1):
            low = cuts[step - 1] if step else -np.inf
            high = cuts[step + 1] if step + 2 < classes else np.inf
            trials = [cuts[step], *places[(places > low) & (places < high)]]
            # rounded, so that equal kappas that differ by their last bit are ties
            worth = [(round(kappa(_with(cuts, step, place)), 9), -abs(place - cuts[step])) for place in trials]
            cuts[step] = trials[max(range(len(trials)), key=worth.__getitem__)]
        if np.array_equal(before, cuts):
            break
    return cuts


def _with(cuts: NDArray[np.float64], step: int, place: float) -> NDArray[np.float64]:
    changed = cuts.copy()
    changed[step] = place
    return changed


def _sharpness(labels: NDArray[np.int64], distances: NDArray[np.floating], classes: int) -> float:
    """The factor on distances (n, C-1) from the cut-points that makes the labels likeliest."""

    def loss(log_slope: float) -> float:
        return measure.log_loss(labels, probabilities(np.exp(log_slope) * distances, classes))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 5), method="bounded").x))


def finished_model(model: keras.Model, recipe: Recipe, classes: int, head: list[NDArray[np.float32]]) -> keras.Model:
    """The grader as it is kept: in float32, a regression as an ordinal head with its cut-points.

    Args:
        model: what was trained.
        recipe: by what.
        classes: number C of classes.
        head: weights from `heads.finished_head`.

    Returns:
        Model to logits (n, C) of a softmax or (n, C - 1) of an ordinal head.
    """
    kind = "ordinal" if recipe.head == "regression" else recipe.head
    recipe = recipe.model_copy(update={"head": kind})
    whole = recipe_model(recipe, model.input_shape[1], classes)
    for source, target in zip(model.layers[:-1], whole.layers[:-1], strict=True):
        target.set_weights(source.get_weights())
    whole.layers[-1].set_weights(head)
    return whole


def finish_model_file(file: Path, training: Training) -> None:
    """Turn a trained model into one as it is kept; done again, nothing changes."""
    recipe, classes = training.recipe, len(training.task.classes)
    model = keras.saving.load_model(file, compile=False)
    head = model.get_layer(LOGITS)
    plain = recipe.head == "softmax" and recipe.precision == "float32"
    if plain or (recipe.head == "regression" and model.output_shape[1] == classes - 1):
        return
    outputs = model.predict(training.val_photographs.batches(recipe.batch_size), verbose=0)
    weights = finished_head(recipe, classes, head, training.val_labels, outputs)
    save_model(finished_model(model, recipe, classes, weights), file)
