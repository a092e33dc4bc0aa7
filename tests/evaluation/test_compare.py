import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.evaluation import comparison, comparison_files
from keras_dr.evaluation.comparison import EvaluatedRun
from keras_dr.metrics.intervals import resamples
from keras_dr.metrics.predictions import Predictions, write_predictions

N = 100
LABELS = np.arange(N) % 5
NAMES = [f"i{index:03}" for index in range(N)]


def make_predictions(wrong: int, seed: int = 0) -> Predictions:
    """Predictions with a little noise: the first `wrong` photographs are called no_dr or mild, the others are right."""
    predicted = np.where(np.arange(N) < wrong, (LABELS + 1) % 2, LABELS)
    noise = np.random.default_rng(seed).dirichlet(np.ones(5), N)
    return Predictions(LABELS, 0.8 * np.eye(5)[predicted] + 0.2 * noise, TASKS["icdr"])


ABOUT = {
    "schema_version": 1,
    "task": "icdr",
    "classes": list(TASKS["icdr"].classes),
    "referable": [2, 3, 4],
    "data": {"prepared": "../sets/small"},
    "parameters": 12345,
    "preprocessing": {"size": 32},
    "recipe": {"backbone": "tiny"},
    "phases": {"frozen": {"epoch": 1, "seconds": 60.0}, "finetune": {"epoch": 2, "seconds": 120.0}},
}
HISTORY = [
    {"phase": "frozen", "epoch": "1", "loss": "1.5", "val_loss": "1.4", "val_accuracy": "0.4"},
    {"phase": "finetune", "epoch": "1", "loss": "1.2", "val_loss": "", "val_accuracy": "0.5"},
    {"phase": "finetune", "epoch": "2", "loss": "1.0", "val_loss": "1.1", "val_accuracy": "0.6"},
]


def contender(name: str, predictions: Predictions) -> EvaluatedRun:
    return EvaluatedRun(name, ABOUT, HISTORY, 0.5, predictions, {"trainable": 1000, "latency_ms": 2.5})


@pytest.fixture
def compared() -> comparison.Comparison:
    runs = [
        contender("bad", make_predictions(70)),
        contender("good", make_predictions(10, 1)),
        contender("fair", make_predictions(12)),
    ]
    return comparison.compare_evaluated(runs, resamples=300)


def test_only_the_bootstrap_is_used_if_patients_have_several_photographs() -> None:
    pairs = [replace(make_predictions(wrong, seed), patients=np.arange(N) // 2) for wrong, seed in ((40, 0), (20, 1))]
    compared = comparison.compare_evaluated(
        [contender(name, predictions) for name, predictions in zip("ab", pairs, strict=True)], resamples=300
    )
    drawn = []
    for weights in resamples(pairs[0].patients, 300):
        areas = [comparison.figures(run, weights)["auroc_referable"] for run in compared.contenders]
        drawn.append(areas[0] - areas[1])
    area = compared.differences[0, 1, "auroc_referable"]
    accuracy = compared.differences[0, 1, "accuracy"]
    assert area.interval == pytest.approx(np.quantile(np.concatenate(drawn), (0.025, 0.975)))
    assert area.p is None and accuracy.p is None


def test_differences_are_those_of_the_figures(compared: comparison.Comparison) -> None:
    difference = compared.differences[0, 1, "accuracy"]
    assert difference.value == pytest.approx(compared.values[0]["accuracy"] - compared.values[1]["accuracy"])
    assert difference.clear and difference.p < 1e-6
    assert difference.interval[0] <= difference.value <= difference.interval[1]
    assert compared.difference(1, 0, "accuracy").value == -difference.value
    assert compared.differences[0, 1, "auroc_referable"].p is not None


def test_the_best_is_marked_only_beyond_chance(compared: comparison.Comparison) -> None:
    assert compared.best("accuracy") is None  # good and fair are too close
    two = comparison.compare_evaluated(compared.contenders[:2], resamples=300)
    assert two.best("accuracy") == 1
    marked = {row[0]: row for row in comparison.figures_table(two).rows}
    assert marked["good"][3].endswith("*") and not marked["bad"][3].endswith("*")
    assert marked["good"][1:3] == (0.4, 0.6)


def test_a_run_against_itself_differs_in_nothing() -> None:
    same = comparison.compare_evaluated(
        [contender("a", make_predictions(10)), contender("b", make_predictions(10))], resamples=50
    )
    assert {(difference.value, difference.clear) for difference in same.differences.values()} == {(0.0, False)}
    assert same.differences[0, 1, "accuracy"].p == same.differences[0, 1, "auroc_referable"].p == 1.0


def test_classes_without_order_or_referral_are_compared_by_what_exists() -> None:
    task = Task("classes", ("oval", "round", "square"), ())
    predictions = Predictions(np.array([0, 1, 2, 0]), np.eye(3)[[0, 1, 1, 0]], task)
    two = comparison.compare_evaluated([contender("a", predictions), contender("b", predictions)], resamples=20)
    assert set(two.values[0]) == {"accuracy", "macro_f1", "weighted_f1"}


def test_tables_and_pictures_are_written(compared: comparison.Comparison, tmp_path: Path) -> None:
    comparison_files.write_comparison(tmp_path / "out", compared)
    names = {"figures.csv", "differences.csv", "costs.csv", "comparison.md", "figures.png", "curves.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    with (tmp_path / "out" / "costs.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert (row["parameters"], row["trainable"], row["training min"]) == ("12,345", "1,000", "3.0")
    assert "| bad - good | accuracy |" in (tmp_path / "out" / "comparison.md").read_text()
    assert "clear" in comparison_files.comparison_text(compared)


def test_smoothing_by_hand() -> None:
    # .4 / .4; (.6 * .4 + .4 * 2) / .64; a missing value repeats the value before it
    curve = comparison_files.smoothed(np.array([1.0, 2.0, np.nan]))
    assert curve == pytest.approx([1, (0.24 + 0.8) / 0.64, (0.24 + 0.8) / 0.64])


def write_run(folder: Path, predictions: Predictions, names: list[str]) -> Path:
    evaluated = folder / "evaluation" / "small-test"
    evaluated.mkdir(parents=True)
    rows = [
        {"image_id": name, "patient_id": name, "split": "test", "label": predictions.task.classes[label]}
        for name, label in zip(names, predictions.labels, strict=True)
    ]
    write_predictions(evaluated / "predictions.csv", rows, predictions, 0.5)
    digest = folders.sha256_of(evaluated / "predictions.csv")
    figures = {"model_sha256": "m", "predictions_sha256": digest, "operating_point": {"threshold": 0.5}}
    (evaluated / "metrics.json").write_text(json.dumps(figures))
    (folder / "run.json").write_text(json.dumps(ABOUT | {"model_sha256": "m"}))
    return folder


def test_photographs_are_brought_into_the_same_order(tmp_path: Path) -> None:
    predictions = make_predictions(10)
    folders_of_runs = [
        write_run(tmp_path / "first", predictions, NAMES),
        write_run(tmp_path / "second", predictions.subset(np.arange(N)[::-1]), NAMES[::-1]),
    ]
    first, second = comparison.load_evaluated_runs(folders_of_runs)
    assert (first.predictions.labels == second.predictions.labels).all()
    assert first.predictions.probabilities == pytest.approx(second.predictions.probabilities)


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", make_predictions(10), NAMES)
    second = write_run(tmp_path / "second", make_predictions(10), [*NAMES[:-1], "other"])
    with pytest.raises(KerasDrError, match="two or more"):
        comparison.load_evaluated_runs([first])
    with pytest.raises(KerasDrError, match="2 in all belong to only one"):
        comparison.load_evaluated_runs([first, second])
    metrics_file = second / "evaluation" / "small-test" / "metrics.json"
    metrics_file.write_text(json.dumps({"model_sha256": "m"}))
    with pytest.raises(KerasDrError, match="older version"):
        comparison.load_evaluated_runs([first, second])
    metrics_file.unlink()
    with pytest.raises(KerasDrError, match=r"evaluate .*second"):
        comparison.load_evaluated_runs([first, second])
