"""Compares runs on the same photographs: figures, paired differences, costs and training curves."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import rule_of
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import task_of
from keras_dr.metrics import measure, weighted
from keras_dr.metrics.intervals import RESAMPLES, Difference, bootstrap, delong_difference, mcnemar
from keras_dr.metrics.predictions import Predictions, read_predictions
from keras_dr.reports.tables import Table, show, show_interval

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "quadratic_kappa": "quadratic kappa",
    "auroc_referable": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


@dataclass(frozen=True)
class EvaluatedRun:
    """An evaluated run.

    Attributes:
        name: its name in tables.
        about: the content of run.json.
        history: the rows of history.csv.
        threshold: of the operating point, see `Predictions.referred`.
        predictions: its predictions, in the same order of photographs for all runs that are compared.
        cost: the result of `costs.measure_cost` for the run; empty in evaluations of an older version.
    """

    name: str
    about: Mapping[str, Any]
    history: Sequence[Mapping[str, str]]
    threshold: float
    predictions: Predictions
    cost: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Evaluated runs on the same photographs, and their paired differences.

    Attributes:
        contenders: the runs.
        values: for each run, figure -> value; None where the figure does not exist.
        differences: (i, j, figure) -> the figure of run i minus that of run j, i < j.
    """

    contenders: Sequence[EvaluatedRun]
    values: Sequence[Mapping[str, float | None]]
    differences: Mapping[tuple[int, int, str], Difference]

    def best_by_validation(self) -> int:
        """Return the index of the run with the best validation score; of equal runs, the first.

        The score is the monitor of the first run.
        """
        monitor = self.contenders[0].about["recipe"].get("monitor", "val_quadratic_kappa")

        def score(index: int) -> float:
            return measure.goodness(self.contenders[index].about.get("validation", {}).get(monitor), monitor)

        return max(range(len(self.contenders)), key=score)

    def best(self, figure: str) -> int | None:
        """Return the index of the run that is better than every other beyond chance, or None if there is none.

        Beyond chance means that the intervals of its differences exclude zero.
        """
        for index in range(len(self.contenders)):
            others = [other for other in range(len(self.contenders)) if other != index]
            differences = [self.difference(index, other, figure) for other in others]
            if differences and all(map(_is_clearly_better, differences)):
                return index
        return None

    def difference(self, i: int, j: int, figure: str) -> Difference | None:
        """Return the figure of run i minus that of run j, or None where it does not exist."""
        if i < j:
            return self.differences.get((i, j, figure))
        reverse = self.differences.get((j, i, figure))
        if reverse is None:
            return None
        interval = (-reverse.interval[1], -reverse.interval[0]) if reverse.interval else None
        return Difference(-reverse.value, interval, reverse.p)


def _is_clearly_better(difference: Difference | None) -> bool:
    return difference is not None and difference.clear and difference.value > 0


def load_evaluated_runs(run_folders: Sequence[Path], split: str = "test") -> list[EvaluatedRun]:
    """Read evaluated runs, with their predictions in the same order of photographs.

    Args:
        run_folders: the folders of two or more runs.
        split: the split of its own Prepared set on which each run was evaluated.

    Raises:
        KerasDrError: there are fewer than two runs, a run was not evaluated, or its photographs, labels or classes are
            not those of the first run.
    """
    if len(run_folders) < 2:
        message = f"A comparison needs two or more runs, but the number of runs given is {len(run_folders)}."
        raise KerasDrError(message, "Name another run.")
    names = [folder.resolve().name for folder in run_folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in run_folders]
    runs: list[EvaluatedRun] = []
    order: list[str] = []
    for folder, name in zip(run_folders, names, strict=True):
        try:
            ids, run = _read(folder, name, split)
        except (LookupError, TypeError, AttributeError) as error:
            message = f"The run {folder} is not as train and evaluate wrote it: {type(error).__name__}: {error}."
            raise KerasDrError(message, _SAME) from error
        order = order or ids
        if set(ids) != set(order) or len(ids) != len(order):
            message = (
                f"The photographs of {name} are not the {len(order)} photographs of {names[0]}: "
                f"{len(set(ids) ^ set(order))} in all belong to only one of the two runs."
            )
            raise KerasDrError(message, _SAME)
        positions = {image_id: position for position, image_id in enumerate(ids)}
        predictions = run.predictions.subset(np.array([positions[image_id] for image_id in order]))
        first = runs[0].predictions if runs else predictions
        if predictions.task.classes != first.task.classes or (predictions.labels != first.labels).any():
            raise KerasDrError(f"The labels or classes of {name} differ from those of {names[0]}.", _SAME)
        runs.append(replace(run, predictions=predictions))
    return runs


_SAME = "Prepare the same photographs with the same splits and labels, train and evaluate again."


def _read(folder: Path, name: str, split: str) -> tuple[list[str], EvaluatedRun]:
    """Read an evaluated run, with the image ids of its predictions in their order."""
    about = folders.read_manifest(folder, "run")
    evaluated = folder / "evaluation" / f"{Path(about['data']['prepared']).name}-{split}"
    remedy = f"Run: keras-dr evaluate {folder} --split {split} --overwrite"
    file = evaluated / "metrics.json"
    figures = folders.read_json(file) if file.is_file() else {}
    if figures.get("model_sha256") != about["model_sha256"] or "predictions_sha256" not in figures:
        fault = "is of an older version or of another model" if figures else "does not exist"
        raise KerasDrError(f"The evaluation of the run in {evaluated} {fault}.", remedy)
    threshold = figures["operating_point"]["threshold"]
    ids, predictions = read_predictions(
        evaluated / "predictions.csv",
        figures["predictions_sha256"],
        task_of(about),
        rule_of(about.get("decision", "argmax"), about["referable"], threshold),
    )
    cost_file = evaluated / "cost.json"  # evaluations of an older version have none
    cost = folders.read_json(cost_file) if cost_file.is_file() else {}
    return ids, EvaluatedRun(name, about, _history(folder / "history.csv"), threshold, predictions, cost)


def _history(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def compare_evaluated(contenders: Sequence[EvaluatedRun], resamples: int = RESAMPLES) -> Comparison:
    """Return the figures of evaluated runs and all paired differences.

    The intervals come from a bootstrap over patients, or from DeLong's test for AUROC; p of accuracy is McNemar's.
    Both tests take photographs as independent. If a patient has several, only the bootstrap is used.

    Args:
        contenders: two or more runs on the same photographs.
        resamples: the number of bootstrap resamples; every run is measured on the same ones.
    """
    once = np.ones((1, len(contenders[0].predictions.labels)))
    values = []
    for run in contenders:
        values.append({key: measure.single(value) for key, value in figures(run, once).items()})
    pairs = list(combinations(range(len(contenders)), 2))
    patients = contenders[0].predictions.patients
    independent = int(patients.max()) + 1 == len(patients)

    def all_differences(weights: weighted.Weights) -> dict[tuple[int, int, str], NDArray[np.float64]]:
        run_figures = [figures(run, weights) for run in contenders]
        return {(i, j, key): run_figures[i][key] - run_figures[j][key] for i, j in pairs for key in run_figures[i]}

    intervals = bootstrap(all_differences, patients, resamples)
    differences = {}
    for (i, j, key), interval in intervals.items():
        first_value = values[i][key]
        second_value = values[j][key]
        if first_value is None or second_value is None:
            continue
        first = contenders[i].predictions
        second = contenders[j].predictions
        difference = Difference(first_value - second_value, interval)
        if independent and key == "accuracy":
            difference = replace(difference, p=mcnemar(first.right, second.right))
        if independent and key == "auroc_referable":
            difference = delong_difference(first.positive, np.stack([first.scores, second.scores])) or difference
        differences[i, j, key] = difference
    return Comparison(contenders, values, differences)


def figures(run: EvaluatedRun, weights: weighted.Weights) -> dict[str, NDArray[np.float64]]:
    """Return the figures of a run under weights, float (R, n): name -> float (R,)."""
    predictions = run.predictions
    ordered = predictions.task.ordered
    matrix = weighted.confusion(weights, predictions.labels, predictions.predicted, len(predictions.task.classes))
    averages = weighted.averages(matrix)
    run_figures = {
        "accuracy": weighted.mean(weights, predictions.right.astype(float)),
        "macro_f1": averages["macro"]["f1"],
        "weighted_f1": averages["weighted"]["f1"],
    }
    if ordered:
        run_figures["quadratic_kappa"] = weighted.quadratic_kappa(matrix[:, :ordered, :ordered])
    if predictions.task.referable:
        referred = predictions.referred(run.threshold)
        run_figures["auroc_referable"] = weighted.ranking(weights, predictions.positive, predictions.scores)[0]
        run_figures["sensitivity"] = weighted.share(weights, referred, predictions.positive)
        run_figures["specificity"] = weighted.share(weights, ~referred, ~predictions.positive)
    return run_figures


def figures_table(comparison: Comparison) -> Table:
    """Return a table with one row per run: validation accuracy of both phases, and the figures.

    An asterisk marks the run that is the best beyond chance, if there is one.
    """
    keys = [key for key in TITLES if key in comparison.values[0]]
    best = {key: comparison.best(key) for key in keys}
    rows = []
    for index, (run, values) in enumerate(zip(comparison.contenders, comparison.values, strict=True)):
        accuracies = [_validation_accuracy(run, phase) for phase in ("frozen", "finetune")]
        marked_figures = [show(values[key]) + ("*" if best[key] == index else "") for key in keys]
        rows.append((run.name, *accuracies, *marked_figures))
    return Table(("run", "frozen val. acc.", "fine-tuned val. acc.", *(TITLES[key] for key in keys)), rows)


def _validation_accuracy(run: EvaluatedRun, phase: str) -> float | None:
    """Return the validation accuracy in the phase's best epoch."""
    epoch = str(run.about["phases"].get(phase, {}).get("epoch"))
    rows = [row for row in run.history if row["phase"] == phase and row["epoch"] == epoch]
    return float(rows[0]["val_accuracy"]) if rows else None


def differences_table(comparison: Comparison) -> Table:
    """Return a table with one row per pair of runs and figure.

    If each patient has one photograph, p is given for accuracy by McNemar's test and for AUROC by DeLong's.
    """
    rows = []
    for (i, j, key), difference in comparison.differences.items():
        rows.append(
            (
                f"{comparison.contenders[i].name} - {comparison.contenders[j].name}",
                TITLES[key],
                difference.value,
                show_interval(difference.interval),
                difference.p,
                "clear" if difference.clear else "",
            )
        )
    return Table(("difference", "figure", "value", "95 % interval", "p", ""), rows)


def cost_table(comparison: Comparison) -> Table:
    """Return a table with one row per run: network, parameters, training time and latency."""
    rows = []
    for run in comparison.contenders:
        seconds = sum(phase["seconds"] for phase in run.about["phases"].values())
        cost = run.cost
        rows.append(
            (
                run.name,
                run.about["recipe"]["backbone"],
                run.about["preprocessing"]["size"],
                f"{run.about['parameters']:,}",
                f"{cost['trainable']:,}" if cost else None,
                f"{seconds / 60:.1f}",
                f"{cost['latency_ms']:.1f}" if cost else None,
            )
        )
    columns = ("run", "backbone", "pixels", "parameters", "trainable", "training min", "latency ms")
    return Table(columns, rows)
