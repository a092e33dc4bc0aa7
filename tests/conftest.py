"""Fixtures shared by the tests: small photographs, prepared sets and one trained run."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_dr import prepared, preparing
from keras_dr.config import Recipe, recipe_from_dict
from keras_dr.datasets import read_records
from keras_dr.preprocessing import Preprocessing
from keras_dr.synthetic import write_dataset

SIZE = 32
pytest_plugins = ["edge_fixtures"]


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """uint8 RGB (120, 160, 3): an orange disc of radius 50 about (80, 60) on black."""
    image = np.zeros((120, 160, 3), np.uint8)
    return cv2.circle(image, (80, 60), 50, (200, 110, 40), -1)


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """File bytes of uint8 or uint16 grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4)."""
    if image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation tag (TIFF 6.0: one short, tag 0x0112)."""
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    body = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + tag + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 60 synthetic photographs with labels.csv and masks."""
    folder = tmp_path_factory.mktemp("synthetic") / "photographs"
    write_dataset(folder, count=60, seed=3, size=(96, 128), workers=1)
    return folder


@pytest.fixture(scope="session")
def prepared_folder(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prepared set of 32-pixel images of these photographs."""
    folder = tmp_path_factory.mktemp("prepared") / "small"
    name, records = read_records(photographs)
    preparing.prepare(records, photographs, folder, Preprocessing(SIZE), dataset=name, workers=0)
    return folder


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """One frozen and two fine-tuning epochs of the tiny backbone."""
    phase = {"epochs": 2, "learning_rate": 1e-3}
    values = {"backbone": "tiny", "weights": "none", "frozen": phase | {"epochs": 1}, "finetune": phase}
    return recipe_from_dict(values)


@pytest.fixture(scope="session")
def run_folder(prepared_folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Run trained by `recipe`."""
    from keras_dr.training import train

    folder = tmp_path_factory.mktemp("runs") / "run"
    train(prepared.load(prepared_folder), folder, recipe)
    return folder
