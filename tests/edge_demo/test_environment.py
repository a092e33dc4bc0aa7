"""edge_demo as a device has it: a fresh virtual environment, and only the files that requirements.txt names."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from edge_demo.profiler import synthetic_photograph

SIZE = 64
KERAS_DR = (
    "__init__",
    "decision",
    "decoding",
    "errors",
    "fundus",
    "image_files",
    "overlay",
    "preprocessing",
    "quality",
    "runs",
    "truncation",
)


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run([str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A folder with the files that a device needs."""
    folder = tmp_path / "device"
    shutil.copytree(ROOT / "edge_demo", folder / "edge_demo", ignore=lambda _, names: set(names) - only_python(names))
    (folder / "keras_dr").mkdir()
    for name in KERAS_DR:
        shutil.copy(ROOT / "keras_dr" / f"{name}.py", folder / "keras_dr" / f"{name}.py")
    return folder


def only_python(names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".py")}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a virtual environment that holds edge_demo/requirements.txt and nothing else."""
    folder = tmp_path / "environment"
    python = folder / "bin" / "python"
    for words in (
        (sys.executable, "-m", "venv", folder),
        (python, "-m", "pip", "install", "-q", "-r", ROOT / "edge_demo" / "requirements.txt"),
    ):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return python


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
def test_a_device_grades_without_tensorflow(python: Path, device: Path) -> None:
    write_bundle(device / "bundle")
    (device / "eye.jpg").write_bytes(synthetic_photograph())
    outputs = ("--heatmap", "eye.png", "--json", "eye.json")
    done = run(python, "-m", "edge_demo", "grade", "bundle", "eye.jpg", *outputs, cwd=device)
    assert done.returncode == 0, done.stderr
    (grading,) = json.loads((device / "eye.json").read_text())["photographs"]
    assert grading["grade"] == "referable" and grading["referred"]
    assert (device / "eye.png").stat().st_size > 0
    for package in ("tensorflow", "keras", "sklearn", "matplotlib", "pydantic"):
        assert "ModuleNotFoundError" in run(python, "-c", f"import {package}", cwd=device).stderr
    done = run(python, "-m", "edge_demo", "profile", "bundle", "--threads", "1", "--repeats", "2", cwd=device)
    assert done.returncode == 0, done.stderr
