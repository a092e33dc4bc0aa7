import json
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from keras_dr import datasets
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.explanation import explain_photograph as explaining
from keras_dr.explanation.drawing.boards import BoardRow, write_board
from keras_dr.explanation.drawing.canvas import coarse_note
from keras_dr.explanation.drawing.sheets import blend_signed
from keras_dr.explanation.explain_photograph import explain_photograph
from keras_dr.explanation.explain_split import explain_split
from keras_dr.explanation.job import ExplanationOptions, ExtraInputs
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.sampling import choose_for_board, sample_evenly
from keras_dr.models.grader import build_model
from keras_dr.preparation.audit import seen_in
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.synthetic import photographs

SIZE = 96


@pytest.fixture(scope="module")
def grader() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_model("tiny", SIZE, 5)


@pytest.fixture(scope="module")
def fundus_set(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("explain")
    photographs.write_dataset(folder / "source", count=24, seed=5, size=(96, 128), workers=1)
    name, records = datasets.read_records(folder / "source")
    target = folder / "fundus"
    prepare_records(records, folder / "source", target, Preprocessing(SIZE), dataset=name, workers=0)
    return PreparedSet.load(target).split("all")


@pytest.fixture(scope="module")
def explained(grader: keras.Model, fundus_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "explanations" / "fundus-all"
    explain_split(grader, fundus_set, folder, ExplanationOptions(4))
    return folder


def test_board_has_every_class_and_both_right_and_wrong_predictions() -> None:
    labels = np.repeat(np.arange(5), 20)
    predictions = np.where(np.arange(100) % 10 == 0, (labels + 1) % 5, labels)  # two of twenty wrong
    chosen = choose_for_board(labels, predictions, 10)
    assert np.bincount(labels[chosen]).tolist() == [2] * 5
    assert (labels[chosen] == predictions[chosen]).sum() == 5


def test_board_includes_the_only_wrong_prediction() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert 1 in choose_for_board(labels, np.array([0, 1, 0, 1, 1]), 2)


def test_board_for_more_photographs_than_there_are_shows_all() -> None:
    labels = np.array([0, 1, 1])
    assert choose_for_board(labels, labels, 9).tolist() == [0, 1, 2]


def test_sample_keeps_the_proportions_of_the_classes() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    sample = sample_evenly(labels, 100)
    assert np.bincount(labels[sample]).tolist() == [60, 30, 10]
    assert len(set(sample.tolist())) == 100


def test_board_shows_the_photograph_pixel_for_pixel(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    write_board(tmp_path / "board.png", [BoardRow(image, np.eye(7), "mild", "severe", 0.7, False)] * 4)
    board = cv2.imread(str(tmp_path / "board.png"))[..., ::-1]
    assert board.shape == (64 + 2 * 272 + 64, 3 * 452 + 4 * 24, 3)
    assert (board[88 : 88 + 224, 24 : 24 + 224] == image).all()


def test_board_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="There are no photographs for the board"):
        write_board(tmp_path / "board.png", [])


def test_explanation_holds_its_files(explained: Path, fundus_set: PreparedSet) -> None:
    assert sorted(path.name for path in explained.iterdir()) == [
        "board.png",
        "heatmaps",
        "lesions.png",
        "scores.json",
    ]
    assert len(list(explained.glob("heatmaps/*.npz"))) == len(fundus_set.rows)
    assert len(list(explained.glob("heatmaps/*.png"))) == 4


def test_stored_map_is_of_the_predicted_class(explained: Path, grader: keras.Model, fundus_set: PreparedSet) -> None:
    image = fundus_set.image(7)[None]
    prediction = np.asarray(grader(image, training=False)).argmax(axis=1)
    with np.load(explained / "heatmaps" / f"{fundus_set.rows[7]['image_id']}.npz") as stored:
        assert np.allclose(stored["grad-cam"], Explainer(grader).heatmaps(image, prediction)[0], atol=1e-5)


def test_scores_json_reports_what_was_measured(explained: Path) -> None:
    about = json.loads((explained / "scores.json").read_text("utf-8"))
    assert (about["set"], about["split"], about["feature_layer"]) == ("fundus", "all", "block5b_relu")
    assert (about["photographs_scored"], about["sampling"]) == (24, "whole split")
    outside = about["summary"]["grad-cam"]["share_outside_fundus"]
    assert about["summary"]["uniform"]["share_outside_fundus"]["mean"] == pytest.approx(1 - np.pi / 4, abs=0.01)
    own = [row["scores"]["grad-cam"]["share_outside_fundus"] for row in about["photographs"]]
    own = [share for share in own if share is not None]
    assert (outside["n"], outside["mean"]) == (len(own), pytest.approx(np.mean(own)))


def test_two_methods_have_a_board_each_and_an_agreement(
    grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ExplanationOptions(2, ("grad-cam", "grad-cam-dilated"), score_all=False)
    about = explain_split(grader, fundus_set.split("test"), out, options)
    assert sorted(path.name for path in out.glob("board*")) == ["board-grad-cam-dilated.png", "board-grad-cam.png"]
    assert (about["photographs_scored"], about["sampling"][:15]) == (2, "the 2 on the bo")
    assert about["agreement"]["grad-cam ~ grad-cam-dilated"]["n"] == 2


def test_faithfulness_and_sanity_are_measured_if_requested(
    grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path
) -> None:
    options = ExplanationOptions(1, faithfulness=3, sanity=2)
    about = explain_split(grader, fundus_set.split("test"), tmp_path / "out", options)
    assert set(about["faithfulness"]) == {"grad-cam", "random"}
    assert about["faithfulness"]["grad-cam"]["deletion_auc"]["n"] == 3
    assert list(about["sanity"]["grad-cam"]) == ["head", "head, top quarter", "head, top half", "whole network"]


def test_overlap_threshold_comes_from_other_photographs(
    grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path
) -> None:
    extra = ExtraInputs(masked=fundus_set.split("train"), before=build_model("tiny", SIZE, 5))
    about = explain_split(grader, fundus_set.split("test"), tmp_path / "out", ExplanationOptions(1), extra)
    assert about["overlap_photographs"] == len(fundus_set.split("train").rows)
    assert 0 < about["overlap_thresholds"]["grad-cam"]["lesions"] < 1
    assert about["summary"]["uniform"]["iou_lesions"]["n"] > 0
    assert (tmp_path / "out" / "before-after.png").is_file()


def test_photographs_used_in_training_are_detected(fundus_set: PreparedSet) -> None:
    splits = [row["split"].replace("test", "") for row in fundus_set.rows]
    assert seen_in(fundus_set, fundus_set).tolist() == splits
    encoded_again = (row | {"pixels_sha256": row["image_id"]} for row in fundus_set.rows)
    assert seen_in(fundus_set, replace(fundus_set, rows=tuple(encoded_again))).tolist() == splits


def test_temperature_changes_only_the_confidence(grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path) -> None:
    val = fundus_set.split("val")
    warm = explain_split(grader, val, tmp_path / "warm", ExplanationOptions(1, temperature=1.0))["photographs"]
    cold = explain_split(grader, val, tmp_path / "cold", ExplanationOptions(1, temperature=0.1))["photographs"]
    assert [row["prediction"] for row in warm] == [row["prediction"] for row in cold]
    assert warm[0]["confidence"] < cold[0]["confidence"]


def test_one_photograph_is_explained_by_all_methods(
    grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path
) -> None:
    methods = ("grad-cam", "layercam-2x")
    about = explain_photograph(grader, fundus_set, 3, tmp_path / "out", methods)
    assert list(about["decision_changes"]) == list(methods) and about["image_id"] == fundus_set.rows[3]["image_id"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "explanation.png",
        "heatmaps.npz",
        "scores.json",
    ]
    with np.load(tmp_path / "out" / "heatmaps.npz") as stored:
        assert stored["grad-cam"].shape == (2, 3, 3) and stored["layercam-2x"].shape == (2, 6, 6)


def test_the_legend_names_the_classes_that_are_drawn(
    grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities = Explainer(grader).predict(fundus_set.image(3)[None])[0][0]
    chosen = int(probabilities.argmin())  # as the median of an ordinal head may be
    rival = int(probabilities.argmax())
    monkeypatch.setattr(explaining, "decide", lambda probabilities, decision: np.full(len(probabilities), chosen))
    drawn: list[dict[str, object]] = []
    monkeypatch.setattr(explaining, "write_sheet", lambda file, rows, title, note, legend: drawn.append(legend))
    explain_photograph(grader, fundus_set, 3, tmp_path / "out", ("grad-cam",))
    classes = fundus_set.task.classes
    assert list(drawn[0]) == [f"for {classes[chosen]}", f"for {classes[rival]}"]


def test_signed_map_has_two_colours() -> None:
    drawn = blend_signed(np.full((4, 4, 3), 100, np.uint8), np.array([[1.0, -1.0], [1.0, -1.0]]))
    assert drawn[0, 0, 2] > drawn[0, 0, 0] and drawn[0, 3, 0] > drawn[0, 3, 1]  # cyan for, magenta against


def test_existing_explanation_is_refused(explained: Path, grader: keras.Model, fundus_set: PreparedSet) -> None:
    with pytest.raises(KerasDrError, match="pass --overwrite"):
        explain_split(grader, fundus_set, explained)


def test_overwrite_replaces_an_explanation(grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    (tmp_path / "out" / "scores.json").touch()
    explain_split(grader, fundus_set.split("val"), tmp_path / "out", ExplanationOptions(1), overwrite=True)
    assert not (tmp_path / "out" / "old").exists()


def test_photographs_of_another_size_are_refused(fundus_set: PreparedSet, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"photographs of 64 pixels, but .* have 96 pixels. Prepare with --size 64"):
        explain_split(build_model("tiny", 64, 5), fundus_set, tmp_path / "out")


def test_a_coarse_map_is_said_to_be_coarse() -> None:
    maps = {"grad-cam": np.zeros((2, 3, 5)), "layercam-4x": np.zeros((2, 24, 24))}  # of two classes
    assert coarse_note(maps) == "coarse: grad-cam has 3 x 5 places, which cannot show single lesions"
    assert coarse_note({"layercam-4x": maps["layercam-4x"]}) == ""
