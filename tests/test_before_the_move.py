"""What the code wrote before its modules moved into packages still loads, goes on, and gives the same numbers.

tests/data/before_the_move/make.py says what lies in the archive.
"""

import csv
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

# all that this file knows of the modules
from cli import app
from edge_demo.__main__ import main as device
from keras_dr.core.folders import versions
from keras_dr.preparation.prepared_set import PreparedSet

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "before_the_move"
EXPECTED = json.loads((DATA / "expected.json").read_text("utf-8"))
PLACE = "<the folder work>"  # what the archive has in place of its path
THEN = 978_307_200  # when every file in it was last changed: the first second of 2001
HOUR_S = 3600
VARYING = ("versions", "model_sha256", "predictions_sha256")  # with the libraries and the processor
# Since then, a photograph is also referred by its grade and within the margin, so these are others by intention.
DECIDED = (
    "referred",
    "action",
    "operating_point",
    "operating_points",
    "sensitivity_float",
    "sensitivity_variant",
    "specificity_float",
    "specificity_variant",
    "per_patient",
    "ungradable",
    "bands",
    "subgroups",
)
pytestmark = pytest.mark.slow  # together under a minute and a half


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands were given, with the times of change, made the current one."""
    with tarfile.open(DATA / "work.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    replace_in(tmp_path / ".graded.csv.partial.json", PLACE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert is_old(tmp_path / "photographs" / "labels.csv")
    return tmp_path


def replace_in(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")


def is_old(file: Path) -> bool:
    """Whether nobody has written the file since it came out of the archive."""
    return file.stat().st_mtime == THEN


def command(*words: object) -> None:
    assert not app(list(map(str, words)), standalone_mode=False), words


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_rows(found: list[dict[str, str]], expected: list[dict[str, str]], tolerance: float = 1e-6) -> None:
    """Equal in their texts, and within `tolerance` where both are numbers with a fraction."""
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert_same(dict(row), wanted, tolerance)


def assert_same(found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Equal JSON values, numbers within `tolerance`; keys may have come in since, and what is VARYING may differ."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, key
            if key not in VARYING and key not in DECIDED:
                assert_same(found[key], value, tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, wanted in zip(found, expected, strict=True):
            assert_same(one, wanted, tolerance)
    elif is_number(expected):
        assert float(found) == pytest.approx(float(expected), abs=tolerance, rel=tolerance)
    else:
        assert found == expected


def is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.count(".") == 1 and value.replace(".", "").replace("e-", "").isdecimal()
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def test_the_prepared_set_holds_the_same_rows_and_pixels(work: Path) -> None:
    data = PreparedSet.load(work / "set")
    assert_same_rows(data.rows, EXPECTED["rows"])
    for split, wanted in EXPECTED["pixels"].items():
        assert hashlib.sha256(data.split(split).images().tobytes()).hexdigest() == wanted


@pytest.mark.parametrize("run", EXPECTED["runs"])
def test_a_run_predicts_the_same(run: str, work: Path) -> None:
    """Predictions and every figure of `evaluate`: of softmax, ordinal, one of two folds, and their ensemble."""
    evaluated(work / run, EXPECTED["runs"][run])


def evaluated(run: Path, expected: dict[str, Any], tolerance: float = 1e-6) -> None:
    split = expected["split"]
    command("evaluate", run, "--split", split)
    folder = run / "evaluation" / f"set-{split}"
    assert_same_rows(rows_of(folder / "predictions.csv"), expected["rows"], tolerance)
    assert_same(json.loads((folder / "metrics.json").read_text("utf-8")), expected["figures"], tolerance)


def test_the_folds_become_the_same_ensemble(work: Path) -> None:
    command("ensemble", "again", "folds")
    found, wanted = (json.loads((work / run / "run.json").read_text("utf-8")) for run in ("again", "ensemble"))
    assert [one["model_sha256"] for one in found["members"]] == [one["model_sha256"] for one in wanted["members"]]
    for key in ("temperature", "validation", "parameters"):
        assert_same(found[key], wanted[key])


@pytest.mark.parametrize("variant", EXPECTED["device"])
def test_a_device_says_the_same(variant: str, work: Path) -> None:
    expected = EXPECTED["device"][variant]
    words = ["grade", "bundle", *(row["path"] for row in expected), "--variant", variant]
    assert device([*words, "--csv", "out.csv"]) == 0
    assert_same_rows(rows_of(work / "out.csv"), expected)


def test_prepare_goes_on(work: Path) -> None:
    begun = sorted(file.name for file in (work / ".again.partial" / "images").iterdir())
    assert len(begun) == 25
    command("prepare", "photographs", "again", "--size", 64, "--workers", 1)
    images = sorted((work / "again" / "images").iterdir())
    assert [image.name for image in images if is_old(image)] == begun and len(images) == 40
    found, wanted = content(work / "again"), content(work / "set")
    assert {name for name in wanted if found[name] != wanted[name]} <= {"prepared.json"}
    assert_same(json.loads(found["prepared.json"]), json.loads(wanted["prepared.json"]))


def test_train_goes_on(work: Path) -> None:
    """In the second of two epochs of fine-tuning, after two of its three steps; its state says that it took an hour."""
    state = work / ".trained.partial" / "checkpoints" / "state.json"
    stood = json.loads(state.read_text("utf-8"))
    assert (stood["phase"], stood["epoch"], stood["step"]) == ("finetune", 1, 2)
    state.write_text(json.dumps(stood | {"seconds": HOUR_S}))
    settings = json.loads((work / ".trained.partial.json").read_text("utf-8"))["recipe"]
    (work / "recipe.yaml").write_text(json.dumps(settings))  # YAML reads JSON
    command("train", "set", "trained", "--recipe", "recipe.yaml")
    assert is_old(work / "trained" / "frozen.keras")
    about = json.loads((work / "trained" / "run.json").read_text("utf-8"))
    assert HOUR_S < about["phases"]["finetune"]["seconds"] < 2 * HOUR_S
    assert_same_rows(rows_of(work / "trained" / "history.csv"), rows_of(work / "softmax" / "history.csv"), 1e-5)
    evaluated(work / "trained", EXPECTED["runs"]["softmax"], 1e-5)


def test_export_goes_on(work: Path) -> None:
    plan = work / ".exported.partial.json"
    plan.write_text(as_plan(json.loads(plan.read_text("utf-8")) | {"versions": versions()}), "utf-8")
    command("export", "softmax", "exported", "--allow-drift")
    assert is_old(work / "exported" / "float32.tflite") and not is_old(work / "exported" / "int8.tflite")
    parity = [json.loads((work / bundle / "parity.json").read_text("utf-8")) for bundle in ("exported", "bundle")]
    assert_same(*parity, 1e-5)
    for bundle in ("exported", "bundle"):
        command("predict", bundle, "photographs/images", "--out", f"{bundle}.csv")
        assert_same_rows(rows_of(work / f"{bundle}.csv"), EXPECTED["graded"])


def as_plan(plan: dict[str, Any]) -> str:
    """As it is written beside what grows: others are not gone on with."""
    return json.dumps(plan, indent=1, sort_keys=True)


def test_predict_on_a_cluster_goes_on(work: Path) -> None:
    """In the second of two parts; photographs that had been graded are gone, so they would fail if graded again."""
    pytest.importorskip("ray")
    for row in EXPECTED["graded"][: 32 + 3]:
        (work / row["path"]).unlink()
    words = ["predict", "bundle", "photographs/images", "--engine", "ray", "--workers", "1", "--out", "graded.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words], cwd=work, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert is_old(work / "graded.csv" / "part-000000.csv")
    parts = sorted((work / "graded.csv").glob("part-*.csv"))
    rows = [{key: row[key] for key in EXPECTED["graded"][0]} for part in parts for row in rows_of(part)]
    assert len(parts) == 2
    assert_same_rows(rows, EXPECTED["graded"])
