"""Cross-validation: one run per fold, and the predictions of each for the photographs that it was not trained on.

RUN/ cross_validation.json out_of_fold.csv fold-1/ ... fold-N/, each an ordinary run
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import rule_of
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.core.progress import Stage, no_progress
from keras_dr.metrics import intervals, measure, weighted
from keras_dr.metrics.predictions import Predictions, group_codes, write_predictions
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe
from keras_dr.reports.evaluation_tables import folds_text
from keras_dr.training.distillation import teachers_of_fold
from keras_dr.training.forward import predict
from keras_dr.training.run import Run
from keras_dr.training.train import train

# Scores of training -> figures of `measure.overall`.
_POOLED = {"val_quadratic_kappa": "quadratic_kappa", "val_auroc": "auroc_referable"}


@dataclass(frozen=True)
class CrossValidation:
    """The runs of a cross-validation.

    Attributes:
        folder: the folder of the cross-validation.
        figures: the content of cross_validation.json: the scores of the folds, their mean and deviation, the pooled
            scores, and 95 % intervals of these.
    """

    folder: Path
    figures: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the scores as a table."""
        return folds_text(self.figures)

    def runs(self) -> list[Run]:
        """Return the run of each fold."""
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
    """Train one run per fold on the photographs of train and val; grade each photograph by the run not trained on it.

    With `keep: best` the epoch of each fold is chosen on the photographs that it grades; its figures serve to choose a
    recipe, but are slightly too good to report. With `keep: last` no epoch is chosen, and kappa and AUROC are fair. The
    threshold of each fold is always chosen on the photographs that it grades. The test split is not used. An
    interrupted call continues in the fold where it stopped.

    Args:
        data: a Prepared set with train and val splits, or its folder.
        target: the folder to write.
        recipe: for the training of each fold: a recipe, a YAML file, or the name of a shipped recipe; by default
            `Recipe()`.
        folds: the number of folds, at least 2.
        save_every: as for `train`.
        overwrite: whether an existing cross-validation at `target` is replaced; by default it is refused.
        stage: given the name of a fold, returns a context that yields its progress function.

    Returns:
        The cross-validation.

    Raises:
        KerasDrError: there are too few patients for so many folds, a fold has no positive or no negative photographs,
            or as for `train`.

    Example:
        >>> dr.cross_validate("prepared/idrid", "folds/idrid", recipe="idrid", folds=5).figures["pooled"]
        {'val_loss': ...}
    """
    data = PreparedSet.load(data)
    target = Path(target)
    recipe = Recipe.load(recipe)
    folders.check_target(target, "cross-validation", overwrite)
    check_holds_no_input(target, [data.folder, *recipe.inputs()])
    folded_sets = [data.folded(Fold(number, folds)) for number in range(1, folds + 1)]
    _check(folded_sets, folds)
    for folded in folded_sets:
        teachers_of_fold(recipe, folded)
    manifest_sha256 = folders.read_manifest(data.folder, "prepared")["manifest_sha256"]
    plan = {"recipe": recipe.plan(), "data": manifest_sha256, "folds": folds}
    with folders.growing_folder(target, "cross-validation", plan, overwrite, precious=True) as folder:
        graded_folds = []
        for number, folded in enumerate(folded_sets, start=1):
            fold_folder = folder / f"fold-{number}"
            if not (fold_folder / folders.MANIFESTS["run"]).is_file():
                with stage(f"fold {number} of {folds}") if stage else nullcontext(no_progress) as progress:
                    train(
                        folded, fold_folder, teachers_of_fold(recipe, folded), save_every=save_every, progress=progress
                    )
            run = Run.load(fold_folder)
            held_out = folded.split("val")
            graded_folds.append(GradedFold(run, held_out, predict(run, run.model(), held_out)))
        _write_out_of_fold(folder / "out_of_fold.csv", graded_folds)
        predictions_sha256 = folders.sha256_of(folder / "out_of_fold.csv")
        summary = {**summarise(graded_folds), "intervals": pooled_intervals(graded_folds)}
        folders.write_manifest(
            folder,
            "cross-validation",
            recipe=recipe.model_dump(mode="json"),
            data={"manifest_sha256": manifest_sha256},
            predictions_sha256=predictions_sha256,
            **summary,
        )
    return CrossValidation(target, folders.read_manifest(target, "cross-validation"))


@dataclass(frozen=True, eq=False)
class GradedFold:
    """A fold after training.

    Attributes:
        run: the trained run.
        held_out: its n validation photographs.
        probabilities: float64 (n, C), the run's probabilities for these photographs.
    """

    run: Run
    held_out: PreparedSet
    probabilities: NDArray[np.float64]


def summarise(graded_folds: Sequence[GradedFold]) -> dict[str, Any]:
    """Return the scores of each fold, their mean and sample standard deviation, and the pooled scores."""

    def scores(folds: Sequence[GradedFold]) -> dict[str, float | None]:
        together = pooled(folds)
        return measure.validation_scores(together.labels, together.probabilities, together.task, together.decision)

    folds = [scores([fold]) for fold in graded_folds]
    mean: dict[str, float | None] = {}
    deviation: dict[str, float | None] = {}
    for name in folds[0]:
        values = [fold[name] for fold in folds]
        numbers = [value for value in values if value is not None]
        complete = len(numbers) == len(values)
        mean[name] = float(np.mean(numbers)) if complete else None
        deviation[name] = float(np.std(numbers, ddof=1)) if complete else None
    counts = [{"photographs": len(fold.probabilities)} for fold in graded_folds]
    return {
        "folds": [count | fold for count, fold in zip(counts, folds, strict=True)],
        "mean": mean,
        "deviation": deviation,
        "pooled": scores(graded_folds),
    }


def pooled(graded_folds: Sequence[GradedFold], thresholds: float | NDArray[np.float64] = 0.5) -> Predictions:
    """Return the predictions of all photographs of these folds, in the order of the folds.

    Args:
        graded_folds: one fold or more.
        thresholds: float, or float64 (n,), at which one of two classes is chosen; by default .5, because each fold has
            a threshold of its own.
    """
    run = graded_folds[0].run
    labels = np.concatenate([fold.held_out.labels() for fold in graded_folds])
    probabilities = np.concatenate([fold.probabilities for fold in graded_folds])
    return Predictions(labels, probabilities, run.task, rule_of(run.decision, run.task.referable, thresholds))


def pooled_intervals(graded_folds: Sequence[GradedFold]) -> dict[str, intervals.Interval]:
    """Return 95 % intervals of the pooled scores except the loss, from a bootstrap over groups of photographs.

    A group is what is never divided between folds: the photographs of a patient with their copies, in IDRiD a block of
    ten numbers. Its photographs resemble each other and are drawn together. The intervals do not contain differences
    between seeds or between other divisions into folds.
    """
    rows = [row for fold in graded_folds for row in fold.held_out.rows]
    predictions = pooled(graded_folds)

    def scores(weights: weighted.Weights) -> dict[str, NDArray[np.float64]]:
        figures = measure.overall(predictions, weights)
        accuracy = {"val_accuracy": weighted.mean(weights, predictions.right.astype(float))}
        return accuracy | {name: figures[key] for name, key in _POOLED.items() if key in figures}

    return intervals.bootstrap(scores, group_codes(rows))


def _write_out_of_fold(file: Path, graded_folds: Sequence[GradedFold]) -> None:
    """Write the predictions of all folds, as `read_predictions` reads them, with the fold of each photograph."""
    rows = []
    for number, fold in enumerate(graded_folds, start=1):
        threshold = repr(fold.run.threshold)
        rows += [row | {"fold": number, "threshold": threshold} for row in fold.held_out.rows]
    thresholds = np.concatenate([np.full(len(fold.probabilities), fold.run.threshold) for fold in graded_folds])
    write_predictions(file, rows, pooled(graded_folds, thresholds), thresholds, ["threshold", "group_id", "fold"])


def _check(folded_sets: list[PreparedSet], folds: int) -> None:
    """Refuse folds of which one could not be trained, before the first one is trained."""
    for number, folded in enumerate(folded_sets, start=1):
        positive = np.isin(folded.split("val").labels(), folded.task.referable)
        if folded.task.referable and (positive.all() or not positive.any()):
            raise KerasDrError(
                f"Each of the {folds} folds needs positive and negative photographs, but fold {number} has "
                f"{int(positive.sum())} positive of {len(positive)}.",
                "Choose fewer --folds.",
            )
