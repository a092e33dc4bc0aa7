from pathlib import Path

import numpy as np
import pytest
from edge_fixtures import change, spoil

from keras_dr import datasets
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.explanation import explain_run as explaining
from keras_dr.explanation.explain_run import explain_run, explain_run_photograph
from keras_dr.explanation.job import ExplanationOptions
from keras_dr.explanation.scores import bundle_maps
from keras_dr.preparation.prepare import prepare_records
from keras_dr.training.run import Run


@pytest.fixture(scope="module")
def grader(run_folder: Path) -> Run:
    return Run.load(run_folder)


@pytest.fixture(scope="module")
def other_set(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's photographs, prepared as another set with other splits."""
    folder = tmp_path_factory.mktemp("other") / "other"
    name, records = datasets.read_records(photographs)
    prepare_records(records, photographs, folder, Preprocessing(32), dataset=name, seed=9, workers=1)
    return folder


def test_own_test_split_is_explained_with_training_masks(grader: Run) -> None:
    target, about = explain_run(grader, None, "test", ExplanationOptions(2))
    assert target == grader.folder / "explanations" / "small-test"
    assert about["photographs_left_out"] == 0 and about["overlap_photographs"] > 0
    assert (target / "before-after.png").is_file() == (grader.about["kept"] == "finetune")


def test_photographs_the_run_was_trained_on_are_left_out(grader: Run, other_set: Path) -> None:
    _, about = explain_run(grader, other_set, "all", ExplanationOptions(1))
    assert about["photographs_in_split"] == 60
    assert about["photographs_left_out"] >= grader.about["data"]["photographs"]["train"]
    assert about["photographs_scored"] == 60 - about["photographs_left_out"] > 0


def test_having_nothing_left_to_measure_is_reported(
    grader: Run, other_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "seen_in", lambda own_set, data: np.full(len(data.rows), "train"))
    with pytest.raises(KerasDrError, match="was trained on all photographs"):
        explain_run(grader, other_set, "test", ExplanationOptions(1))


def test_one_photograph_of_any_split(grader: Run) -> None:
    image_id = grader.prepared_set().split("train").rows[0]["image_id"]
    target, about = explain_run_photograph(grader, None, image_id, ("grad-cam",))
    assert target.name == f"small-{image_id}" and (target / "explanation.png").is_file()
    assert sum(about["probabilities"].values()) == pytest.approx(1)


def test_unknown_photograph_is_reported(grader: Run) -> None:
    with pytest.raises(KerasDrError, match="no photograph with the image_id 'nobody'"):
        explain_run_photograph(grader, None, "nobody", ("grad-cam",))


def test_bundle_of_another_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_demo.bundle.Bundle.load", lambda folder: None)
    monkeypatch.setattr(folders, "read_manifest", lambda folder, kind: {"run": {"model_sha256": "a"}})
    with pytest.raises(KerasDrError, match=r"was made from another run. Export the run again"):
        bundle_maps.measure_bundle(None, tmp_path, "b", [0])


def test_models_of_a_bundle_are_tried_first(bundle_folder: Path) -> None:
    change(bundle_folder, run={"model_sha256": "b"})
    spoil(bundle_folder)
    with pytest.raises(KerasDrError, match="does not run"):
        bundle_maps.measure_bundle(None, bundle_folder, "b", [0])
