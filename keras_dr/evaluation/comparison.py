"""Compares runs on the same photographs: figures, paired differences and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from keras_dr.evaluation.contenders import Contender
from keras_dr.metrics import measure, weighted
from keras_dr.metrics.intervals import RESAMPLES, Difference, bootstrap, delong_difference, mcnemar
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
class Comparison:
    """Evaluated runs, or cross-validations, on the same photographs, and their paired differences.

    Attributes:
        contenders: the runs, or the cross-validations.
        values: for each run, figure -> value; None where the figure does not exist.
        differences: (i, j, figure) -> the figure of run i minus that of run j, i < j.
    """

    contenders: Sequence[Contender]
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


def compare_contenders(contenders: Sequence[Contender], resamples: int = RESAMPLES) -> Comparison:
    """Return the figures of evaluated runs, or of cross-validations, and all paired differences.

    The intervals come from a bootstrap over patients, or from DeLong's test for AUROC; p of accuracy is McNemar's.
    Both tests take photographs as independent. If a patient has several, only the bootstrap is used. Photographs that a
    cross-validation keeps together count as those of one patient.

    Args:
        contenders: two or more on the same photographs.
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


def figures(run: Contender, weights: weighted.Weights) -> dict[str, NDArray[np.float64]]:
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
        referred = predictions.referred(run.thresholds)
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


def _validation_accuracy(run: Contender, phase: str) -> float | None:
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
