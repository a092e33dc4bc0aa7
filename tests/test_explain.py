import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from keras_dr import datasets, prepared, preparing, synthetic
from keras_dr.errors import KerasDrError
from keras_dr.explain import explain, heatmaps
from keras_dr.explain.boards import BoardRow, write_board
from keras_dr.explain.scores import score_heatmap, summarise, uniform_scores
from keras_dr.explain.selection import choose_for_board, sample_evenly
from keras_dr.model import build_model, head_weights
from keras_dr.overlay import enlarge, normalise
from keras_dr.prepared import PreparedSet
from keras_dr.preprocessing import Preprocessing

SIZE = 96
CORNER = np.zeros((4, 4))
CORNER[:2, :2] = 1  # a quarter of a 4 x 4 map
LEFT = np.zeros((4, 4), bool)
LEFT[:, :2] = True


@pytest.fixture(scope="module")
def grader() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_model("tiny", SIZE, 5)


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def fundus_set(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("explain")
    synthetic.write_dataset(folder / "source", count=24, seed=5, size=(96, 128), workers=1)
    name, records = datasets.read_records(folder / "source")
    target = folder / "fundus"
    preparing.prepare(records, folder / "source", target, Preprocessing(SIZE), dataset=name, workers=0)
    return prepared.load(target).split("all")


@pytest.fixture(scope="module")
def explained(grader: keras.Model, fundus_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "explanations" / "fundus-all"
    explain(grader, fundus_set, folder, n=4)
    return folder


def pooled(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What enters the pooling, float32 (n, h, w, channels)."""
    features = keras.Model(model.input, model.get_layer("pooling").input)
    return np.asarray(features(images.astype(np.float32), training=False))


def alike(maps: np.ndarray, expected: np.ndarray) -> bool:
    """Whether maps are the expected ones up to a positive factor, and not empty."""
    pairs = zip(maps, expected, strict=True)
    return all(e.max() > 0 and np.abs(normalise(m) - normalise(e)).max() < 1e-3 for m, e in pairs)


def test_grad_cam_is_its_closed_form(grader: keras.Model, photographs: np.ndarray) -> None:
    classes = np.array([0, 4, 2])
    kernel = head_weights(grader)[0][:, classes]
    expected = np.maximum(np.einsum("nhwc,cn->nhw", pooled(grader, photographs), kernel), 0) / 9  # 3 x 3 features
    assert np.allclose(heatmaps(grader, photographs, classes, batch_size=2), expected, rtol=1e-3, atol=1e-6)


def test_grad_cam_plus_plus_is_proportional_to_its_closed_form(grader: keras.Model, photographs: np.ndarray) -> None:
    classes = np.array([1, 3, 1])
    kernel = np.maximum(head_weights(grader)[0][:, classes], 0)
    expected = np.einsum("nhwc,cn->nhw", pooled(grader, photographs), kernel)
    assert alike(heatmaps(grader, photographs, classes, "grad-cam++"), expected)


def test_grad_cam_plus_plus_bears_large_logits(photographs: np.ndarray) -> None:
    model = build_model("tiny", SIZE, 2)
    kernel, _ = head_weights(model)
    model.get_layer("logits").set_weights([kernel, np.array([500.0, -500.0])])
    expected = np.einsum("nhwc,c->nhw", pooled(model, photographs), np.maximum(kernel[:, 0], 0))
    assert alike(heatmaps(model, photographs, np.array([0, 0, 0]), "grad-cam++"), expected)


def test_densenet_map_is_made_where_it_pools() -> None:
    keras.utils.set_random_seed(1)
    model = build_model("densenet121", 64, 3)
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    expected = pooled(model, image) @ head_weights(model)[0][:, 1]
    assert alike(heatmaps(model, image, np.array([1])), expected)


def brightness_grader(size: int) -> keras.Model:
    """Channel 0 of every layer carries the local brightness; the logit of class 1 is its mean."""
    model = build_model("tiny", size, 2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape)
            channels = 3 if layer.kernel.shape[2] == 3 else 1
            kernel[:, :, :channels, 0] = 1 / (9 * channels)
            layer.set_weights([kernel])
    head = np.zeros((64, 2))
    head[0, 1] = 1
    model.get_layer("logits").set_weights([head, np.zeros(2)])
    return model


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_heat_lies_where_the_evidence_is(method: str) -> None:
    image = np.zeros((1, 160, 160, 3), np.uint8)
    image[:, 24:72, 88:136] = 255  # upper right
    heat = heatmaps(brightness_grader(160), image, np.array([1]), method)[0]
    y, x = np.unravel_index(enlarge(heat, 160).argmax(), (160, 160))
    assert 24 <= y < 72 and 88 <= x < 136


def test_map_for_a_class_without_evidence_is_zero() -> None:
    image = np.full((1, 96, 96, 3), 255, np.uint8)
    assert not heatmaps(brightness_grader(96), image, np.array([0])).any()


def test_unknown_method_names_the_known_ones(grader: keras.Model, photographs: np.ndarray) -> None:
    with pytest.raises(KerasDrError, match=r"among grad-cam, grad-cam\+\+; found 'gradcam'. Correct --method"):
        heatmaps(grader, photographs, np.zeros(3, int), "gradcam")


def test_damaged_weights_are_told(photographs: np.ndarray) -> None:
    model = build_model("tiny", SIZE, 2)
    model.get_layer("logits").set_weights([np.full((64, 2), np.nan), np.zeros(2)])
    with pytest.raises(KerasDrError, match="NaN or infinity"):
        heatmaps(model, photographs, np.zeros(3, int))


def test_share_inside_the_fundus() -> None:
    heat = np.array([[3, 0, 0, 1]] + 3 * [[0] * 4])
    assert score_heatmap(heat, LEFT, {})["share_inside_fundus"] == 0.75


def test_share_on_lesions_counts_heat_inside_the_fundus_and_partly_covered_pixels() -> None:
    heat = np.array([[4, 1, 9, 9]] + 3 * [[1, 1, 9, 9]])  # 11 inside the fundus
    mask = np.zeros((4, 4))
    mask[0, 0], mask[1, 1] = 0.5, 1  # heat 2 + 1, area .5 + 1
    scores = score_heatmap(heat, LEFT, {"haemorrhages": mask})
    assert scores["share_on_lesions"] == pytest.approx(3 / 11)
    assert scores["lesion_area_share"] == pytest.approx(1.5 / 8)
    assert scores["enrichment"] == pytest.approx(3 / 11 / (1.5 / 8))


def test_overlapping_lesions_count_once() -> None:
    scores = score_heatmap(CORNER, LEFT, {"hard_exudates": CORNER, "haemorrhages": CORNER})
    assert (scores["share_on_lesions"], scores["enrichment"]) == (1, 2)


def test_optic_disc_is_no_lesion() -> None:
    scores = score_heatmap(CORNER, LEFT, {"optic_disc": CORNER})
    assert scores["share_on_optic_disc"] == 1
    assert scores["share_on_lesions"] is scores["lesion_area_share"] is scores["enrichment"] is None


def test_uniform_map_scores_chance() -> None:
    scores = uniform_scores(LEFT, {"haemorrhages": CORNER, "optic_disc": CORNER[::-1]})
    assert list(scores.values()) == [0.5, 0.5, 0.5, 1, 0.5]


def test_map_without_heat_has_no_shares() -> None:
    scores = score_heatmap(np.zeros((4, 4)), LEFT, {"haemorrhages": CORNER, "optic_disc": CORNER})
    assert list(scores.values()) == [None, None, 0.5, None, None]


def test_empty_lesion_mask_is_no_lesion() -> None:
    assert score_heatmap(CORNER, LEFT, {"haemorrhages": np.zeros((4, 4))})["share_on_lesions"] is None


def test_fundus_that_fills_the_photograph_has_no_inside() -> None:
    assert score_heatmap(CORNER, np.ones((4, 4), bool), {})["share_inside_fundus"] is None


def test_summary_leaves_out_what_does_not_exist() -> None:
    lesion = score_heatmap(CORNER, LEFT, {"haemorrhages": CORNER})
    none = score_heatmap(np.zeros((4, 4)), LEFT, {})
    flat = [uniform_scores(LEFT, {"haemorrhages": CORNER}), uniform_scores(LEFT, {})]
    enrichment = summarise([lesion, none], flat)["enrichment"]
    assert enrichment == {"n": 1, "mean": 2, "median": 2, "low": None, "high": None, "uniform_mean": 1}


def test_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    rows = [dict.fromkeys(score_heatmap(CORNER, LEFT, {}), value) for value in values]
    found = summarise(rows, rows)["enrichment"]
    half = 1.96 * values.std() / 20
    assert (found["low"], found["high"]) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-3)


def test_board_takes_every_class_and_both_right_and_wrong() -> None:
    labels = np.repeat(np.arange(5), 20)
    predictions = np.where(np.arange(100) % 10 == 0, (labels + 1) % 5, labels)  # two of twenty wrong
    chosen = choose_for_board(labels, predictions, 10)
    assert np.bincount(labels[chosen]).tolist() == [2] * 5
    assert (labels[chosen] == predictions[chosen]).sum() == 5


def test_board_seeks_the_only_wrong_prediction() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert 1 in choose_for_board(labels, np.array([0, 1, 0, 1, 1]), 2)


def test_board_of_more_than_there_are_holds_all() -> None:
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
    with pytest.raises(KerasDrError, match="photographs for a board; found none"):
        write_board(tmp_path / "board.png", [])


def test_explanation_holds_its_files(explained: Path, fundus_set: PreparedSet) -> None:
    assert sorted(path.name for path in explained.iterdir()) == ["board.png", "heatmaps", "scores.json"]
    assert len(list(explained.glob("heatmaps/*.npz"))) == len(fundus_set.rows)
    assert len(list(explained.glob("heatmaps/*.png"))) == 4


def test_stored_map_is_of_the_predicted_class(explained: Path, grader: keras.Model, fundus_set: PreparedSet) -> None:
    image = fundus_set.image(7)[None]
    prediction = np.asarray(grader(image, training=False)).argmax(axis=1)
    with np.load(explained / "heatmaps" / f"{fundus_set.rows[7]['image_id']}.npz") as stored:
        assert np.allclose(stored["grad-cam"], heatmaps(grader, image, prediction)[0], atol=1e-5)


def test_scores_json_says_what_was_measured(explained: Path) -> None:
    about = json.loads((explained / "scores.json").read_text("utf-8"))
    assert (about["set"], about["split"], about["feature_layer"]) == ("fundus", "all", "block5b_relu")
    assert (about["photographs_scored"], about["sampling"]) == (24, "whole split")
    inside = about["summary"]["grad-cam"]["share_inside_fundus"]
    assert inside["uniform_mean"] == pytest.approx(np.pi / 4, abs=0.01)
    own = [row["scores"]["grad-cam"]["share_inside_fundus"] for row in about["photographs"]]
    own = [share for share in own if share is not None]
    assert (inside["n"], inside["mean"]) == (len(own), pytest.approx(np.mean(own)))


def test_two_methods_have_a_board_each(grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    methods = ("grad-cam", "grad-cam++")
    about = explain(grader, fundus_set.split("test"), out, n=2, methods=methods, score_all=False)
    assert sorted(path.name for path in out.glob("*.png")) == ["board-grad-cam++.png", "board-grad-cam.png"]
    assert (about["photographs_scored"], about["sampling"][:14]) == (2, "the 2 of the b")


def test_given_probabilities_decide(grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path) -> None:
    val = fundus_set.split("val")
    probabilities = np.tile([0.1, 0.1, 0.1, 0.6, 0.1], (len(val.rows), 1))
    about = explain(grader, val, tmp_path / "out", n=1, probabilities=probabilities, score_all=False)
    assert [(row["prediction"], row["confidence"]) for row in about["photographs"]] == [("severe", 0.6)]


def test_existing_explanation_is_refused(explained: Path, grader: keras.Model, fundus_set: PreparedSet) -> None:
    with pytest.raises(KerasDrError, match="pass --overwrite"):
        explain(grader, fundus_set, explained)


def test_overwrite_replaces_an_explanation(grader: keras.Model, fundus_set: PreparedSet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    (tmp_path / "out" / "scores.json").touch()
    explain(grader, fundus_set.split("val"), tmp_path / "out", n=1, score_all=False, overwrite=True)
    assert not (tmp_path / "out" / "old").exists()


def test_photographs_of_another_size_are_refused(fundus_set: PreparedSet, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"photographs of 64 pixels.*Prepare with --size 64"):
        explain(build_model("tiny", 64, 5), fundus_set, tmp_path / "out")
