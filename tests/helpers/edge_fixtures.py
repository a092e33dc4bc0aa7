"""A bundle whose models are small enough to work out by hand, and photographs as a camera leaves them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from edge_demo import profiler
from keras_dr.core.preprocessing import Preprocessing, prepare_image

SIZE = 64
CLASSES = ("no_dr", "mild", "moderate", "severe", "proliferative")
KERNEL = np.array([[1, -2, 3, 0, 1], [0, 2, -1, 1, 0], [-1, 1, 0, 2, -3]], np.float32)  # RGB means -> logits
BIAS = {"float32": np.zeros(5, np.float32), "int8": np.array([0, 0, 0, 0, 9], np.float32)}  # tells which one ran


def convert(bias: np.ndarray) -> bytes:
    """A TFLite model: mean of each 8x8 block, 1x1 convolution (the heat maps), their mean plus bias, softmax."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.uint8, name="image")])
        def serve(self, image: "tf.Tensor") -> "dict[str, tf.Tensor]":
            blocks = tf.nn.avg_pool2d(tf.cast(image, tf.float32) / 255, 8, 8, "VALID")
            heatmaps = tf.nn.conv2d(blocks, tf.constant(KERNEL[None, None]), 1, "VALID")
            logits = tf.reduce_mean(heatmaps, (1, 2)) + tf.constant(bias)
            return {"probabilities": tf.nn.softmax(logits), "heatmaps": heatmaps}

    model = Model()
    return tf.lite.TFLiteConverter.from_concrete_functions([model.serve.get_concrete_function()], model).convert()


@pytest.fixture(scope="session")
def models() -> dict[str, bytes]:
    return {variant: convert(bias) for variant, bias in BIAS.items()}


@pytest.fixture
def bundle_folder(tmp_path: Path, models: dict[str, bytes]) -> Path:
    return write_bundle(tmp_path / "bundle", models)


def write_bundle(folder: Path, models: dict[str, bytes]) -> Path:
    folder.mkdir()
    entries = {}
    for name, data in models.items():
        (folder / f"{name}.tflite").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries[name] = {"file": f"{name}.tflite", "sha256": digest, "size_bytes": len(data)}
    manifest = {
        "schema_version": 1,
        "versions": {},
        "kind": "bundle",
        "task": "icdr",
        "classes": CLASSES,
        "referable": [2, 3, 4],
        "preprocessing": {"size": SIZE, "enhance": "none"},
        "threshold": 0.5,
        "temperature": 1.0,
        "heatmaps": "class evidence",
        "models": entries,
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def change(folder: Path, **values: object) -> None:
    """Change keys of bundle.json; None removes one."""
    manifest = json.loads((folder / "bundle.json").read_text()) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    (folder / "bundle.json").write_text(json.dumps(kept))


def spoil(folder: Path, variant: str = "int8") -> None:
    """Put a file that ends the runtime in a model's place, with its own hash."""
    data = b"\x1c\0\0\0TFL3" + b"\xff" * 60
    (folder / f"{variant}.tflite").write_bytes(data)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["models"][variant] |= {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    (folder / "bundle.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def photograph() -> bytes:
    return profiler.synthetic_photograph()


@pytest.fixture
def camera(tmp_path: Path, photograph: bytes) -> Path:
    """A folder with two photographs, one unreadable one, a note, and a hidden file."""
    folder = tmp_path / "photographs"
    (folder / "left").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(photograph)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "left" / "a.JPG").write_bytes(photograph)
    (folder / "note.txt").write_text("not an image")
    (folder / "._a.jpg").write_bytes(b"left by a file manager")
    return folder


def by_hand(photograph: bytes, variant: str) -> np.ndarray:
    image = prepare_image(photograph, Preprocessing(SIZE, "none"))
    logits = image.mean((0, 1)) / 255 @ KERNEL + BIAS[variant]
    return np.exp(logits) / np.exp(logits).sum()
