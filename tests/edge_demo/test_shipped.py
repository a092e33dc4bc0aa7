"""Graders that come with the package are found by name; a path is never mistaken for a name."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_fixtures import change

from edge_demo import __main__ as command
from edge_demo import shipped
from edge_demo.bundle import Bundle
from keras_dr.core.errors import KerasDrError


@pytest.fixture
def shipped_folder(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A bundle that is shipped under its folder's name; the working folder is empty."""
    monkeypatch.setattr(shipped, "_MODELS", bundle_folder.parent)
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return bundle_folder


def test_a_name_stands_for_a_shipped_grader(shipped_folder: Path) -> None:
    assert shipped.shipped_graders() == [shipped_folder.name]
    assert Bundle.load(shipped_folder.name).folder == shipped_folder


def test_an_existing_path_comes_before_the_name(shipped_folder: Path) -> None:
    Path(shipped_folder.name).mkdir()
    with pytest.raises(KerasDrError, match=r"it has no bundle\.json"):
        Bundle.load(shipped_folder.name)


@pytest.mark.parametrize("change_name", [lambda name: f"./{name}", lambda name: f"{name}/", lambda name: name[:-1]])
def test_a_path_that_does_not_exist_is_never_taken_for_a_name(
    shipped_folder: Path, change_name: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["grade", change_name(shipped_folder.name), "eye.jpg"]) == 1
    error = capsys.readouterr().err
    assert "does not exist" in error
    assert f"name a shipped grader: {shipped_folder.name}" in error


def test_a_path_object_is_never_taken_for_a_name(shipped_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="does not exist"):
        Bundle.load(Path(shipped_folder.name))


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [
        ({"photographs": 1}, "trained on 1 photograph"),
        (
            {"photographs": 333, "origin": "one camera in one clinic"},
            "trained on 333 photographs of one camera in one clinic",
        ),
        (
            {"photographs": 20, "other_graders": True},
            "trained on 20 photographs, and learned from other graders",
        ),
    ],
)
def test_a_bundle_says_what_its_grader_was_trained_on(bundle_folder: Path, trained_on: dict, words: str) -> None:
    change(bundle_folder, trained_on=trained_on)
    assert Bundle.load(bundle_folder).trained_on == words


def test_every_answer_says_what_the_grader_was_trained_on(
    bundle_folder: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(bundle_folder, trained_on={"photographs": 333, "origin": "one camera in one clinic"})
    words = "trained on 333 photographs of one camera in one clinic"
    outputs = ["--json", str(tmp_path / "out.json"), "--csv", str(tmp_path / "out.csv")]
    command.main(["grade", str(bundle_folder), str(camera / "a.jpg"), *outputs])
    assert f"\nTrained{words[7:]}. Research use only" in capsys.readouterr().out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["notice"].startswith(f"Trained{words[7:]}.")
    assert content["photographs"][0]["trained_on"] == words
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0]["trained_on"] == words
    command.main(["watch", str(bundle_folder), str(camera / "left"), "--once"])
    assert f"Trained{words[7:]}. Research use only" in capsys.readouterr().out
    line = json.loads((camera / "left" / "gradings.jsonl").read_text())
    assert line["trained_on"] == words
