"""The last steps after training: cut-points, conversion to float32, and all choices made on validation photographs."""

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
    labels: NDArray[np.int64],
    outputs: NDArray[np.floating],
    task: Task,
    recipe: Recipe,
    decision: str,
    patients: NDArray[np.int64],
) -> dict[str, Any]:
    """Return the choices of `calibration.calibrate`, as keys of run.json.

    Args:
        labels: int (n,), class indices of validation photographs.
        outputs: float (n, K), the grader's outputs for them.
        task: the label space.
        recipe: sets the rule and the target of the operating point.
        decision: see `decision.decide`.
        patients: int (n,), the patient of each photograph.
    """

    def decode(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
        return probabilities(logits, len(task.classes), temperature)

    point = recipe.operating_point
    return calibrate(labels, outputs, decode, task, point.rule, point.target, decision, patients)


def finished_head(recipe: Recipe, classes: int, head: layers.Layer, labels: NDArray[np.int64], outputs: Any) -> Any:
    """Return the final weights of a head.

    A regression gets its cut-points, the offsets of an ordinal head are sorted, and a softmax head is not changed.

    Args:
        recipe: sets the kind of head.
        classes: number C of classes.
        head: the trained layer.
        labels: int (n,), class indices of validation photographs.
        outputs: float (n, K), the head's outputs for them.

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
    """Return the scores that separate each grade from the next, chosen for the best quadratic kappa.

    The cut-points begin halfway between the grades. Each in turn is moved to the midpoint between two scores that gives
    the best kappa. This is repeated until none moves, at most ten times. Among equally good midpoints, the nearest to
    the previous cut-point is chosen.

    Args:
        labels: int (n,), 0..C-1.
        scores: float (n,).
        classes: C.

    Returns:
        float64 (C-1,), in increasing order.
    """
    cuts = np.arange(classes - 1, dtype=np.float64) + 0.5
    values = np.unique(scores)
    midpoints = (values[:-1] + values[1:]) / 2

    def kappa(trial: NDArray[np.float64]) -> float:
        predictions = (scores[:, None] > trial).sum(axis=1)
        return measure.quadratic_kappa(labels, predictions, classes) or 0.0

    for _ in range(10):
        cuts_before = cuts.copy()
        for step in range(classes - 1):
            low = cuts[step - 1] if step else -np.inf
            high = cuts[step + 1] if step + 2 < classes else np.inf
            old = cuts[step]
            trials = [old, *midpoints[(midpoints > low) & (midpoints < high)]]
            best = old
            best_rank = (-np.inf, -np.inf)
            for trial in trials:
                cuts[step] = trial
                # Kappas are rounded, so that those which differ only in their last bit count as equal.
                rank = (round(kappa(cuts), 9), -abs(trial - old))
                if rank > best_rank:
                    best = trial
                    best_rank = rank
            cuts[step] = best
        if np.array_equal(cuts_before, cuts):
            break
    return cuts


def _sharpness(labels: NDArray[np.int64], distances: NDArray[np.floating], classes: int) -> float:
    """Return the factor of the distances (n, C-1) from the cut-points that makes the labels most likely."""

    def loss(log_slope: float) -> float:
        return measure.log_loss(labels, probabilities(np.exp(log_slope) * distances, classes))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 5), method="bounded").x))


def finished_model(model: keras.Model, recipe: Recipe, classes: int, head: list[NDArray[np.float32]]) -> keras.Model:
    """Return the grader to keep: in float32, with an ordinal head in place of a regression.

    Args:
        model: the trained model.
        recipe: the recipe that it was trained with.
        classes: number C of classes.
        head: weights from `finished_head`.

    Returns:
        A model from photographs to logits (n, C) of a softmax or (n, C - 1) of an ordinal head.
    """
    kind = "ordinal" if recipe.head == "regression" else recipe.head
    recipe = recipe.model_copy(update={"head": kind})
    finished = recipe_model(recipe, model.input_shape[1], classes)
    for source, target in zip(model.layers[:-1], finished.layers[:-1], strict=True):
        target.set_weights(source.get_weights())
    finished.layers[-1].set_weights(head)
    return finished


def finish_model_file(file: Path, training: Training) -> None:
    """Convert the file of a trained model to that of the grader to keep; a second call changes nothing."""
    recipe = training.recipe
    classes = len(training.task.classes)
    model = keras.saving.load_model(file, compile=False)
    head = model.get_layer(LOGITS)
    needs_no_change = recipe.head == "softmax" and recipe.precision == "float32"
    is_finished_regression = recipe.head == "regression" and model.output_shape[1] == classes - 1
    if needs_no_change or is_finished_regression:
        return
    outputs = model.predict(training.val_photographs.batches(recipe.batch_size), verbose=0)
    weights = finished_head(recipe, classes, head, training.val_labels, outputs)
    save_model(finished_model(model, recipe, classes, weights), file)
