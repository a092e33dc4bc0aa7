"""Which recipe stands changes of the camera best: cross-validations compared on changed photographs.

    python benchmarks/folds_robustness.py FOLDS [FOLDS] [--graded FOLDER]

FOLDS are folders that `train --folds` wrote from one prepared set. Each photograph is graded by the run that was not
trained on it: as taken, and under each change of `evaluate --robustness`. Kappa and AUROC are those of all photographs
together; "same grade" is the share of photographs whose grade the change leaves as it was. For two cross-validations
the differences on the same photographs follow, the first minus the second; folds that only one of them has are left
out. All 95 % intervals are from a bootstrap over the groups that are never divided between folds. With `--graded` the
probabilities of each run are kept there, so that an interrupted call goes on. Nothing is compared with a peer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray

import keras_dr as dr
from keras_dr.evaluation.robustness import AS_TAKEN, CHANGES, grade_changed
from keras_dr.metrics import intervals, measure, weighted
from keras_dr.metrics.predictions import Predictions, group_codes
from keras_dr.reports.tables import Table, markdown, with_interval

FIGURES = ("quadratic kappa", "AUROC", "same grade")
MEAN = "mean over the changes"
Figures = dict[tuple[str, str], NDArray[np.float64]]  # (change, figure) -> values (R,)


def kept_probabilities(run: dr.Run, data: dr.PreparedSet, kept: Path | None) -> NDArray[np.float64]:
    """Return the probabilities of a run, float64 (changes, n, C), from the folder if they are there."""

    def grade() -> NDArray[np.float64]:
        return np.stack([graded.probabilities for graded in grade_changed(run, data)])

    if kept is None:
        return grade()
    return common.kept_array(kept / f"{run.about['model_sha256'][:16]}.npy", grade)


def out_of_fold(folder: Path, folds: list[str], kept: Path | None) -> tuple[list[str], dict[str, Predictions]]:
    """Return the photographs of the folds, and for each change the predictions of the runs that did not learn them."""
    runs = [dr.Run.load(folder / fold) for fold in folds]
    held_out = [run.own_set().split("val") for run in runs]
    graded = [kept_probabilities(run, data, kept) for run, data in zip(runs, held_out, strict=True)]
    data = replace(held_out[0], rows=tuple(row for fold in held_out for row in fold.rows), fold=None)
    together = np.concatenate(graded, axis=1)
    labels = data.labels()
    groups = group_codes(data.rows)
    changed = {
        change: Predictions(labels, probabilities, runs[0].task, runs[0].rule, groups)
        for change, probabilities in zip((AS_TAKEN, *CHANGES), together, strict=True)
    }
    return [row["image_id"] for row in data.rows], changed


def figures(changed: Mapping[str, Predictions], weights: weighted.Weights) -> Figures:
    """Return the figures of each change, and their mean over the changes, under weights (R, n)."""
    values = {}
    as_taken = changed[AS_TAKEN]
    for change, predictions in changed.items():
        classes = len(predictions.task.classes)
        matrix = weighted.confusion(weights, predictions.labels, predictions.predicted, classes)
        same = (predictions.predicted == as_taken.predicted).astype(float)
        values[change, "quadratic kappa"] = weighted.quadratic_kappa(matrix)
        values[change, "AUROC"] = weighted.ranking(weights, predictions.positive, predictions.scores)[0]
        values[change, "same grade"] = weighted.mean(weights, same)
    for figure in FIGURES:
        values[MEAN, figure] = np.mean([values[change, figure] for change in CHANGES], axis=0)
    return values


def table(values_of: Callable[[weighted.Weights], Figures], photographs: Predictions) -> str:
    """Return the table of figures with their intervals."""
    whole = values_of(np.ones((1, len(photographs.labels))))
    limits = intervals.bootstrap(values_of, photographs.patients)
    cells = []
    for change in (AS_TAKEN, *CHANGES, MEAN):
        keys = [(change, figure) for figure in FIGURES]
        cells.append((change, *(with_interval(measure.single(whole[key]), limits[key]) for key in keys)))
    return markdown(Table(("photographs", *FIGURES), cells))


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__)
    parser.add_argument("folds", type=Path, nargs="+")
    parser.add_argument("--graded", type=Path, help="folder in which the probabilities are kept")
    given = parser.parse_args()
    if len(given.folds) > 2:
        parser.error("Name one or two cross-validations.")
    names = [{fold.parent.name for fold in folder.glob("fold-*/run.json")} for folder in given.folds]
    folds = sorted(set.intersection(*names))
    if not folds:
        parser.error("The folders have no finished fold of the same number.")
    read = [out_of_fold(folder, folds, given.graded) for folder in given.folds]
    if any(ids != read[0][0] for ids, _ in read):
        parser.error("The cross-validations divide the photographs in different ways.")
    changed = [predictions for _, predictions in read]
    photographs = changed[0][AS_TAKEN]
    print(f"{', '.join(folds)}: {len(photographs.labels)} photographs\n")
    for folder, one in zip(given.folds, changed, strict=True):
        print(f"{folder}\n\n{table(partial(figures, one), photographs)}\n", flush=True)
    if len(changed) == 2:
        first, second = changed

        def differences(weights: weighted.Weights) -> Figures:
            minus = figures(second, weights)
            return {key: values - minus[key] for key, values in figures(first, weights).items()}

        print(f"the first minus the second\n\n{table(differences, photographs)}")


if __name__ == "__main__":
    main()
