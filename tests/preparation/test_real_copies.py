"""Copies in the real data sets, compared with counts that do not use the code of `prepare`."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from places import SHARED

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.preparation.prepare import prepare_records

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not at hand")]
Sides = dict[str, list[str]]  # hash of the published pixels -> the splits of their photographs


def idrid(folder: Path) -> Sides:
    sides: Sides = {}
    for file in sorted((folder / "B. Disease Grading").rglob("*.jpg")):
        pixels = hashlib.sha256(cv2.imread(str(file)).tobytes()).hexdigest()
        sides.setdefault(pixels, []).append("test" if "Testing" in str(file) else "train")
    return sides


def medmnist(file: Path) -> Sides:
    sides: Sides = {}
    with np.load(file) as arrays:
        for split in ("train", "val", "test"):
            for image in arrays[f"{split}_images"]:
                sides.setdefault(hashlib.sha256(image.tobytes()).hexdigest(), []).append(split)
    return sides


def chest(folder: Path) -> Sides:
    sides: Sides = {}
    for file in (folder / "images").iterdir():
        sides.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), []).append("")
    return sides


@pytest.mark.parametrize(
    ("source", "count", "size", "copies", "leaks"),
    [
        ("idrid", idrid, 224, 6, 1),
        ("idrid", idrid, 28, 6, 1),
        ("medmnist/retinamnist.npz", medmnist, 32, 0, 0),
        ("medmnist/pneumoniamnist.npz", medmnist, 32, 29, 10),
        ("chest_xray", chest, 64, 0, 0),
    ],
)
def test_copies_and_leaks_are_those_of_an_independent_count(
    tmp_path: Path, source: str, count, size: int, copies: int, leaks: int
) -> None:
    name, records = read_records(SHARED / source)
    about = prepare_records(records, SHARED / source, tmp_path / "set", Preprocessing(size), dataset=name)
    sides = count(SHARED / source)
    judged = [
        (splits, max(("train", "val", "test").index(side or "train") for side in splits)) for splits in sides.values()
    ]
    assert about["duplicates"] == sum(len(splits) - 1 for splits in sides.values()) == copies
    leaking = sum(
        sum(("train", "val", "test").index(side or "train") < most for side in splits) for splits, most in judged
    )
    assert about["leaks"] == leaking == leaks
    if source == "idrid":
        assert about["near_duplicates"] == 1  # 013 and 397: one photograph, the second darkened
