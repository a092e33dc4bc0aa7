"""The commands as a user types them, each in a process of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from keras_dr.recipe import Recipe


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def failed(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 1, done.stderr
    assert message in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_all_steps_from_photographs_to_a_grading(photographs: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    run = tmp_path / "run"
    bundle = tmp_path / "bundle"
    done = cli("prepare", photographs, prepared, "--size", 64)
    assert done.returncode == 0 and done.stderr == "" and f"Result: {prepared}" in done.stdout, done.stderr
    few = ["--set", "frozen.epochs=1", "--set", "finetune.epochs=1"]
    done = cli("train", prepared, run, "--backbone", "tiny", "--weights", "none", *few)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert f"Next:   python cli.py evaluate {run}" in done.stdout
    done = cli("evaluate", run)
    assert done.returncode == 0 and "quadratic kappa" in done.stdout, done.stderr
    assert (run / "evaluation" / "prepared-test" / "report.html").is_file() and (run / "MODEL_CARD.md").is_file()
    copy = shutil.copytree(run, tmp_path / "copy")
    done = cli("compare", run, copy, "--out", tmp_path / "compared")
    assert done.returncode == 0 and "No difference excludes zero" in done.stdout, done.stderr
    assert (tmp_path / "compared" / "curves.png").is_file()
    done = cli("export", run, bundle, "--allow-drift")
    assert done.returncode == 0 and "int8" in done.stdout, done.stderr
    both = ["--method", "grad-cam", "--method", "grad-cam++"]
    done = cli("explain", run, "-n", 3, *both, "--bundle", bundle, "--sanity", 2)
    assert done.returncode == 0 and "heat outside the fundus" in done.stdout, done.stderr
    assert "Heat maps of the bundle" in done.stdout and "Spearman" in done.stdout, done.stdout
    assert (run / "explanations" / "prepared-test" / "board-grad-cam++.png").is_file()
    done = cli("explain", run, "--id", "p0001_left", "--method", "grad-cam")
    assert done.returncode == 0 and "grade after blurring the hottest" in done.stdout, done.stderr
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
        (("prepare", "nowhere", "x"), "no folder or file"),
        (("prepare", ".", "x", "--size", "9"), "image size"),
        (("prepare", ".", "x", "--task", "five"), "no task 'five'. Known are"),
        (("prepare", ".", "x", "--engine", "dask"), "is not one of local, ray"),
        (("train", "nowhere", "x"), "does not exist"),
        (("audit", "nowhere"), "keras-dr prepare"),
        (("evaluate", "nowhere"), "keras-dr train"),
        (("compare", "nowhere"), "two or more runs"),
        (("compare", "nowhere", "nobody"), "keras-dr train"),
        (("profile", "nowhere"), "keras-dr export"),
        (("predict", "nowhere", "eye.jpg"), "keras-dr export"),
        (("predict", "nowhere", "eye.jpg", "--engine", "onnx"), "is not one of litert, keras"),
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


def test_recipe_show_prints_what_train_reads(tmp_path: Path) -> None:
    done = cli("recipe", "show", "--recipe", ROOT / "recipes" / "idrid.yaml", "--set", "seed=7")
    assert done.returncode == 0, done.stderr
    (tmp_path / "shown.yaml").write_text(done.stdout)
    assert Recipe.load(tmp_path / "shown.yaml") == Recipe.load(ROOT / "recipes" / "idrid.yaml", ["seed=7"])


def test_recipe_check_names_the_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("finetune:\n  epoch: 3\n")
    done = cli("recipe", "check", ROOT / "recipes" / "idrid.yaml", tmp_path / "bad.yaml")
    good, bad = done.stdout.splitlines()
    assert done.returncode == 1 and good.endswith("idrid.yaml: ok") and "Did you mean finetune.epochs?" in bad


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in cli("--debug", "train", "nowhere", "x").stderr
