"""Label spaces from the photographs to the figures: ungradable photographs, no positive class, no grades."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from drawn import SIZE
from places import SHARED

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.datasets.records import SPLITS
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.reports.preparation import prepared_text

THREE = Task("classes", ("a", "b", "c"), ())


def prepare(source: Path, target: Path, **settings: object) -> dict:
    name, records = read_records(source)
    return prepare_records(records, source, target, Preprocessing(SIZE), dataset=name, workers=0, **settings)


@pytest.fixture(scope="module")
def source(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic photographs in another folder, every fifth one ungradable and one without a grade."""
    folder = tmp_path_factory.mktemp("ungradable")
    header, *lines = (photographs / "labels.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for number, row in enumerate(cells[::5]):
        row[1] = "Ungradable" if number else ""
    (folder / "labels.csv").write_text("\n".join([header, *map(",".join, cells)]))
    (folder / "images").symlink_to(photographs / "images")
    return folder


def test_ungradable_photographs_are_left_out_with_a_line(source: Path, tmp_path: Path) -> None:
    about = prepare(source, tmp_path / "set")
    with (tmp_path / "set" / "rejected.csv").open() as stream:
        reasons = [row["reason"] for row in csv.DictReader(stream)]
    assert sorted(reasons) == ["no grade"] + ["ungradable: no class of the task icdr"] * 11
    assert about["rejected"] == 12 and len(PreparedSet.load(tmp_path / "set").rows) == 48
    assert len(list((tmp_path / "set" / "images").iterdir())) == 48


def test_ungradable_photographs_are_a_class_of_their_own(source: Path, tmp_path: Path) -> None:
    about = prepare(source, tmp_path / "set", task="icdr-ungradable")
    data = PreparedSet.load(tmp_path / "set")
    assert data.task is TASKS["icdr-ungradable"]
    assert sum(about["counts"][split]["ungradable"] for split in SPLITS) == 11
    assert {row["grade"] for row in data.rows if row["label"] == "ungradable"} == {"5"}


def relabel(photographs: Path, folder: Path, names: dict[str, str]) -> Path:
    """The photographs with other labels, by grade."""
    header, *lines = (photographs / "labels.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    rows = [",".join([row[0], names[row[1]], *row[2:]]) for row in cells]
    folder.mkdir()
    (folder / "labels.csv").write_text("\n".join([header, *rows]))
    (folder / "images").symlink_to(photographs / "images")
    return folder


def test_a_run_without_positive_class_is_trained_measured_and_bundled(
    photographs: Path, tmp_path: Path, recipe: Recipe
) -> None:
    from edge_demo.bundle import Bundle
    from edge_demo.grader import Grader
    from export.export_run import export
    from keras_dr.evaluation.evaluate import evaluate_photographs
    from keras_dr.training.run import Run
    from keras_dr.training.train import train

    names = {"0": "round", "1": "round", "2": "oval", "3": "other", "4": "other"}
    prepare(relabel(photographs, tmp_path / "source", names), tmp_path / "set")
    watched = recipe.model_copy(update={"monitor": "val_loss"})
    train(PreparedSet.load(tmp_path / "set"), tmp_path / "run", watched)
    run = Run.load(tmp_path / "run")
    assert (run.task.classes, run.task.referable, run.threshold) == (("other", "oval", "round"), (), 1.0)
    target, figures = evaluate_photographs(run, run.prepared_set().split("test"), "set-test")
    assert figures["auroc_referable"] is figures["operating_point"]["specificity"] is None
    assert json.loads((target / "metrics.json").read_text())["positive"] == ""
    export(tmp_path / "run", tmp_path / "bundle", ["float32"], allow_drift=True)
    bundle = Bundle.load(tmp_path / "bundle")
    assert (bundle.task, bundle.classes, bundle.referable) == ("classes", ("other", "oval", "round"), ())
    photograph = next((photographs / "images").iterdir())
    assert not Grader(bundle).grade(photograph.read_bytes(), "x").referred


def test_auroc_cannot_be_watched_without_a_positive_class(photographs: Path, tmp_path: Path, recipe: Recipe) -> None:
    from keras_dr.training.train import train

    names = {"0": "round", "1": "round", "2": "oval", "3": "other", "4": "other"}
    prepare(relabel(photographs, tmp_path / "source", names), tmp_path / "set")
    watching = recipe.model_copy(update={"monitor": "val_auroc"})
    with pytest.raises(KerasDrError, match="positive class"):
        train(PreparedSet.load(tmp_path / "set"), tmp_path / "run", watching)


def test_figures_of_referral_do_not_exist_without_a_positive_class() -> None:
    labels, probabilities = np.array([0, 1, 2]), np.eye(3)
    figures = measure.measure(Predictions(labels, probabilities, THREE), OperatingPoint(1.0), resamples=20)
    assert figures["auroc_referable"] is figures["auprc_referable"] is None
    assert figures["operating_point"]["sensitivity"] is figures["operating_point"]["specificity"] is None
    assert measure.validation_scores(labels, probabilities, THREE)["val_auroc"] is None
    assert figures["accuracy"] == 1.0


def test_the_second_of_two_classes_is_the_positive_one() -> None:
    task = Task("classes", ("normal", "pneumonia"), (1,))
    of = Predictions(np.array([0, 1]), np.array([[0.8, 0.2], [0.1, 0.9]]), task)
    figures = measure.measure(of, OperatingPoint(0.5), resamples=20)
    assert (figures["positive"], figures["auroc_referable"]) == ("pneumonia", 1.0)
    assert figures["operating_point"]["sensitivity"] == figures["operating_point"]["specificity"] == 1.0


@pytest.fixture
def ungraded(photographs: Path, tmp_path: Path) -> Path:
    """A Prepared set of the synthetic photographs without their grades, but with their masks."""
    source = relabel(photographs, tmp_path / "source", dict.fromkeys("01234", ""))
    (source / "masks").symlink_to(photographs / "masks")
    prepare(source, tmp_path / "ungraded")
    return tmp_path / "ungraded"


def test_a_set_without_grades_is_prepared_with_its_masks(ungraded: Path) -> None:
    data, about = PreparedSet.load(ungraded), folders.read_manifest(ungraded, "prepared")
    assert {(row["grade"], row["label"]) for row in data.rows} == {("", "")}
    assert sum(count[""] for count in about["counts"].values()) == 60
    assert "optic_disc" in data.masks(0)
    with pytest.raises(KerasDrError, match="have no grades"):
        data.labels()


def test_a_set_without_grades_is_counted_as_such(ungraded: Path) -> None:
    about = folders.read_manifest(ungraded, "prepared")
    assert about["source_counts"] == {"": sum(counts[""] for counts in about["counts"].values())}
    assert "not graded" in prepared_text(about).splitlines()[0]


def test_a_grader_is_explained_on_a_set_without_grades(ungraded: Path, run_folder: Path, tmp_path: Path) -> None:
    from keras_dr.explanation.explain_split import explain_split
    from keras_dr.explanation.job import ExplanationOptions
    from keras_dr.training.run import Run

    run = Run.load(run_folder)
    data = run.prepared_set(ungraded).split("test")
    scores = explain_split(run.model(), data, tmp_path / "explained", ExplanationOptions(2, score_all=False))
    assert {photograph["correct"] for photograph in scores["photographs"]} == {None}
    assert scores["summary"]["grad-cam"]["share_on_lesions"]["n"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "medmnist").is_dir(), reason="MedMNIST is not at hand")
def test_the_real_retina_mnist_is_prepared(tmp_path: Path) -> None:
    about = prepare(SHARED / "medmnist" / "retinamnist.npz", tmp_path / "set")
    assert [sum(about["counts"][split].values()) for split in SPLITS] == [1080, 120, 400]
    assert about["counts"]["test"] == dict(zip(TASKS["icdr"].classes, (174, 46, 92, 68, 20), strict=True))
    assert about["rejected"] == 0
