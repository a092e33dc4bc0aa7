"""The commands as a user types them, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def failed(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 1, done.stderr
    assert message in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_line_from_photographs_to_a_grading(photographs: Path, tmp_path: Path) -> None:
    prepared, run, bundle = (tmp_path / name for name in ("prepared", "run", "bundle"))
    done = cli("prepare", photographs, prepared, "--size", 64)
    assert done.returncode == 0 and done.stderr == "" and f"Result: {prepared}" in done.stdout, done.stderr
    few = ["--set", "frozen.epochs=1", "--set", "finetune.epochs=1"]
    done = cli("train", prepared, run, "--backbone", "tiny", "--weights", "none", *few)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert f"Next:   python cli.py evaluate {run}" in done.stdout
    done = cli("evaluate", run)
    assert done.returncode == 0 and "quadratic kappa" in done.stdout, done.stderr
    assert (run / "evaluation" / "prepared-test" / "metrics.json").is_file()
    done = cli("explain", run, "-n", 3, "--method", "grad-cam", "--method", "grad-cam++")
    assert done.returncode == 0 and "heat inside the fundus" in done.stdout, done.stderr
    assert (run / "explanations" / "prepared-test" / "board-grad-cam++.png").is_file()
    done = cli("export", run, bundle, "--allow-drift")
    assert done.returncode == 0 and "int8" in done.stdout, done.stderr
    done = cli("profile", bundle, "--repeats", 2, "--threads", 1)
    assert done.returncode == 0 and "peak MiB" in done.stdout, done.stderr
    image = next((photographs / "images").iterdir())
    words = [sys.executable, "-m", "edge_demo", "grade", bundle, image, "--variant", "float32"]
    words += ["--heatmap", tmp_path / "o.png", "--json", tmp_path / "o.json"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "referable" in done.stdout, done.stderr
    assert json.loads((tmp_path / "o.json").read_text())["photographs"][0]["probabilities"]


def test_audit_lists_what_two_sets_share(prepared_folder: Path, tmp_path: Path) -> None:
    done = cli("audit", prepared_folder, prepared_folder, "-n", 2, "--out", tmp_path / "copies.csv")
    assert done.returncode == 0 and "60 identical" in done.stdout and "and 118 more" in done.stdout, done.stderr
    assert (tmp_path / "copies.csv").is_file()


def test_show_writes_a_picture(prepared_folder: Path, tmp_path: Path) -> None:
    done = cli("show", prepared_folder, "p0001_left", "--out", tmp_path / "o.png")
    assert done.returncode == 0 and "sharpness" in done.stdout and (tmp_path / "o.png").is_file(), done.stderr
    failed(cli("show", prepared_folder, "nobody"), "manifest.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prepare", "nowhere", "x"), "no such folder"),
        (("prepare", ".", "x", "--size", "9"), "image size"),
        (("prepare", ".", "x", "--task", "five"), "a task among"),
        (("train", "nowhere", "x"), "no such folder"),
        (("audit", "nowhere"), "cli.py prepare"),
        (("evaluate", "nowhere"), "cli.py train"),
        (("profile", "nowhere"), "cli.py export"),
        (("predict", "nowhere", "eye.jpg"), "cli.py export"),
        (("predict", "nowhere", "eye.jpg", "--engine", "onnx"), "an engine among litert, keras"),
        (("profile", "nowhere", "--threads", "abc"), "threads"),
    ],
)
def test_bad_input_gets_one_message(words: tuple[str, ...], message: str) -> None:
    failed(cli(*words), message)


def test_wrong_usage_exits_with_two() -> None:
    assert cli("train").returncode == 2
    assert cli("paint").returncode == 2


def test_a_misspelt_setting_is_named(prepared_folder: Path, tmp_path: Path) -> None:
    failed(cli("train", prepared_folder, tmp_path / "run", "--set", "finetune.epoch=1"), "finetune.epochs?")


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in cli("--debug", "train", "nowhere", "x").stderr
