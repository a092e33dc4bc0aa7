"""Check that a recipe fits the task and the photographs, before hours of training."""

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import decide
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import Task
from keras_dr.models.heads import HEADS
from keras_dr.recipe import Recipe
from keras_dr.training.pipeline import target_matrix


def check_recipe(recipe: Recipe, task: Task, val_labels: NDArray[np.int64]) -> None:
    """Refuse a recipe that would make the training, or a step after it, fail.

    Args:
        recipe: the recipe of the training.
        task: the label space.
        val_labels: int (n,), class indices of the validation photographs.

    Raises:
        KerasDrError: the recipe does not fit the task, or no threshold can be chosen on the validation photographs.
    """
    _check_monitor(recipe, task)
    _check_head(recipe, task)
    _check_smoothing(recipe, len(task.classes))
    positive = np.isin(val_labels, task.referable)
    if task.referable and (positive.all() or not positive.any()):
        raise KerasDrError(
            "The threshold is chosen on positive and negative validation photographs, but "
            f"{int(positive.sum())} of {len(positive)} are positive.",
            "Prepare with a larger --val.",
        )


def _check_monitor(recipe: Recipe, task: Task) -> None:
    """Refuse a monitor that is not defined for the task."""
    if recipe.monitor == "val_auroc" and not task.referable:
        raise KerasDrError(
            f"The monitor val_auroc needs a positive class, but none of these is positive: {', '.join(task.classes)}.",
            "Prepare the set again with --positive, or set another monitor, such as --set monitor=val_loss.",
        )
    if recipe.monitor == "val_quadratic_kappa" and not task.ordered:
        raise KerasDrError(
            "The monitor val_quadratic_kappa needs ordered classes, but these have no order: "
            f"{', '.join(task.classes)}.",
            "If they are grades, prepare the set again with --map or --classes. If they have no order, set another "
            "monitor, such as --set monitor=val_loss.",
        )


def _check_head(recipe: Recipe, task: Task) -> None:
    """Refuse a head that does not fit the classes of the task."""
    if recipe.head == "regression" and task.name != "icdr":
        raise KerasDrError(
            f"The head regression works only for the task icdr, not for {task.name}.", "Set head: softmax or ordinal."
        )
    if recipe.head == "ordinal" and task.name != "icdr" and len(task.classes) > 2:
        raise KerasDrError(
            f"The head ordinal needs ordered classes, or two, but the classes of the task {task.name} have no order.",
            "Set head: softmax.",
        )


def _check_smoothing(recipe: Recipe, class_count: int) -> None:
    """Refuse smoothing after which the soft label of a class would be decided as another class."""
    soft_labels = target_matrix(class_count, recipe)
    classes = np.arange(class_count)
    if recipe.head == "regression":
        decided = np.rint(soft_labels @ classes)
    else:
        decided = decide(soft_labels, HEADS[recipe.head].decision)
    if (decided != classes).any():
        raise KerasDrError(
            f"With ordinal_smoothing {recipe.ordinal_smoothing:g} and label_smoothing {recipe.label_smoothing:g}, the "
            "soft label of a class would be decided as another class.",
            "Set less smoothing.",
        )
