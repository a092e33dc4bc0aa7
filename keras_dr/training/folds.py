"""Cross validation: a run a fold, and what each says of the photographs that it did not learn from.

RUN/ cross_validation.json out_of_fold.csv fold-1/ ... fold-N/, each an ordinary run
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Stage, no_progress
from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure, predictions
from keras_dr.metrics.predictions import write_predictions
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe
from keras_dr.reports.evaluation import folds_text
from keras_dr.training.forward import predict
from keras_dr.training.run import Run
from keras_dr.training.train import train


@dataclass(frozen=True)
class CrossValidation:
    """The runs of a cross validation.

    Attributes:
        folder: where it lies.
        figures: the content of cross_validation.json: folds, their mean, deviation and the pooled scores.
    """

    folder: Path
    figures: Mapping[str, Any]

    def __str__(self) -> str:
        """The scores as a table."""
        return folds_text(self.figures)

    def runs(self) -> list[Run]:
        """The run of each fold."""
        return [Run.load(self.folder / f"fold-{number}") for number in range(1, len(self.figures["folds"]) + 1)]


def cross_validate(
    data: PreparedSet | Path | str,
    target: Path | str,
    recipe: Recipe | Path | str | None = None,
    *,
    folds: int = 5,
    save_every: int = 0,
    overwrite: bool = False,
    stage: Stage | None = None,
) -> CrossValidation:
    """Train one run per fold of the train and val photographs, and judge each photograph by the run that never saw it.

    Each fold's epoch and threshold are chosen on the photographs that it judges: figures to choose a recipe by, a
    little too good to report. The test split stays untouched. An interrupted call goes on in the fold where it stood.

    Args:
        data: a Prepared set with train and val splits, or its folder.
        target: the folder to write.
        recipe: what to do in each fold: a recipe, a YAML file, or the name of a shipped recipe.
        folds: the number of folds, 2 or more.
        save_every: as for `train`.
        overwrite: whether an existing cross validation at `target` is replaced; by default it is refused.
        stage: given the name of a fold, returns a context that yields its progress function.

    Returns:
        The cross validation.

    Raises:
        KerasDrError: too few patients for so many folds, a fold without positive or without negative photographs, or
            as for `train`.

    Example:
        >>> dr.cross_validate("prepared/idrid", "folds/idrid", recipe="idrid", folds=5).figures["pooled"]
        {'val_loss': ...}
    """
    data = PreparedSet.load(data)
    target = Path(target)
    recipe = Recipe.load(recipe)
    folders.check_target(target, "cross-validation", overwrite)
    sides = [data.folded(Fold(number, folds)) for number in range(1, folds + 1)]
    _check(sides, folds)
    manifest_sha256 = folders.read_manifest(data.folder, "prepared")["manifest_sha256"]
    plan = {"recipe": recipe.model_dump(mode="json"), "data": manifest_sha256, "folds": folds}
    with folders.growing_folder(target, "cross-validation", plan, overwrite, precious=True) as folder:
        judged = []
        for number, side in enumerate(sides, 1):
            place = folder / f"fold-{number}"
            if not (place / folders.MANIFESTS["run"]).is_file():
                with stage(f"fold {number} of {folds}") if stage else nullcontext(no_progress) as progress:
                    train(side, place, recipe, save_every=save_every, progress=progress)
            grader = Run.load(place)
            held_out = side.split("val")
            judged.append((grader, held_out, predict(grader, grader.model(), held_out)))
        _write_out_of_fold(folder / "out_of_fold.csv", judged)
        summary = summarise([held_out.labels() for _, held_out, _ in judged], [p for *_, p in judged], judged[0][0])
        manifest = {"recipe": plan["recipe"], "data": {"manifest_sha256": manifest_sha256}, **summary}
        folders.write_manifest(folder, "cross-validation", **manifest)
    return CrossValidation(target, folders.read_manifest(target, "cross-validation"))


def summarise(labels: list[NDArray[np.int64]], likely: list[NDArray[np.float64]], run: Run) -> dict[str, Any]:
    """Scores of each fold, their mean and standard deviation (of a sample, n - 1), and of all photographs pooled.

    Args:
        labels: int (n,) a fold.
        likely: float (n, C) a fold.
        run: of any fold, for its task and way of deciding.
    """
    task: Task = run.task

    def scores(truth: NDArray[np.int64], says: NDArray[np.float64]) -> dict[str, float | None]:
        return measure.validation_scores(truth, says, task, run.decision)

    folds = [scores(truth, says) for truth, says in zip(labels, likely, strict=True)]
    whole = {name: [fold[name] for fold in folds] for name in folds[0]}
    known = {name: [v for v in values if v is not None] for name, values in whole.items() if None not in values}
    return {
        "folds": [{"photographs": len(truth), **fold} for truth, fold in zip(labels, folds, strict=True)],
        "mean": {name: float(np.mean(known[name])) if name in known else None for name in whole},
        "deviation": {name: float(np.std(known[name], ddof=1)) if name in known else None for name in whole},
        "pooled": scores(np.concatenate(labels), np.concatenate(likely)),
    }


def _write_out_of_fold(file: Path, judged: list[tuple[Run, PreparedSet, NDArray[np.float64]]]) -> None:
    """predictions.csv of all folds, with the fold of each photograph."""
    rows = [row | {"fold": number} for number, (_, held_out, _) in enumerate(judged, 1) for row in held_out.rows]
    labels = np.concatenate([side.labels() for _, side, _ in judged])
    likely = np.concatenate([p for *_, p in judged])
    grader = judged[0][0]
    of = predictions.Predictions(labels, likely, grader.task, grader.decision)
    thresholds = np.concatenate([np.full(len(p), one.threshold) for one, _, p in judged])
    write_predictions(file, rows, of, thresholds, ["fold"])


def _check(sides: list[PreparedSet], folds: int) -> None:
    """Find out before the first fold what would fail in a later one."""
    for number, side in enumerate(sides, 1):
        positive = np.isin(side.split("val").labels(), side.task.referable)
        if side.task.referable and (positive.all() or not positive.any()):
            found = f"{int(positive.sum())} positive of {len(positive)} in fold {number}"
            raise KerasDrError(f"positive and negative photographs in each of {folds} folds", found, "Choose fewer.")
