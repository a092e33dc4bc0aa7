"""Fixtures shared by the tests: small photographs, prepared sets and one trained run."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import SIZE

import keras_dr as dr
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.preparation.prepare import prepare_records
from keras_dr.synthetic.photographs import write_dataset

pytest_plugins = ["edge_fixtures"]

# The key of patients' hashes is made where it is missing; a test must not write it into the user's own settings.
_SETTINGS = tempfile.TemporaryDirectory(prefix="keras_dr-settings-")
os.environ["XDG_CONFIG_HOME"] = _SETTINGS.name


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """uint8 RGB (120, 160, 3): an orange disc with radius 50 and centre (80, 60) on black."""
    image = np.zeros((120, 160, 3), np.uint8)
    return cv2.circle(image, (80, 60), 50, (200, 110, 40), -1)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 synthetic photographs with labels.csv and masks."""
    folder = tmp_path_factory.mktemp("synthetic") / "photographs"
    write_dataset(folder, count=60, seed=3, size=(96, 128), workers=1)
    return folder


@pytest.fixture(scope="session")
def prepared_folder(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prepared set of 32-pixel images of these photographs."""
    folder = tmp_path_factory.mktemp("prepared") / "small"
    name, records = read_records(photographs)
    prepare_records(records, photographs, folder, Preprocessing(SIZE), dataset=name, workers=0)
    return folder


@pytest.fixture(scope="session")
def recipe() -> dr.Recipe:
    """One frozen and two fine-tuning epochs of the tiny backbone."""
    return dr.Recipe.load(
        backbone="tiny",
        weights="none",
        frozen={"epochs": 1, "learning_rate": 1e-3},
        finetune={"epochs": 2, "learning_rate": 1e-3},
    )


@pytest.fixture(scope="session")
def run_folder(prepared_folder: Path, recipe: dr.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Run trained with `recipe`."""
    return dr.train(prepared_folder, tmp_path_factory.mktemp("runs") / "run", recipe).folder
