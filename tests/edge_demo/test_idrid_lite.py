"""The grader in the box: whole, small, made from the run that lies in the repository, and honest about its training."""

import json
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from edge_demo import __main__ as command
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.core.folders import sha256_of

BUNDLE = ROOT / "edge_demo" / "models" / "idrid-lite"
RUN = ROOT / "models" / "idrid-lite"
EXAMPLES = sorted((ROOT / "edge_demo" / "examples").glob("*.jpg"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has no idrid-lite."""
    monkeypatch.chdir(tmp_path)


def test_it_is_made_from_the_run_in_the_repository() -> None:
    run = json.loads((RUN / "run.json").read_text("utf-8"))
    bundle = json.loads((BUNDLE / "bundle.json").read_text("utf-8"))
    assert bundle["run"]["model_sha256"] == run["model_sha256"] == sha256_of(RUN / "model.keras")
    assert bundle["trained_on"] == {
        "photographs": run["data"]["photographs"]["train"],
        "origin": "one camera in one clinic",
    }
    assert bundle["operating_point"]["value"] == run["operating_point"]["value"]
    assert bundle["parity"]["failures"] == {}
    assert set(bundle["colour_limits"]) == {"red_to_green", "blue_to_green"}


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) < 20 * 2**20


@pytest.mark.parametrize("variant", ["int8", "float32"])
def test_it_grades_the_examples(variant: str) -> None:
    grader = Grader("idrid-lite", variant)
    gradings = {file.name: grader.grade(file) for file in EXAMPLES}
    # IDRiD's grades are moderate, proliferative and no_dr: one of the three is graded too low
    assert {name: grading.grade for name, grading in gradings.items()} == {
        "IDRiD_003.jpg": "moderate",
        "IDRiD_005.jpg": "moderate",
        "IDRiD_138.jpg": "no_dr",
    }
    assert [grading.referred for grading in gradings.values()] == [True, True, False]


def test_it_says_on_what_it_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["grade", "idrid-lite", str(EXAMPLES[0]), "--heatmap", str(tmp_path / "eye.png")]
    assert command.main(words) == 0
    output = capsys.readouterr().out
    assert "Trained on 333 photographs of one camera in one clinic. Research use only" in output
    assert (tmp_path / "eye.png").is_file()


def test_its_points_are_listed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["points", "idrid-lite"]) == 0
    output = capsys.readouterr().out
    assert "default, sensitivity-90, youden, screening: No threshold" in output
    assert (
        "sensitivity-95: Threshold 0.300. On the photographs that chose it, of 100 eyes with referable DR it misses 4 (1 to 13)"
        in output
    )


def test_its_card_names_the_data_and_the_limits() -> None:
    card = (BUNDLE / "MODEL_CARD.md").read_text("utf-8")
    assert "IDRiD" in card and "CC BY 4.0" in card and "Porwal" in card
    assert "not a medical device" in card.lower()


@pytest.mark.slow
def test_its_float32_file_equals_the_keras_model() -> None:
    from keras_dr.models.heads import probabilities
    from keras_dr.training.run import Run

    run = Run.load(RUN)
    grader = Grader("idrid-lite", "float32")
    images = np.stack([grader.grade(file).prepared for file in EXAMPLES])
    expected = probabilities(run.model().predict_on_batch(images.astype(np.float32)), 5, run.temperature)
    actual = np.stack([grader.invoke(image)[0] for image in images])
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_the_bundle_of_the_name_is_the_shipped_one() -> None:
    assert Bundle.load("idrid-lite").folder == BUNDLE
