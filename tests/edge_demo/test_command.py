"""python -m edge_demo grade: its results, and its messages."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_fixtures import CLASSES, by_hand, change
from places import ROOT

from edge_demo import __main__ as command
from edge_demo import grade_command
from edge_demo.arguments import parser
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.grading import Grading
from edge_demo.results import encode_outcomes
from keras_dr.core.errors import KerasDrError


def test_cli_missing_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["grade", str(tmp_path / "none"), "eye.jpg"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: The bundle folder")
    assert error.count("\n") == 1


def test_cli_folder_with_an_unreadable_photograph(
    bundle_folder: Path, camera: Path, tmp_path: Path, photograph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {name: tmp_path / name for name in ("heatmaps", "out.json", "out.csv")}
    words = ["--heatmap", outputs["heatmaps"], "--json", outputs["out.json"], "--csv", outputs["out.csv"]]
    assert command.main(["grade", str(bundle_folder), str(camera), *map(str, words)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {camera / 'broken.png'}: The file is a text file")
    assert f"{camera / 'a.jpg'}: proliferative; refer: by grade. The grade proliferative is referable." in out
    assert "not a medical device" in out

    content = json.loads(outputs["out.json"].read_text())
    assert [Path(entry["path"]).name for entry in content["photographs"]] == ["a.jpg", "a.JPG"]
    assert [Path(entry["path"]).name for entry in content["failures"]] == ["broken.png"]
    assert (content["variant"], content["threshold"], content["referable"]) == ("int8", 0.5, list(CLASSES[2:]))

    rows = list(csv.DictReader(outputs["out.csv"].read_text().splitlines()))
    assert [(row["image_id"], bool(row["error"])) for row in rows] == [("a", False), ("broken", True), ("a", False)]
    probabilities = [float(rows[0][f"p_{name}"]) for name in CLASSES]
    np.testing.assert_allclose(probabilities, by_hand(photograph, "int8"), atol=1e-6)
    assert (rows[0]["prediction"], rows[0]["referred"]) == ("proliferative", "1")
    assert sorted(file.name for file in outputs["heatmaps"].iterdir()) == ["a-2.png", "a.png"]


@pytest.mark.parametrize("table", [[], ["--csv", "t.xlsx"]])
def test_cli_refuses_options_of_a_csv_file_without_one(table: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["grade", "bundle", "eye.jpg", *table, "--excel", "--separator", "tab"]) == 1
    assert "--excel and --separator would have no effect, because no CSV file is written" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["-3", "nan", "much"])
def test_cli_refuses_a_budget_that_is_no_number_of_0_or_more(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["profile", "bundle", f"--budget-ms={budget}"])
    assert f"{budget!r} is not a number of 0 or more" in capsys.readouterr().err


def test_cli_takes_the_option_of_predict_for_heat_maps() -> None:
    assert parser().parse_args(["grade", "bundle", "eye.jpg", "--heatmaps", "maps"]).heatmap == Path("maps")


def test_cli_one_photograph_one_heat_map_file(bundle_folder: Path, camera: Path, tmp_path: Path) -> None:
    words = [str(bundle_folder), str(camera / "a.jpg"), "--variant", "float32", "--threads", "1"]
    assert command.main(["grade", *words, "--heatmap", str(tmp_path / "map.png")]) == 0
    assert cv2.imread(str(tmp_path / "map.png")).shape[1] >= 900  # the photograph and the result in words


def test_cli_never_draws_over_a_photograph(bundle_folder: Path, camera: Path) -> None:
    before = (camera / "broken.png").read_bytes()
    assert command.main(["grade", str(bundle_folder), str(camera), "--heatmap", str(camera)]) == 1
    assert (camera / "broken.png").read_bytes() == before
    assert not (camera / "a.png").exists()


def test_cli_results_are_refused_a_missing_folder_before_any_work(
    bundle_folder: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(bundle_folder), str(camera), "--json", str(tmp_path / "none" / "out.json")]
    assert command.main(["grade", *words]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--json", "photographs/a.jpg"], "must have one of the suffixes"),
        (["--heatmap", "photographs/a.jpg"], "a file has that name"),
        (["--json", "bundle/bundle.json"], "inside bundle, an input"),
        (["--csv", "bundle/new.csv"], "inside bundle, an input"),
        (["--csv", "r.x"], "must have one of the suffixes"),
        (["--json", "maps.json", "--heatmap", "maps.json"], "the folder of the heat maps"),
        (["--csv", "folder.csv"], "is an existing folder"),
    ],
)
def test_cli_a_result_never_replaces_anything_else(
    bundle_folder: Path,
    camera: Path,
    words: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(bundle_folder.parent)
    Path("folder.csv").mkdir()
    before = {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()}
    assert command.main(["grade", "bundle", "photographs", *words]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err
    assert {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("fault", [cv2.error("too\nlarge"), MemoryError("too large")])
def test_cli_one_photograph_that_cannot_be_held_does_not_end_the_others(
    bundle_folder: Path,
    camera: Path,
    fault: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grade = Grader.grade

    def fail(grader: Grader, photograph: Path) -> object:
        if photograph.name == "a.jpg":
            raise fault
        return grade(grader, photograph)

    monkeypatch.setattr(Grader, "grade", fail)
    assert command.main(["grade", str(bundle_folder), str(camera)]) == 1
    out, err = capsys.readouterr()
    assert f"{camera / 'left' / 'a.JPG'}: proliferative" in out
    assert f"{camera / 'a.jpg'}: The photograph cannot be prepared here: " in err
    assert ": too large. Reduce" in err


def test_cli_results_that_cannot_be_written(
    bundle_folder: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(camera / "note.txt" / "maps")
    words = [str(bundle_folder), str(camera / "a.jpg"), "--heatmap", file]
    assert command.main(["grade", *words]) == 1
    assert f"{file} cannot be written: Not a directory. Choose" in capsys.readouterr().err


@pytest.mark.parametrize("command_words", [["grade", "eye.jpg"], ["profile"]])
def test_cli_tries_to_write_before_the_work(
    bundle_folder: Path, command_words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / f"{'a' * 248}.json"  # no room for the temporary name; also refused where permissions do not count
    name, *rest = command_words
    assert command.main([name, str(bundle_folder), *rest, "--json", str(file)]) == 1
    out, err = capsys.readouterr()
    assert not out and f"The result {file} cannot be written: " in err


def test_cli_one_table_that_cannot_be_written_does_not_cost_the_other(
    bundle_folder: Path,
    camera: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(grade_command, "write_json", full)
    words = ["--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")]
    assert command.main(["grade", str(bundle_folder), str(camera / "a.jpg"), *words]) == 1
    out, err = capsys.readouterr()
    assert f"{tmp_path / 'r.json'} cannot be written: No space left on device." in err
    assert f"Wrote {tmp_path / 'r.csv'}" in out and "r.json" not in out
    assert "proliferative" in (tmp_path / "r.csv").read_text()


def test_cli_a_heat_map_that_cannot_be_written_costs_no_grading(
    bundle_folder: Path,
    camera: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise KerasDrError("The heat map cannot be written: No space left on device.", "Free some.")

    monkeypatch.setattr(Grading, "save_picture", full)
    words = [str(camera / "a.jpg"), "--heatmap", str(tmp_path / "map.png"), "--csv", str(tmp_path / "r.csv")]
    assert command.main(["grade", str(bundle_folder), *words]) == 1
    out, err = capsys.readouterr()
    assert "No space left" in err and "a.jpg: proliferative" in out and " 0 failed" in out
    assert "proliferative" in (tmp_path / "r.csv").read_text() and "map.png" not in out


def test_cli_ctrl_c_writes_what_was_graded(
    bundle_folder: Path,
    camera: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grade = Grader.grade

    def interrupted(grader: Grader, photograph: Path) -> object:
        if photograph.name == "a.JPG":
            raise KeyboardInterrupt
        return grade(grader, photograph)

    monkeypatch.setattr(Grader, "grade", interrupted)
    results = ["--csv", str(tmp_path / "r.csv"), "--json", str(tmp_path / "r.json")]
    assert command.main(["grade", str(bundle_folder), str(camera), *results]) == 130
    assert "interrupted: 2 of 3 photographs are done" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [row["image_id"] for row in rows] == ["a", "broken"]
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"]
    before = (tmp_path / "r.csv").read_bytes()
    assert command.main(["grade", str(bundle_folder), str(camera / "left" / "a.JPG"), *results]) == 130
    assert (tmp_path / "r.csv").read_bytes() == before  # not replaced by an empty table


def test_cli_a_class_named_referable_has_one_column(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, classes=["a", "b", "c", "d", "referable"], referable=[4])
    bundle = Bundle.load(bundle_folder)
    grading = Grader(bundle).grade(photograph, "eye.jpg")
    (row,) = csv.reader(encode_outcomes(bundle, [grading]).decode().splitlines()[:1])
    assert row.count("p_referable") == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["grade"],
        ["grade", "bundle"],
        ["grade", "bundle", "eye.jpg", "--threads", "100000"],
        ["grade", "bundle", "eye.jpg", "--threads", "1,2"],
        ["profile", "bundle", "--threads", "0"],
        ["profile", "bundle", "--threads", "1,100000"],
    ],
)
def test_cli_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(words)
    assert stopped.value.code == 2


def test_cli_an_unforeseen_error_is_one_line_and_debug_raises_it(
    bundle_folder: Path, camera: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Grader, "invoke", fail)
    words = ["grade", str(bundle_folder), str(camera)]
    assert command.main(words) == 1
    assert capsys.readouterr().err == "error: RuntimeError: no memory. Pass --debug to see the traceback.\n"
    with pytest.raises(RuntimeError):
        command.main([*words, "--debug"])


def test_grading_needs_none_of_the_training_packages(bundle_folder: Path, camera: Path) -> None:
    blocked = ("tensorflow", "keras", "sklearn", "matplotlib", "pydantic", "typer", "yaml", "scipy")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from edge_demo import __main__ as command, measurement, profiler\n"
        "assert 'ai_edge_litert' not in sys.modules\n"
        f"sys.exit(command.main(['grade', {str(bundle_folder)!r}, {str(camera / 'a.jpg')!r}]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "proliferative" in done.stdout
