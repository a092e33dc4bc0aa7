import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from preparation import prepare, read_csv

from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.preparation import prepared_text
from keras_dr.synthetic.photographs import synthesise


def deep_set(folder: Path, shift: int) -> Path:
    """Twenty photographs with 16 bits per sample whose largest is 255 << shift."""
    folder.mkdir()
    lines = ["image,grade"]
    for number in range(20):
        image = synthesise(number, number % 5, "left", (96, 128)).image.astype(np.uint16)
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1] << shift)
        lines.append(f"{number}.png,{number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(("shift", "bits"), [(0, 8), (4, 12), (8, 16)])
def test_the_range_of_a_set_is_found_said_and_kept(shift: int, bits: int, tmp_path: Path) -> None:
    about = prepare(deep_set(tmp_path / "deep", shift), tmp_path / "set")
    assert PreparedSet.load(tmp_path / "set").preprocessing.bits == bits
    assert json.loads((tmp_path / "set" / "prepared.json").read_text())["preprocessing"]["bits"] == bits
    assert f"{bits}-bit" in prepared_text(about)
    plain = synthesise(0, 0, "left", (96, 128)).image.mean()
    means = [image.mean() for image in PreparedSet.load(tmp_path / "set").images()]
    assert np.mean(means) > 0.8 * plain


def test_a_set_of_eight_bits_says_nothing(photographs: Path, tmp_path: Path) -> None:
    about = prepare(photographs, tmp_path / "set")
    assert about["preprocessing"]["bits"] == 0 and "bits" not in prepared_text(about)


def test_a_broken_file_of_sixteen_bits_is_rejected_and_the_range_found(tmp_path: Path) -> None:
    source = deep_set(tmp_path / "deep", 4)
    whole = (source / "3.png").read_bytes()
    (source / "3.png").write_bytes(whole[: len(whole) // 2])
    assert prepare(source, tmp_path / "set")["preprocessing"]["bits"] == 12
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert "truncated" in row["reason"]
