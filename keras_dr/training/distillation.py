"""Distillation: a run learns from the probabilities of other runs, its teachers, as well as from the labels.

G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network", 2015. The teachers grade each
photograph in a few augmented views, once for each view, and the epochs of fine-tuning use these views in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.training.run import Run, load_runs

FILE = "teachers.npy"  # in the folder of the unfinished run
_LEAST = 1e-7  # replaces smaller probabilities, so that their logarithm is finite


@dataclass(frozen=True, eq=False)
class Lessons:
    """The probabilities that the teachers give to the training photographs.

    Attributes:
        probabilities: float32 (V, n, C), for each of V views of n photographs.
        share: the teachers' share of the targets, 0..1; the labels have the rest.
    """

    probabilities: NDArray[np.float32]
    share: float

    def view(self, epoch: int) -> int:
        """Return the view that an epoch uses, counted from 0 over both phases."""
        return epoch % len(self.probabilities)

    def targets(self, epoch: int, label_shares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the targets of an epoch: the share of each class for each photograph.

        Args:
            epoch: counted from 0 over both phases.
            label_shares: float32 (n, C), the shares of the classes according to the labels.

        Returns:
            float32 (n, C), rows summing to 1.
        """
        mixed = self.share * self.probabilities[self.view(epoch)] + (1 - self.share) * label_shares
        return mixed.astype(np.float32)


def find_teachers(recipe: Recipe, data: PreparedSet) -> list[Run]:
    """Return the runs that a recipe names as teachers; a cross-validation stands for the runs of its folds.

    Args:
        recipe: the recipe of the training.
        data: the set to train on, which may be a fold of a cross-validation.

    Raises:
        KerasDrError: a teacher is not a run, is named more than once, has another task, or needs photographs
            prepared in another way.
    """
    teachers = load_runs(recipe.teachers)
    for teacher in teachers:
        if teacher.task != data.task:
            raise KerasDrError(
                f"The teacher {teacher.folder} grades the task {teacher.task.name}, not {data.task.name}.",
                "Name runs of the same task with --teacher.",
            )
        if not teacher.preprocessing.fits(data.preprocessing):
            teacher_options = teacher.preprocessing.options
            own_options = data.preprocessing.options
            raise KerasDrError(
                f"The teacher {teacher.folder} needs photographs prepared with {teacher_options}, but these were "
                f"prepared with {own_options}.",
                f"Prepare the set with {teacher_options}, or name another teacher.",
            )
    return teachers


def teachers_of_fold(recipe: Recipe, data: PreparedSet) -> Recipe:
    """Return the recipe of a fold; its teachers are the runs that were not trained on its validation photographs.

    Args:
        recipe: the recipe of the cross-validation; its teachers are cross-validations with the same folds.
        data: the fold.

    Raises:
        KerasDrError: a teacher is not a cross-validation, or divides the photographs in another way.
    """
    names = []
    for name in recipe.teachers:
        number = data.fold.number if data.fold else 0
        folder = Path(name) / f"fold-{number}"
        if not (folder / folders.MANIFESTS["run"]).is_file():
            raise KerasDrError(
                f"The teacher {name} is not a cross-validation with a fold {number}: it may have been trained on this "
                "fold's validation photographs.",
                "Name folders that train --folds wrote, with the same number of folds.",
            )
        fold = Run.load(folder).about["data"].get("fold") or {}
        if fold.get("val_sha256") != data.split_sha256("val"):
            raise KerasDrError(
                f"The teacher {name} divides the photographs into other folds than this training.",
                "Cross-validate the teacher on the same prepared set, with the same number of folds.",
            )
        names.append(str(folder))
    return recipe.model_copy(update={"teachers": tuple(names)})


def learn_from(
    teachers: list[Run],
    recipe: Recipe,
    batches: Callable[[int], tf.data.Dataset],
    folder: Path,
    progress: Progress,
) -> Lessons:
    """Compute the teachers' probabilities for each view, or read them if an interrupted call has saved them.

    The teachers' probabilities are averaged by `mean_of_logarithms`.

    Args:
        teachers: at least one run.
        recipe: the recipe of the training.
        batches: view -> all training photographs in order, augmented for this view, float32 (b, S, S, 3).
        folder: the folder of the unfinished run.
        progress: called with (finished views of all teachers, number of these views, "teachers").
    """
    views = recipe.distillation.views if recipe.finetune.augment else 1
    file = folder / FILE
    if not file.is_file():
        graded = []
        for number, teacher in enumerate(teachers):
            model = teacher.model()
            for view in range(views):
                progress(number * views + view, len(teachers) * views, "teachers")
                outputs = model.predict(batches(view), verbose=0)
                graded.append(probabilities(outputs, len(teacher.task.classes), teacher.temperature))
        averaged = mean_of_logarithms(np.reshape(graded, (len(teachers), views, *graded[0].shape)))
        _save(file, averaged.astype(np.float32))
    return Lessons(np.load(file), recipe.distillation.share)


def mean_of_logarithms(values: NDArray[Any]) -> NDArray[Any]:
    """Average probabilities as logarithms, and normalise them again: their geometric mean.

    For softmax heads, this is the softmax of the mean of the logits.

    Args:
        values: float (graders, ..., classes), 0..1; values below 1e-7 count as 1e-7.

    Returns:
        Probabilities, float (..., classes), which sum to 1 over the classes.

    Example:
        >>> mean_of_logarithms(np.array([[0.5, 0.5], [0.8, 0.2]])).round(3)
        array([0.667, 0.333])
    """
    mean = np.exp(np.mean(np.log(np.maximum(values, _LEAST)), axis=0))
    return mean / mean.sum(axis=-1, keepdims=True)


def _save(file: Path, values: NDArray[Any]) -> None:
    temporary = file.with_name(f".{file.name}.{np.random.default_rng().integers(1 << 30)}.npy")
    np.save(temporary, values)
    temporary.replace(file)
