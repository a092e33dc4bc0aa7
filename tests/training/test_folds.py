import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.evaluation.compare import compare
from keras_dr.evaluation.evaluate import evaluate_photographs
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold, fold_numbers
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.reports.evaluation_tables import folds_text
from keras_dr.training.folds import cross_validate
from keras_dr.training.run import Run

FOLDS = 2


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    phase = {"epochs": 1, "learning_rate": 1e-3}
    return recipe_from_dict({"backbone": "tiny", "weights": "none", "frozen": phase, "finetune": phase})


@pytest.fixture(scope="module")
def folder(prepared_folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation that was interrupted in its second fold and then continued."""
    target = tmp_path_factory.mktemp("folds") / "run"
    data = PreparedSet.load(prepared_folder)
    labels: list[str] = []

    def stage(label: str) -> progress:
        labels.append(label)
        return progress(stop=len(labels) == 2)

    with pytest.raises(KeyboardInterrupt):
        cross_validate(data, target, recipe, folds=FOLDS, stage=stage)
    assert not target.exists()
    cross_validate(data, target, recipe, folds=FOLDS, stage=stage)
    assert labels == ["fold 1 of 2", "fold 2 of 2", "fold 2 of 2"]
    return target


class progress:
    """A progress that interrupts after a few steps."""

    def __init__(self, stop: bool) -> None:
        self.stop = stop
        self.calls = 0

    def __enter__(self) -> "progress":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, *arguments: object) -> None:
        self.calls += 1
        if self.stop and self.calls == 4:
            raise KeyboardInterrupt


def test_groups_stay_whole_and_labels_are_spread() -> None:
    labels = [0, 0, 1, 1] * 10
    groups = [index // 2 for index in range(40)]
    numbers = fold_numbers(labels, groups, 5)
    assert all(len({numbers[i] for i in range(40) if groups[i] == group}) == 1 for group in set(groups))
    assert Counter(zip(labels, numbers, strict=True)) == {(label, k): 4 for label in (0, 1) for k in range(1, 6)}


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(KerasDrError, match="fewer --folds"):
        fold_numbers([0, 1, 0, 1], ["a", "a", "b", "b"], 3)


def test_a_fold_leaves_the_test_split_alone(prepared_folder: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    folded_sets = [data.folded(Fold(number, 3)) for number in (1, 2, 3)]
    assert all(folded.split("test").rows == data.split("test").rows for folded in folded_sets)
    validated = [row["image_id"] for folded in folded_sets for row in folded.split("val").rows]
    assert sorted(validated) == sorted(row["image_id"] for row in data.rows if row["split"] != "test")
    for folded in folded_sets:
        val_groups = {row["group_id"] for row in folded.split("val").rows}
        assert not val_groups & {row["group_id"] for row in folded.split("train").rows}


def test_every_photograph_is_graded_once_by_the_run_that_was_not_trained_on_it(folder: Path) -> None:
    with (folder / "out_of_fold.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for number in range(1, FOLDS + 1):
        run = Run.load(folder / f"fold-{number}")
        val = {row["image_id"] for row in run.prepared_set().split("val").rows}
        assert {row["image_id"] for row in rows if row["fold"] == str(number)} == val
    assert len(rows) == len({row["image_id"] for row in rows})


def test_scores_are_those_of_the_predictions_in_the_file(folder: Path) -> None:
    about = json.loads((folder / "cross_validation.json").read_bytes())
    with (folder / "out_of_fold.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    right = [row["label"] == row["prediction"] for row in rows]
    assert about["pooled"]["val_accuracy"] == pytest.approx(np.mean(right))
    accuracies = [
        np.mean([row_right for row_right, row in zip(right, rows, strict=True) if row["fold"] == str(number)])
        for number in range(1, FOLDS + 1)
    ]
    deviation = abs(accuracies[0] - accuracies[1]) / 2**0.5  # of a sample of two
    assert about["mean"]["val_accuracy"] == pytest.approx(np.mean(accuracies))
    assert about["deviation"]["val_accuracy"] == pytest.approx(deviation)
    assert "deviation" in folds_text(about)


def test_pooled_intervals_draw_groups_together(folder: Path) -> None:
    about = json.loads((folder / "cross_validation.json").read_bytes())
    low, high = about["intervals"]["val_accuracy"]
    assert low <= about["pooled"]["val_accuracy"] <= high
    with (folder / "out_of_fold.csv").open() as stream:
        right = {row["image_id"]: row["label"] == row["prediction"] for row in csv.DictReader(stream)}
    groups: dict[str, list[bool]] = {}
    for row in Run.load(folder / "fold-1").prepared_set().rows:
        if row["image_id"] in right:
            groups.setdefault(row["group_id"], []).append(right[row["image_id"]])
    # An independent bootstrap: groups drawn with replacement by another generator.
    generator = np.random.default_rng(7)
    names = sorted(groups)
    accuracies = []
    for _ in range(2000):
        drawn = [groups[name] for name in generator.choice(names, len(names))]
        accuracies.append(np.mean(np.concatenate(drawn)))
    assert (low, high) == pytest.approx(np.quantile(accuracies, (0.025, 0.975)), abs=0.03)
    assert "95 % interval" in folds_text(about)


def test_a_comparison_has_the_figures_of_the_cross_validation(folder: Path, tmp_path: Path) -> None:
    about = folders.read_manifest(folder, "cross-validation")
    copy = shutil.copytree(folder, tmp_path / "copy")
    compared = compare([folder, copy])
    for values in compared.values:
        assert values["quadratic_kappa"] == pytest.approx(about["pooled"]["val_quadratic_kappa"])
        assert values["auroc_referable"] == pytest.approx(about["pooled"]["val_auroc"])
    assert {difference.value for difference in compared.differences.values()} == {0.0}
    table = folder / "out_of_fold.csv"
    rows = table.read_text()
    table.write_text(rows.replace(",1\n", ",2\n"))
    with pytest.raises(KerasDrError, match="has changed since it was written"):
        compare([folder, copy])
    table.write_text(rows)


def test_a_fold_is_evaluated_like_any_run(folder: Path, prepared_folder: Path) -> None:
    run = Run.load(folder / "fold-2")
    data = run.prepared_set(prepared_folder).split("val")
    assert data.rows == run.own_set().split("val").rows
    assert data.rows != PreparedSet.load(prepared_folder).split("val").rows
    _, figures = evaluate_photographs(run, data, "own-val")
    about = folders.read_manifest(folder, "cross-validation")
    assert figures["accuracy"] == pytest.approx(about["folds"][1]["val_accuracy"])
    assert run.about["calibration"]["after"]["log_loss"] == pytest.approx(about["folds"][1]["val_loss"], rel=1e-5)


def test_a_fold_divided_differently_is_refused(folder: Path) -> None:
    run: Run = Run.load(folder / "fold-1")
    fold = run.about["data"]["fold"] | {"val_sha256": "0"}
    other = replace(run, about=run.about | {"data": run.about["data"] | {"fold": fold}})
    with pytest.raises(KerasDrError, match=r"Fold 1 of .* no longer has the photographs"):
        other.own_set()


def test_existing_folds_are_refused(folder: Path, prepared_folder: Path, recipe: Recipe) -> None:
    with pytest.raises(KerasDrError, match="--overwrite"):
        cross_validate(PreparedSet.load(prepared_folder), folder, recipe, folds=FOLDS)
