"""The file for MediaPipe's Image Classifier: what it holds, and that Google's own client reads it."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edge_fixtures import CLASSES, SIZE, convert

from edge_demo.interpreter import load_runner, outputs_of_file
from export.mediapipe_file import to_mediapipe

# Python of an environment with MediaPipe; otherwise the test makes one. It is not this environment, because MediaPipe
# brings an OpenCV that would overwrite ours.
PYTHON = "KERAS_DR_MEDIAPIPE_PYTHON"
CLASSIFY = """
import json, sys
import mediapipe as mp, numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with ImageClassifier.create_from_options(options) as classifier:
    answers = []
    for image in np.load(sys.argv[2]):
        result = classifier.classify(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
        answers.append({one.category_name: one.score for one in result.classifications[0].categories})
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def model() -> bytes:
    return convert(np.linspace(-1, 1, 5).astype(np.float32))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (6, SIZE, SIZE, 3)) * rng.uniform(0.2, 1, (6, 1, 1, 3))).astype(np.uint8)


def test_it_has_one_output_with_the_same_probabilities(model: bytes, images: np.ndarray) -> None:
    runner = load_runner(to_mediapipe(model, CLASSES))
    assert list(runner.get_output_details()) == ["probabilities"]
    assert runner.get_input_details()["image"]["dtype"] == np.uint8
    expected = outputs_of_file(model, images).probabilities
    assert np.array_equal(np.concatenate([runner(image=image[None])["probabilities"] for image in images]), expected)


def test_it_names_the_classes_and_is_always_the_same(model: bytes) -> None:
    file = to_mediapipe(model, CLASSES)
    assert file == to_mediapipe(model, CLASSES) and b"M001" in file
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)


def test_mediapipe_gives_the_same_classes_and_scores(model: bytes, images: np.ndarray, tmp_path: Path) -> None:
    python = os.environ.get(PYTHON)
    if python is None:
        subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
        python = str(tmp_path / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mediapipe==1.2.3"], check=True)
    file = tmp_path / "mediapipe.tflite"
    file.write_bytes(to_mediapipe(model, CLASSES))
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [python, "-c", CLASSIFY, str(file), str(tmp_path / "images.npy")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = outputs_of_file(model, images).probabilities
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(images)
    for answer, probabilities in zip(answers, expected, strict=True):
        assert max(answer, key=answer.__getitem__) == CLASSES[int(probabilities.argmax())]
        assert [answer[name] for name in CLASSES] == pytest.approx(probabilities.tolist(), abs=1e-3)
