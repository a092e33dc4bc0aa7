"""Whether a recipe fits the classes that are to be told apart, before hours go into it."""

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import decide
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import Task
from keras_dr.models.heads import HEADS
from keras_dr.recipe import Recipe
from keras_dr.training.pipeline import target_matrix


def check_recipe(recipe: Recipe, task: Task, val_labels: NDArray[np.int64]) -> None:
    """Find out before the training what would fail in it or after it.

    Args:
        recipe: what is to be done.
        task: the label space.
        val_labels: int (n,), class indices of the validation photographs.

    Raises:
        KerasDrError: the recipe does not fit the task, or the photographs do not serve to choose a threshold.
    """
    if recipe.monitor == "val_auroc" and not task.referable:
        message = f"val_auroc needs a positive class, and none of {', '.join(task.classes)} is one."
        raise KerasDrError(message, "Prepare the set again with --positive, or set another monitor.")
    if recipe.monitor == "val_quadratic_kappa" and not task.ordered:
        message = (
            f"val_quadratic_kappa needs classes in order, and nobody has said in which {', '.join(task.classes)} stand."
        )
        remedy = (
            "If they are grades, prepare the set again with --map or --classes; if they have no order, watch another "
            "figure: --set monitor=val_loss."
        )
        raise KerasDrError(message, remedy)
    if recipe.head == "regression" and task.name != "icdr":
        raise KerasDrError("the task icdr for head regression", task.name, "Set head: softmax or ordinal.")
    if recipe.head == "ordinal" and task.name != "icdr" and len(task.classes) > 2:
        raise KerasDrError("ordered classes, or two, for head ordinal", task.name, "Set head: softmax.")
    soft, classes = target_matrix(len(task.classes), recipe), np.arange(len(task.classes))
    said = np.rint(soft @ classes) if recipe.head == "regression" else decide(soft, HEADS[recipe.head].decision)
    if (said != classes).any():
        found = f"ordinal_smoothing {recipe.ordinal_smoothing:g}, label_smoothing {recipe.label_smoothing:g}"
        raise KerasDrError("soft labels that still name the class they stand for", found, "Set less smoothing.")
    positive = np.isin(val_labels, task.referable)
    if task.referable and (positive.all() or not positive.any()):
        found = f"{int(positive.sum())} positive of {len(positive)}"
        raise KerasDrError("positive and negative validation photographs", found, "Prepare with a larger --val.")
