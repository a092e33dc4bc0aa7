"""A set of odd files: those that show an eye are prepared, each other one is rejected with its cause."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_files import READ, REFUSED, TWO_EYES, deep
from preparation import SPEC, prepare, read_csv

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.synthetic.photographs import synthesise

OTHERS = 20


def write_set(folder: Path, files: dict[str, bytes]) -> Path:
    """A set of these files and of `OTHERS` photographs of other eyes, without which no split could be cut."""
    folder.mkdir()
    names = list(files)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for number in range(OTHERS):
        names.append(f"other {number}.png")
        image = synthesise(100 + number, number % 5, "left", (96, 128)).image
        cv2.imwrite(str(folder / names[-1]), image[..., ::-1])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "grade"), *((name, index % 2) for index, name in enumerate(names))])
    return folder


def numbered(files: dict[str, bytes]) -> dict[str, bytes]:
    """With a number before each name: two photographs of a set may not differ in their suffix alone."""
    return {f"{number} {name}": data for number, (name, data) in enumerate(files.items())}


def test_each_file_is_prepared_or_rejected_with_its_cause(tmp_path: Path) -> None:
    causes = {name: cause for name, (_, cause) in REFUSED.items()} | dict.fromkeys(TWO_EYES, "two fundi")
    files = READ | {name: data for name, (data, _) in REFUSED.items()} | TWO_EYES
    source = write_set(tmp_path / "set", numbered(files))
    (source / "folder.jpg").mkdir()
    with (source / "labels.csv").open("a", encoding="utf-8") as stream:
        stream.write("folder.jpg,1\n")
    about = prepare(source, tmp_path / "prepared")
    reasons = {
        row["source"].partition(" ")[2] or row["source"]: row["reason"]
        for row in read_csv(tmp_path / "prepared" / "rejected.csv")
    }
    causes["folder.jpg"] = "a folder"
    assert reasons.keys() == causes.keys()
    assert [name for name, cause in causes.items() if cause not in reasons[name]] == []
    kept = PreparedSet.load(tmp_path / "prepared").rows
    assert len(kept) == len(READ) + OTHERS and about["stretched"] == 2


@pytest.mark.parametrize(("bits", "suffix"), [(10, ".tif"), (14, ".png"), (14, ".tif"), (16, ".tif")])
def test_the_bits_of_a_set_are_found_whatever_its_format(bits: int, suffix: str, tmp_path: Path) -> None:
    prepare(write_set(tmp_path / "set", {f"deep{suffix}": deep(bits, suffix)}), tmp_path / "prepared")
    data = PreparedSet.load(tmp_path / "prepared")
    assert data.preprocessing.bits == bits
    assert np.array_equal(data.image(data.index_of("deep")), prepare_image(READ["plain.png"], SPEC))


def grahams(number: int) -> bytes:
    """As Ben Graham prepared the photographs of EyePACS: grey 128 about the fundus and at the lower edge."""
    eye = synthesise(number, number % 5, "left", (96, 128)).image
    grey = np.full((128, 128, 3), 128, np.uint8)
    grey[:96] = np.where(eye.max(axis=2, keepdims=True) > 20, cv2.addWeighted(eye, 1, eye, 0, 60), 128)
    return cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, 100))[1].tobytes()


def test_ben_grahams_photographs_are_prepared_and_one_that_was_cut_is_not(tmp_path: Path) -> None:
    files = {f"{number}.jpg": grahams(number) for number in range(6)}
    assert all((decode_rgb(data)[-8:] == 128).all() for data in files.values())
    files["cut.jpg"] = files["5.jpg"][: len(files["5.jpg"]) // 2] + b"\xff\xd9"
    about = prepare(write_set(tmp_path / "set", files), tmp_path / "prepared", Preprocessing(64))
    (rejected,) = read_csv(tmp_path / "prepared" / "rejected.csv")
    assert rejected["image_id"] == "cut" and "truncated" in rejected["reason"] and about["rejected"] == 1
