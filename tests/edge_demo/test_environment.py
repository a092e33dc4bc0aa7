"""The wheel on a device: installed into an empty environment, away from the clone."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from edge_demo.profiler import synthetic_photograph

SIZE = 64
WORKSTATION_ONLY = (
    "tensorflow",
    "keras",
    "tf_keras_vis",
    "sklearn",
    "scipy",
    "matplotlib",
    "pydantic",
    "typer",
    "yaml",
)


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run([str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The scripts of a virtual environment that holds only the wheel and the packages that it needs."""
    scripts = tmp_path / "environment" / "bin"
    for words in (
        (
            sys.executable,
            "-m",
            "build",
            "--quiet",
            "--outdir",
            tmp_path / "dist",
            ROOT,
        ),  # builds the wheel from the sdist
        (sys.executable, "-m", "venv", tmp_path / "environment"),
    ):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    done = run(scripts / "python", "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return scripts


def write_bundle(folder: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.uint8, name="image")])
        def serve(self, image: "tf.Tensor") -> "dict[str, tf.Tensor]":
            blocks = tf.nn.avg_pool2d(tf.cast(image, tf.float32) / 255, 8, 8, "VALID")
            heatmaps = tf.nn.conv2d(blocks, tf.constant([[[[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]]]), 1, "VALID")
            return {"probabilities": tf.nn.softmax(tf.reduce_mean(heatmaps, (1, 2))), "heatmaps": heatmaps}

    model = Model()
    data = tf.lite.TFLiteConverter.from_concrete_functions([model.serve.get_concrete_function()], model).convert()
    folder.mkdir()
    (folder / "float32.tflite").write_bytes(data)
    entry = {"file": "float32.tflite", "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    manifest = {
        "schema_version": 1,
        "kind": "bundle",
        "task": "referable",
        "classes": ["not_referable", "referable"],
        "referable": [1],
        "preprocessing": {"size": SIZE, "enhance": "clahe+ben-graham"},
        "threshold": 0.5,
        "heatmaps": "class evidence",
        "models": {"float32": entry},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.slow
def test_the_wheel_is_a_device(scripts: Path, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.mkdir()
    write_bundle(device / "bundle")
    (device / "eye.jpg").write_bytes(synthetic_photograph())
    outputs = ("--heatmap", "eye.png", "--json", "eye.json")
    done = run(scripts / "keras-dr-edge", "grade", "bundle", "eye.jpg", *outputs, cwd=device)
    assert done.returncode == 0, done.stderr
    (grading,) = json.loads((device / "eye.json").read_text())["photographs"]
    assert grading["grade"] == "referable" and grading["referred"]
    assert (device / "eye.png").stat().st_size > 0
    for package in WORKSTATION_ONLY:
        assert "ModuleNotFoundError" in run(scripts / "python", "-c", f"import {package}", cwd=device).stderr
    code = "import keras_dr as dr; print(dr.Grader('bundle').grade('eye.jpg').grade, dr.__file__)"
    done = run(scripts / "python", "-c", code, cwd=device)
    assert done.stdout.startswith("referable") and str(tmp_path) in done.stdout, done.stderr
    examples = next((scripts.parent / "lib").glob("python*/site-packages/edge_demo/examples"))
    done = run(scripts / "keras-dr-edge", "grade", "idrid-lite", examples, "--heatmap", "maps", cwd=device)
    assert done.returncode == 0, done.stderr
    assert "3 photographs given" in done.stdout and len(list((device / "maps").iterdir())) == 3
    done = run(scripts / "keras-dr-edge", "profile", "bundle", "--threads", "1", "--repeats", "2", cwd=device)
    assert done.returncode == 0, done.stderr
    assert run(scripts / "keras-dr-edge", "--version", cwd=device).stdout.startswith("keras_dr ")
    done = run(scripts / "keras-dr", "--help", cwd=device)
    assert done.returncode == 1 and "keras_dr[train]" in done.stderr
    done = run(scripts / "python", "-c", "import keras_dr; keras_dr.train", cwd=device)
    assert "keras_dr[train]" in done.stderr
    recipes = list((scripts.parent / "lib").glob("python*/site-packages/keras_dr/recipes/*.yaml"))
    assert {file.name for file in recipes} == {file.name for file in (ROOT / "recipes").glob("*.yaml")}
