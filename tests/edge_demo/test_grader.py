"""edge_demo.grader: gradings compared with results worked out by hand."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_fixtures import CLASSES, KERNEL, SIZE, by_hand, change

from edge_demo import __main__ as command
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Prepared
from edge_demo.results import describe, encode_outcomes
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import OperatingPoint, Promise
from keras_dr.core.preprocessing import Preprocessing, prepare_image


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_probabilities_are_those_worked_out_by_hand(bundle_folder: Path, photograph: bytes, variant: str) -> None:
    grading = Grader(Bundle.load(bundle_folder), variant).grade(photograph, "eye.jpg")
    expected = by_hand(photograph, variant)
    np.testing.assert_allclose(list(grading.probabilities.values()), expected, atol=1e-6)
    assert grading.grade == CLASSES[expected.argmax()]
    assert math.isclose(grading.p_referable, expected[2:].sum(), abs_tol=1e-6)
    assert grading.fundus_found


def test_heat_map_is_of_the_predicted_class(bundle_folder: Path, photograph: bytes) -> None:
    grading = Grader(Bundle.load(bundle_folder), "float32").grade(photograph, "eye.jpg")
    blocks = grading.prepared.reshape(8, 8, 8, 8, 3).mean((1, 3)) / 255
    expected = blocks @ KERNEL[:, CLASSES.index(grading.grade)]
    np.testing.assert_allclose(grading.heatmap, expected, atol=1e-5)


def test_referred_from_the_threshold_on(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, referable=[4])
    grader = Grader(bundle_folder, "float32", margin=0)
    first = grader.grade(photograph, "eye")
    assert first.grade != "proliferative"
    for threshold, action in (
        (first.p_referable, "refer: by threshold"),
        (math.nextafter(first.p_referable, 2), "none"),
    ):
        change(bundle_folder, threshold=threshold)
        grading = Grader(bundle_folder, "float32", margin=0).grade(photograph, "eye")
        assert (grading.action, grading.referred) == (action, action != "none")


def test_a_referable_grade_is_referred_below_the_threshold(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, threshold=1.0)
    grading = Grader(bundle_folder, threshold=1.0).grade(photograph, "eye")
    assert grading.p_referable < 1 and grading.grade == "proliferative"
    assert (grading.action, grading.reason) == ("refer: by grade", "The grade proliferative is referable.")


@pytest.mark.parametrize("decision", ["argmax", "median"])
def test_a_referable_grade_never_goes_without_action(bundle_folder: Path, decision: str) -> None:
    change(bundle_folder, decision=decision)
    bundle = Bundle.load(bundle_folder)
    random = np.random.default_rng(7)
    prepared = Prepared(np.zeros((SIZE, SIZE, 3), np.uint8), None, ())
    heatmaps = np.zeros((2, 2, 5), np.float32)
    grader = Grader(bundle)
    for probabilities in random.dirichlet(np.full(5, 0.5), 10_000).astype(np.float32):
        grader.bundle = replace(bundle, threshold=random.uniform(0, 1.1))
        grader.margin = random.choice([0.0, 0.05, 0.3])
        grading = grader.conclude("eye", prepared, (probabilities, heatmaps))
        if grading.grade in CLASSES[2:]:
            assert (grading.action, grading.referred) == ("refer: by grade", True)
        assert grading.referred == grading.action.startswith("refer")


def test_the_user_chooses_the_operating_point(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, referable=[4], operating_points={"screening": {"value": 0.001}, "strict": {"value": 0.99}})
    for name, action in (("screening", "refer: by threshold"), ("strict", "none")):
        grader = Grader(bundle_folder, "float32", operating_point=name)
        assert grader.grade(photograph, "eye").action == action
        assert grader.bundle.point_name == name


def test_dictionary_is_json_without_arrays(bundle_folder: Path, photograph: bytes) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "folder/eye.1.jpg")
    content = json.loads(json.dumps(grading.to_dict()))
    assert content["image_id"] == "eye.1"
    assert content["path"] == "folder/eye.1.jpg"
    assert set(content) >= {"grade", "probabilities", "p_referable", "referred", "fundus_found"}


def test_a_photograph_without_fundus_says_so(bundle_folder: Path) -> None:
    grey = cv2.imencode(".png", np.full((80, 90, 3), 120, np.uint8))[1].tobytes()
    change(bundle_folder, referable=[1])
    grading = Grader(bundle_folder).grade(grey, "grey.png")
    assert not grading.fundus_found
    assert grading.faults == ("no fundus",)
    assert "faults: no fundus" in describe(grading)


def test_overlay_has_the_prepared_size_and_black_stays_black(
    bundle_folder: Path, photograph: bytes, tmp_path: Path
) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye.jpg")
    grading.save_overlay(tmp_path / "eye.png")
    drawn = cv2.imread(str(tmp_path / "eye.png"))
    assert drawn.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(drawn[..., ::-1], grading.overlay())
    assert not drawn[grading.prepared.max(axis=2) == 0].any()
    assert (drawn[..., ::-1] != grading.prepared).any()


@pytest.mark.parametrize("name", ["no/such/folder/eye.png", "eye.jpg"])
def test_overlay_that_cannot_be_written(bundle_folder: Path, photograph: bytes, tmp_path: Path, name: str) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye.jpg")
    with pytest.raises(KerasDrError, match="heat map"):
        grading.save_overlay(tmp_path / name)


LIMITS = {"coverage": [0.1, 2], "illumination": [0.01, 1], "contrast": [0.01, 9], "sharpness": [1e-6, 1e9]}


def test_quality_is_judged_by_the_limits_of_the_training_photographs(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, quality_limits=LIMITS, threshold=2, referable=[0])
    assert Grader(Bundle.load(bundle_folder)).grade(photograph, "eye").faults == ()
    change(bundle_folder, quality_limits={**LIMITS, "illumination": [0.99, 1]})
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye")
    assert (grading.faults, grading.action) == (("dark",), "retake")


def test_beyond_the_limits_of_the_grader_faults_have_other_words(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, gradability_limits={"blurred": 1e9, "dark": 0.001}, threshold=2, referable=[0])
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye")
    assert (grading.faults, grading.action) == (("too blurred to grade",), "retake")
    assert grading.reason == "The photograph has faults: too blurred to grade."


def test_the_picture_names_the_eye_where_it_is_known(bundle_folder: Path, photograph: bytes) -> None:
    grader = Grader(Bundle.load(bundle_folder))
    assert grader.grade(photograph, "clinic/1000_OD.jpg").eye == "right"
    unknown = grader.grade(photograph, "clinic/1000_r.jpg")
    assert unknown.eye == ""  # an r may mean anything
    named = replace(unknown, eye="left")
    assert (named.picture()[640:] != unknown.picture()[640:]).any()


def test_colours_beyond_those_of_the_training_photographs_are_reported(bundle_folder: Path, photograph: bytes) -> None:
    change(
        bundle_folder, quality_limits=LIMITS, colour_limits={"red_to_green": [0.01, 99], "blue_to_green": [0.01, 99]}
    )
    assert Grader(Bundle.load(bundle_folder)).grade(photograph, "eye").unfamiliar == ()
    change(bundle_folder, colour_limits={"red_to_green": [0.01, 0.02], "blue_to_green": [50, 99]})
    bundle = Bundle.load(bundle_folder)
    grading = Grader(bundle).grade(photograph, "eye")
    assert grading.unfamiliar == ("redder", "less blue") and grading.faults == ()
    assert "(redder, less blue): the grade may be shifted." in describe(grading)
    assert grading.to_dict()["unfamiliar"] == ("redder", "less blue")
    usual = replace(grading, path="usual", unfamiliar=())
    first, second = csv.DictReader(encode_outcomes(bundle, [usual, grading]).decode().splitlines())
    assert list(first)[-1] == "unfamiliar"
    assert (first["unfamiliar"], second["unfamiliar"]) == ("", "redder;less blue")
    assert b"unfamiliar" not in encode_outcomes(bundle, [usual])


@pytest.mark.parametrize(("margin", "action"), [(0.02, "refer: uncertain"), (0.005, "none")])
def test_uncertain_photographs_are_referred(bundle_folder: Path, photograph: bytes, margin: float, action: str) -> None:
    change(bundle_folder, referable=[4])
    p_referable = Grader(bundle_folder, "float32").grade(photograph, "eye").p_referable
    grading = Grader(bundle_folder, "float32", margin=margin, threshold=p_referable + 0.01).grade(photograph, "eye")
    assert (grading.action, grading.referred) == (action, action != "none")


@pytest.mark.parametrize(("margin", "action"), [(0.0, "none"), (0.05, "refer: uncertain")])
@pytest.mark.parametrize(("distance", "decimals"), [(0.01, {3}), (1e-5, {3, 4, 5}), (1e-9, {7, 8, 9})])
def test_a_reason_tells_the_probability_from_the_threshold(
    bundle_folder: Path, photograph: bytes, distance: float, decimals: set[int], margin: float, action: str
) -> None:
    change(bundle_folder, referable=[4])
    p_referable = Grader(bundle_folder, "float32").grade(photograph, "eye").p_referable
    threshold = p_referable + distance
    grading = Grader(bundle_folder, "float32", margin=margin, threshold=threshold).grade(photograph, "eye")
    assert grading.action == action
    probability, limit = (text for text in re.findall(r"0\.(\d+)", grading.reason) if text != "05")
    assert int(probability) < int(limit) and len(probability) == len(limit)
    assert len(limit) in decimals and f"{threshold:.{len(limit)}f}" == f"0.{limit}"


def test_the_bundle_may_decide_by_the_median(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, decision="median")
    grading = Grader(Bundle.load(bundle_folder), "float32").grade(photograph, "eye")
    cumulative = np.cumsum(by_hand(photograph, "float32"))
    assert grading.grade == CLASSES[int((cumulative < 0.5).sum())]


def test_a_photograph_that_was_cut_short_is_refused(bundle_folder: Path, photograph: bytes) -> None:
    with pytest.raises(KerasDrError, match="truncated"):
        Grader(Bundle.load(bundle_folder)).grade(photograph[: len(photograph) // 2], "eye")


def test_a_bundle_may_seek_no_fundus(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, preprocessing={"size": SIZE, "enhance": "none", "fundus": "none"})
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "x")
    assert np.array_equal(grading.prepared, prepare_image(photograph, Preprocessing(SIZE, fundus="none")))
    assert grading.fundus_found and not grading.faults


@pytest.mark.parametrize("value", [5, -1, math.nan, "0.1", True])
def test_a_margin_or_a_threshold_that_is_no_probability_is_refused(bundle_folder: Path, value: float) -> None:
    with pytest.raises(KerasDrError, match=f"The margin {value!r} is not a probability from 0 to 1"):
        Grader(bundle_folder, margin=value)
    with pytest.raises(KerasDrError, match=f"The threshold {value!r} is not a probability from 0 to 1"):
        Grader(bundle_folder, threshold=value)


def test_a_margin_changes_nothing_where_the_point_has_no_threshold(
    bundle_folder: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(bundle_folder, threshold=1.05, referable=[1])
    assert command.main(["grade", str(bundle_folder), str(camera / "a.jpg"), "--margin", "1"]) == 0
    out = capsys.readouterr().out
    assert "The margin of 1 changes nothing" in out and "; no action. " in out


def test_a_smaller_margin_than_that_of_the_promise_is_refused(bundle_folder: Path) -> None:
    promise = Promise(0.1, 0.95, "patients", 120, 4, "clinic", margin=0.05)
    bundle = Bundle.load(bundle_folder)
    bundle = replace(bundle, points={**bundle.points, "promise-10": OperatingPoint(0.3, promise=promise)})
    with pytest.raises(KerasDrError, match="breaks the promise"):
        Grader(bundle, margin=0.02, operating_point="promise-10")
    assert Grader(bundle, margin=0.08, operating_point="promise-10").margin == 0.08  # refers more, so it holds
    assert Grader(bundle, margin=0.02).margin == 0.02  # the default point promises nothing
