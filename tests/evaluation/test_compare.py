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
from keras_dr.evaluation.contenders import Contender, load_contenders
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
    "data": {"prepared": "../sets/small", "photographs": {"train": 60}},
    "kept": "finetune",
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


def contender(name: str, predictions: Predictions) -> Contender:
    return Contender(
        name, ABOUT, HISTORY, np.full(len(predictions.labels), 0.5), predictions, {"trainable": 1000, "latency_ms": 2.5}
    )


@pytest.fixture
def compared() -> comparison.Comparison:
    runs = [
        contender("bad", make_predictions(70)),
        contender("good", make_predictions(10, 1)),
        contender("fair", make_predictions(12)),
    ]
    return comparison.compare_contenders(runs, resamples=300)


def test_only_the_bootstrap_is_used_if_patients_have_several_photographs() -> None:
    pairs = [replace(make_predictions(wrong, seed), patients=np.arange(N) // 2) for wrong, seed in ((40, 0), (20, 1))]
    compared = comparison.compare_contenders(
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
    two = comparison.compare_contenders(compared.contenders[:2], resamples=300)
    assert two.best("accuracy") == 1
    marked = {row[0]: row for row in comparison.figures_table(two).rows}
    assert marked["good"][3].endswith("*") and not marked["bad"][3].endswith("*")
    assert marked["good"][1:3] == (0.4, 0.6)


def test_a_run_against_itself_differs_in_nothing() -> None:
    same = comparison.compare_contenders(
        [contender("a", make_predictions(10)), contender("b", make_predictions(10))], resamples=50
    )
    assert {(difference.value, difference.clear) for difference in same.differences.values()} == {(0.0, False)}
    assert same.differences[0, 1, "accuracy"].p == same.differences[0, 1, "auroc_referable"].p == 1.0


def test_classes_without_order_or_referral_are_compared_by_what_exists() -> None:
    task = Task("classes", ("oval", "round", "square"), ())
    predictions = Predictions(np.array([0, 1, 2, 0]), np.eye(3)[[0, 1, 1, 0]], task)
    two = comparison.compare_contenders([contender("a", predictions), contender("b", predictions)], resamples=20)
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
    first, second = load_contenders(folders_of_runs)
    assert (first.predictions.labels == second.predictions.labels).all()
    assert first.predictions.probabilities == pytest.approx(second.predictions.probabilities)


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", make_predictions(10), NAMES)
    second = write_run(tmp_path / "second", make_predictions(10), [*NAMES[:-1], "other"])
    with pytest.raises(KerasDrError, match="two or more"):
        load_contenders([first])
    with pytest.raises(KerasDrError, match="first is named more than once"):
        load_contenders([first, tmp_path / "second" / ".." / "first"])
    with pytest.raises(KerasDrError, match="2 in all belong to only one"):
        load_contenders([first, second])
    metrics_file = second / "evaluation" / "small-test" / "metrics.json"
    metrics_file.write_text(json.dumps({"model_sha256": "m"}))
    with pytest.raises(KerasDrError, match="older version"):
        load_contenders([first, second])
    metrics_file.unlink()
    with pytest.raises(KerasDrError, match=r"evaluate .*second"):
        load_contenders([first, second])


def write_cross_validation(folder: Path, predictions: Predictions, names: list[str]) -> Path:
    """Two folds with the thresholds .4 and .6; two neighbouring photographs stay together."""
    about = ABOUT | {"task": predictions.task.name, "classes": list(predictions.task.classes)}
    about |= {"referable": list(predictions.task.referable), "decision": "threshold"}
    for number in (1, 2):
        (folder / f"fold-{number}").mkdir(parents=True)
        (folder / f"fold-{number}" / "run.json").write_text(json.dumps(about))
    numbers = np.array([int(name[1:]) for name in names])
    folds = numbers % 2 + 1
    thresholds = np.where(folds == 1, 0.4, 0.6)
    rows = [
        {
            "image_id": name,
            "patient_id": name,
            "group_id": number // 2,
            "split": "val",
            "label": predictions.task.classes[label],
            "fold": fold,
            "threshold": repr(float(threshold)),
        }
        for name, number, label, fold, threshold in zip(
            names, numbers, predictions.labels, folds, thresholds, strict=True
        )
    ]
    table = folder / "out_of_fold.csv"
    write_predictions(table, rows, predictions, thresholds, ["threshold", "group_id", "fold"])
    folders.write_manifest(
        folder,
        "cross-validation",
        folds=[{}, {}],
        pooled={"val_quadratic_kappa": 0.5},
        predictions_sha256=folders.sha256_of(table),
    )
    return folder


def test_cross_validations_are_compared_photograph_by_photograph(tmp_path: Path) -> None:
    # i0, i2 are of fold 1, whose threshold is .4, and not referable; i1, i3 of fold 2 with .6, and referable.
    labels = np.array([0, 1, 0, 1])

    def predictions(scores: list[float]) -> Predictions:
        positive = np.array(scores)
        return Predictions(labels, np.stack([1 - positive, positive], axis=1), TASKS["referable"])

    names = ["i0", "i1", "i2", "i3"]
    good = write_cross_validation(tmp_path / "good", predictions([0.3, 0.7, 0.2, 0.8]), names)
    reversed_order = np.arange(4)[::-1]
    bad = write_cross_validation(
        tmp_path / "bad", predictions([0.5, 0.5, 0.2, 0.8]).subset(reversed_order), names[::-1]
    )
    compared = comparison.compare_contenders(load_contenders([good, bad]), resamples=50)
    assert [contender.thresholds.tolist() for contender in compared.contenders] == [[0.4, 0.6, 0.4, 0.6]] * 2
    assert [contender.predictions.patients.tolist() for contender in compared.contenders] == [[0, 0, 1, 1]] * 2
    assert [values["accuracy"] for values in compared.values] == [1.0, 0.5]  # .5 is above .4, but below .6
    assert [values["auroc_referable"] for values in compared.values] == [1.0, 3.5 / 4]
    # Drawing two of the groups {i0, i1}, {i2, i3}: all wrong, half, or none.
    assert compared.differences[0, 1, "accuracy"].interval == pytest.approx((0.0, 1.0))
    assert compared.differences[0, 1, "accuracy"].p is None
    comparison_files.write_comparison(tmp_path / "out", compared)
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert text.startswith("# 2 cross-validations on 4 photographs in 2 groups\n")
    assert "stay together in the folds" in text and "| 6.0 |" in text  # minutes of both folds


def test_a_cross_validation_and_a_run_are_not_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_predictions(10), NAMES)
    folds = write_cross_validation(tmp_path / "folds", make_predictions(10), NAMES)
    with pytest.raises(KerasDrError, match="folds is a cross-validation, but not all"):
        load_contenders([run, folds])
    with pytest.raises(KerasDrError, match="missing does not exist"):
        load_contenders([folds, tmp_path / "missing"])
    with pytest.raises(KerasDrError, match="a cross-validation grades all photographs"):
        load_contenders([folds, folds], "val")
