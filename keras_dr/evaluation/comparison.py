"""Runs side by side on the same photographs: figures, paired differences, costs and training curves."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
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
        name: by which tables call it.
        about: run.json.
        history: rows of history.csv.
        threshold: refer where p_referable >= threshold.
        of: its predictions, in the same order of photographs for all that are compared.
        cost: what `costs.measure_cost` found when the run was evaluated; empty in evaluations of an older version.
    """

    name: str
    about: Mapping[str, Any]
    history: Sequence[Mapping[str, str]]
    threshold: float
    of: Predictions
    cost: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Evaluated runs on the same photographs, and their paired differences.

    Attributes:
        contenders: the runs.
        values: for each run, figure -> value; None where it does not exist.
        differences: (i, j, figure) -> run i minus run j, i < j.
    """

    contenders: Sequence[EvaluatedRun]
    values: Sequence[Mapping[str, float | None]]
    differences: Mapping[tuple[int, int, str], Difference]

    def best_by_validation(self) -> int:
        """The run whose validation score, by the first run's monitor, is the best; the first among equals."""
        monitor = self.contenders[0].about["recipe"].get("monitor", "val_quadratic_kappa")

        def score(index: int) -> float:
            return measure.goodness(self.contenders[index].about.get("validation", {}).get(monitor), monitor)

        return max(range(len(self.contenders)), key=score)

    def best(self, figure: str) -> int | None:
        """The run that is better than each other one beyond chance: their differences' intervals exclude zero."""
        for index in range(len(self.contenders)):
            found = [self.difference(index, other, figure) for other in range(len(self.contenders)) if other != index]
            if found and all(one is not None and one.clear and one.value > 0 for one in found):
                return index
        return None

    def difference(self, i: int, j: int, figure: str) -> Difference | None:
        """Run i minus run j."""
        if i < j:
            return self.differences.get((i, j, figure))
        found = self.differences.get((j, i, figure))
        if found is None:
            return None
        turned = (-found.interval[1], -found.interval[0]) if found.interval else None
        return Difference(-found.value, turned, found.p)


def load_evaluated_runs(run_folders: Sequence[Path], split: str = "test") -> list[EvaluatedRun]:
    """Read evaluated runs, their predictions in one order of photographs.

    Args:
        run_folders: two or more.
        split: on which each was evaluated, of its own prepared set.

    Raises:
        KerasDrError: fewer than two, one not evaluated, or other photographs, labels or classes than the first.
    """
    if len(run_folders) < 2:
        raise KerasDrError("two or more runs to compare", str(len(run_folders)), "Name another.")
    names = [folder.resolve().name for folder in run_folders]
    names = names if len(set(names)) == len(names) else [str(folder) for folder in run_folders]
    found: list[EvaluatedRun] = []
    order: list[str] = []
    for folder, name in zip(run_folders, names, strict=True):
        try:
            about, (ids, of), threshold, cost = _read(folder, split)
        except (LookupError, TypeError, AttributeError) as error:
            expected = f"{folder} as train and evaluate wrote it"
            raise KerasDrError(expected, f"{type(error).__name__}: {error}", _SAME) from error
        order = order or ids
        if set(ids) != set(order) or len(ids) != len(order):
            differing = f"{len(set(ids) ^ set(order))} other ones in {name}"
            raise KerasDrError(f"the {len(order)} photographs of {names[0]} in each run", differing, _SAME)
        place = {image_id: row for row, image_id in enumerate(ids)}
        of = of.subset(np.array([place[image_id] for image_id in order]))
        if found and (of.task.classes != found[0].of.task.classes or (of.labels != found[0].of.labels).any()):
            raise KerasDrError(f"the labels of {names[0]} in each run", f"others in {name}", _SAME)
        history = _history(folder / "history.csv")
        found.append(EvaluatedRun(name, about, history, threshold, of, cost))
    return found


_SAME = "Prepare the same photographs with the same splits and labels, train and evaluate again."


def _read(folder: Path, split: str) -> tuple[dict[str, Any], tuple[list[str], Predictions], float, dict[str, Any]]:
    about = folders.read_manifest(folder, "run")
    evaluated = folder / "evaluation" / f"{Path(about['data']['prepared']).name}-{split}"
    remedy = f"Run: python cli.py evaluate {folder} --split {split} --overwrite"
    file = evaluated / "metrics.json"
    figures = folders.read_json(file) if file.is_file() else {}
    if figures.get("model_sha256") != about["model_sha256"] or "predictions_sha256" not in figures:
        found = "one of an older version or another model" if figures else "none"
        raise KerasDrError(f"an evaluation of the run in {evaluated}", found, remedy)
    decision = about.get("decision", "argmax")
    read = read_predictions(evaluated / "predictions.csv", figures["predictions_sha256"], task_of(about), decision)
    cost = evaluated / "cost.json"  # evaluations of an older version have none
    return about, read, figures["operating_point"]["threshold"], folders.read_json(cost) if cost.is_file() else {}


def _history(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def compare_evaluated(contenders: Sequence[EvaluatedRun], resamples: int = RESAMPLES) -> Comparison:
    """Figures and all paired differences: bootstrap over patients, DeLong for AUROC, McNemar's p for accuracy.

    Both tests count photographs as independent: where a patient has several, the bootstrap stands alone.

    Args:
        contenders: two or more, of the same photographs.
        resamples: of the bootstrap; each run is measured on the same ones.
    """
    once = np.ones((1, len(contenders[0].of.labels)))
    values = [{key: measure.single(v) for key, v in figures(one, once).items()} for one in contenders]
    pairs = list(combinations(range(len(contenders)), 2))
    patients = contenders[0].of.patients
    independent = int(patients.max()) + 1 == len(patients)

    def all_differences(weights: weighted.Weights) -> dict[tuple[int, int, str], NDArray[np.float64]]:
        found = [figures(one, weights) for one in contenders]
        return {(i, j, key): found[i][key] - found[j][key] for i, j in pairs for key in found[i]}

    intervals = bootstrap(all_differences, patients, resamples)
    differences = {}
    for (i, j, key), interval in intervals.items():
        one, other = values[i][key], values[j][key]
        if one is None or other is None:
            continue
        first, second = contenders[i].of, contenders[j].of
        found = Difference(one - other, interval)
        if independent and key == "accuracy":
            found = replace(found, p=mcnemar(first.right, second.right))
        if independent and key == "auroc_referable":
            found = delong_difference(first.positive, np.stack([first.scores, second.scores])) or found
        differences[i, j, key] = found
    return Comparison(contenders, values, differences)


def figures(one: EvaluatedRun, weights: weighted.Weights) -> dict[str, NDArray[np.float64]]:
    """Figures of a run under weights float (R, n): name -> (R,)."""
    of, ordered = one.of, one.of.task.ordered
    matrix = weighted.confusion(weights, of.labels, of.predicted, len(of.task.classes))
    averages = weighted.averages(matrix)
    found = {
        "accuracy": weighted.mean(weights, of.right.astype(float)),
        "macro_f1": averages["macro"]["f1"],
        "weighted_f1": averages["weighted"]["f1"],
    }
    if ordered:
        found["quadratic_kappa"] = weighted.quadratic_kappa(matrix[:, :ordered, :ordered])
    if of.task.referable:
        referred = of.scores >= one.threshold
        found["auroc_referable"] = weighted.ranking(weights, of.positive, of.scores)[0]
        found["sensitivity"] = weighted.share(weights, referred, of.positive)
        found["specificity"] = weighted.share(weights, ~referred, ~of.positive)
    return found


def figures_table(found: Comparison) -> Table:
    """A row a run: validation accuracy of both phases, and the figures; * marks the best where it is beyond chance."""
    keys = [key for key in TITLES if key in found.values[0]]
    best = {key: found.best(key) for key in keys}
    rows = []
    for index, (one, values) in enumerate(zip(found.contenders, found.values, strict=True)):
        phases = [_validation_accuracy(one, phase) for phase in ("frozen", "finetune")]
        marks = [show(values[key]) + ("*" if best[key] == index else "") for key in keys]
        rows.append((one.name, *phases, *marks))
    return Table(("run", "frozen val. acc.", "fine-tuned val. acc.", *(TITLES[key] for key in keys)), rows)


def _validation_accuracy(one: EvaluatedRun, phase: str) -> float | None:
    """Of the phase's best epoch."""
    epoch = str(one.about["phases"].get(phase, {}).get("epoch"))
    rows = [row for row in one.history if row["phase"] == phase and row["epoch"] == epoch]
    return float(rows[0]["val_accuracy"]) if rows else None


def differences_table(found: Comparison) -> Table:
    """A row a pair and figure; p is McNemar's for accuracy, DeLong's for AUROC, of one photograph a patient."""
    rows = [
        (
            f"{found.contenders[i].name} - {found.contenders[j].name}",
            TITLES[key],
            one.value,
            show_interval(one.interval),
            one.p,
            "clear" if one.clear else "",
        )
        for (i, j, key), one in found.differences.items()
    ]
    return Table(("difference", "figure", "value", "95 % interval", "p", ""), rows)


def cost_table(found: Comparison) -> Table:
    """A row a run: network, parameters, training time and latency."""
    rows = []
    for one in found.contenders:
        seconds = sum(phase["seconds"] for phase in one.about["phases"].values())
        cost = one.cost
        rows.append(
            (
                one.name,
                one.about["recipe"]["backbone"],
                one.about["preprocessing"]["size"],
                f"{one.about['parameters']:,}",
                f"{cost['trainable']:,}" if cost else None,
                f"{seconds / 60:.1f}",
                f"{cost['latency_ms']:.1f}" if cost else None,
            )
        )
    columns = ("run", "backbone", "pixels", "parameters", "trainable", "training min", "latency ms")
    return Table(columns, rows)
