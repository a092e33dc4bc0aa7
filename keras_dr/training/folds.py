"""Cross validation: a run a fold, and what each says of the photographs that it did not learn from.

RUN/ cross_validation.json out_of_fold.csv fold-1/ ... fold-N/, each an ordinary run
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Stage
from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure, predictions
from keras_dr.metrics.predictions import write_predictions
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe
from keras_dr.training.forward import predict
from keras_dr.training.run import Run
from keras_dr.training.train import train


def cross_validate(
    prepared: PreparedSet,
    target: Path,
    recipe: Recipe,
    folds: int,
    overwrite: bool = False,
    stage: Stage | None = None,
    save_every: int = 0,
) -> dict[str, Any]:
    """Train a run a fold on the photographs of train and val, and judge each photograph by the run that never saw it.

    Each fold's epoch and threshold are chosen on the photographs that it judges: figures to choose a recipe by, a
    little too good to report. The test split stays untouched. An interrupted call goes on in the fold where it stood.

    Args:
        prepared: set with train and val splits.
        target: folder to write.
        recipe: what to do in each fold.
        folds: how many.
        overwrite: replace an existing `target`.
        stage: label -> context with the progress of a fold.
        save_every: as for `training.train`.

    Returns:
        What cross_validation.json says.

    Raises:
        KerasDrError: too few patients for so many folds, a fold without positive or without negative photographs, or
            as for `training.train`.
    """
    folders.check_target(target, "cross-validation", overwrite)
    sides = [prepared.folded(Fold(number, folds)) for number in range(1, folds + 1)]
    _check(sides, folds)
    data = folders.read_manifest(prepared.folder, "prepared")["manifest_sha256"]
    plan = {"recipe": recipe.model_dump(mode="json"), "data": data, "folds": folds}
    with folders.growing_folder(target, "cross-validation", plan, overwrite, precious=True) as folder:
        judged = []
        for number, side in enumerate(sides, 1):
            place = folder / f"fold-{number}"
            if not (place / folders.MANIFESTS["run"]).is_file():
                if stage:
                    with stage(f"fold {number} of {folds}") as progress:
                        train(side, place, recipe, False, progress, save_every)
                else:
                    train(side, place, recipe, save_every=save_every)
            grader, held_out = Run.load(place), side.split("val")
            judged.append((grader, held_out, predict(grader, grader.model(), held_out)))
        _write_out_of_fold(folder / "out_of_fold.csv", judged)
        summary = summarise([held_out.labels() for _, held_out, _ in judged], [p for *_, p in judged], judged[0][0])
        recipes = {"recipe": plan["recipe"], "data": {"manifest_sha256": data}}
        folders.write_manifest(folder, "cross-validation", **recipes, **summary)
        return folders.read_manifest(folder, "cross-validation")


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
