from pathlib import Path

import numpy as np
import pytest
from layouts import put
from places import SHARED

from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import decode_rgb
from keras_dr.datasets import read_records
from keras_dr.datasets.records import SPLITS, read_bytes

needs_medmnist = pytest.mark.skipif(not (SHARED / "medmnist").is_dir(), reason="MedMNIST is not at hand")


def save(file: Path, shape: tuple[int, ...] = (4, 28, 28, 3), **replaced: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    arrays = {f"{split}_images": rng.integers(0, 256, shape, np.uint8) for split in SPLITS}
    arrays |= {f"{split}_labels": np.arange(len(arrays["train_images"]), dtype=np.uint8)[:, None] for split in SPLITS}
    np.savez(file, **(arrays | replaced))
    return arrays | replaced


@pytest.mark.parametrize("shape", [(4, 28, 28, 3), (4, 30, 28)])
def test_photographs_are_the_arrays_own_pixels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    arrays = save(tmp_path / "retinamnist.npz", shape)
    name, records = read_records(tmp_path)
    assert name == "medmnist"
    assert [(r.image_id, r.grade, r.split) for r in records[4:6]] == [("val_00000", 0, "val"), ("val_00001", 1, "val")]
    for record in records:
        expected = arrays[f"{record.split}_images"][int(record.image_id[-5:])]
        decoded = decode_rgb(read_bytes(record))
        assert np.array_equal(decoded, expected if expected.ndim == 3 else np.dstack([expected] * 3))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("pneumoniamnist", ["normal", "pneumonia", "2", "3"]),
        ("pneumoniamnist_64", ["normal", "pneumonia", "2", "3"]),
        ("bloodmnist", list("0123")),
    ],
)
def test_other_sets_name_classes_not_grades(tmp_path: Path, name: str, labels: list[str]) -> None:
    save(tmp_path / f"{name}.npz")
    records = read_records(tmp_path / f"{name}.npz")[1]
    assert [record.label for record in records[:4]] == labels
    assert {record.grade for record in records} == {None}


@pytest.mark.parametrize(
    "replaced",
    [
        {"val_images": np.zeros((4, 28, 28, 28), np.uint8)},
        {"val_images": np.zeros((4, 28, 28), np.float32)},
        {"val_labels": np.zeros((4, 14), np.uint8)},
        {"val_labels": np.zeros((3, 1), np.uint8)},
        {"val_labels": np.zeros((4, 1), np.float32)},
        {"val_labels": np.full((4, 1), -1)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, replaced: dict[str, np.ndarray]) -> None:
    save(tmp_path / "x.npz", **replaced)
    with pytest.raises(KerasDrError, match="one per image"):
        read_records(tmp_path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "x.npz", train_labels=np.array([{"a": 1}] * 4, object))
    with pytest.raises(KerasDrError, match="allow_pickle=False"):
        read_records(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "x.npz", content)
    with pytest.raises(KerasDrError, match=r"Download|array"):
        read_records(tmp_path)


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez_compressed(file, train_labels=np.arange(1000))
    content = bytearray(file.read_bytes())
    content[80:120] = bytes(40)
    put(file, bytes(content))
    with pytest.raises(KerasDrError, match="Download"):
        read_records(tmp_path)


def test_an_archive_without_splits_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros(3))
    with pytest.raises(KerasDrError, match="train_labels"):
        read_records(tmp_path)


@needs_medmnist
@pytest.mark.parametrize(
    ("name", "sizes", "labels"),
    [("retinamnist", [1080, 120, 400], {0, 1, 2, 3, 4}), ("pneumoniamnist", [4708, 524, 624], {"normal", "pneumonia"})],
)
def test_the_real_files_have_their_official_splits(name: str, sizes: list[int], labels: set[object]) -> None:
    _, records = read_records(SHARED / "medmnist" / f"{name}.npz")
    assert [sum(record.split == split for record in records) for split in SPLITS] == sizes
    assert {record.label or record.grade for record in records} == labels
    assert decode_rgb(read_bytes(records[-1])).shape == (28, 28, 3)
