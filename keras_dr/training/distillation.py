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
from keras_dr.training.run import Run

FILE = "teachers.npy"  # in the folder of the unfinished run
_LEAST = 1e-7  # smaller probabilities count as this, for the logarithm


@dataclass(frozen=True, eq=False)
class Lessons:
    """The probabilities that the teachers give to the training photographs.

    Attributes:
        probabilities: float32 (V, n, C), for each of V views of n photographs.
        share: the teachers' share of the targets, 0..1; the rest is the labels'.
    """

    probabilities: NDArray[np.float32]
    share: float

    def view(self, epoch: int) -> int:
        """Return the view that an epoch uses, counted from 0 over both phases."""
        return epoch % len(self.probabilities)

    def targets(self, epoch: int, of_labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the shares of the classes that the photographs of an epoch are to learn.

        Args:
            epoch: counted from 0 over both phases.
            of_labels: float32 (n, C), the shares of the classes by the photographs' labels.

        Returns:
            float32 (n, C), rows summing to 1.
        """
        mixed = self.share * self.probabilities[self.view(epoch)] + (1 - self.share) * of_labels
        return mixed.astype(np.float32)


def find_teachers(recipe: Recipe, data: PreparedSet) -> list[Run]:
    """Return the runs that a recipe names as teachers; a cross-validation stands for the runs of its folds.

    Args:
        recipe: of the training.
        data: the set to train on, which may be a fold of a cross-validation.

    Raises:
        KerasDrError: a teacher is no run, has another task, or sees photographs prepared in another way.
    """
    teachers = []
    for name in recipe.teachers:
        folder = Path(name)
        is_cross_validation = (folder / folders.MANIFESTS["cross-validation"]).is_file()
        members = sorted(folder.glob("fold-*")) if is_cross_validation else [folder]
        teachers += [Run.load(member) for member in members]
    for teacher in teachers:
        if teacher.task != data.task:
            raise KerasDrError(
                f"The teacher {teacher.folder} grades the task {teacher.task.name}, not {data.task.name}.",
                "Name runs of the same task with --teacher.",
            )
        if not teacher.preprocessing.fits(data.preprocessing):
            theirs, ours = teacher.preprocessing.options, data.preprocessing.options
            raise KerasDrError(
                f"The teacher {teacher.folder} needs photographs prepared with {theirs}, but these have {ours}.",
                "Prepare the set in the teacher's way, or name another teacher.",
            )
    return teachers


def teachers_of_fold(recipe: Recipe, data: PreparedSet) -> Recipe:
    """Return the recipe for a fold: of each teacher the run that was not trained on the fold's own photographs.

    Args:
        recipe: of the cross-validation, whose teachers are cross-validations with the same folds.
        data: the fold.

    Raises:
        KerasDrError: a teacher is no cross-validation, or divides the photographs in another way.
    """
    names = []
    for name in recipe.teachers:
        number = data.fold.number if data.fold else 0
        folder = Path(name) / f"fold-{number}"
        if not (folder / folders.MANIFESTS["run"]).is_file():
            raise KerasDrError(
                f"The teacher {name} is not a cross-validation with a fold {number}: it may have been trained on the "
                "photographs that this fold is judged on.",
                "Name folders that train --folds wrote, with the same number of folds.",
            )
        fold = Run.load(folder).about["data"].get("fold") or {}
        if fold.get("val_sha256") != data.split_sha256("val"):
            raise KerasDrError(
                f"The folds of the teacher {name} hold other photographs than these.",
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
    """Compute what the teachers say of each view, or read it if an interrupted call has computed it.

    The teachers' probabilities are averaged as logarithms and normalised again, which for softmax heads is the mean of
    their logits.

    Args:
        teachers: one run or more.
        recipe: of the training.
        batches: view -> all training photographs in order, augmented for this view, float32 (b, S, S, 3).
        folder: of the unfinished run.
        progress: called with (teachers and views done, all, "teachers").
    """
    views = recipe.distillation.views if recipe.finetune.augment else 1
    file = folder / FILE
    if not file.is_file():
        logarithms = []
        for number, teacher in enumerate(teachers):
            model = teacher.model()
            for view in range(views):
                progress(number * views + view, len(teachers) * views, "teachers")
                outputs = model.predict(batches(view), verbose=0)
                shares = probabilities(outputs, len(teacher.task.classes), teacher.temperature)
                logarithms.append(np.log(np.maximum(shares, _LEAST)))
        mean = np.mean(np.reshape(logarithms, (len(teachers), views, *logarithms[0].shape)), axis=0)
        together = np.exp(mean) / np.exp(mean).sum(axis=-1, keepdims=True)
        _save(file, together.astype(np.float32))
    return Lessons(np.load(file), recipe.distillation.share)


def _save(file: Path, values: NDArray[Any]) -> None:
    temporary = file.with_name(f".{file.name}.{np.random.default_rng().integers(1 << 30)}.npy")
    np.save(temporary, values)
    temporary.replace(file)
