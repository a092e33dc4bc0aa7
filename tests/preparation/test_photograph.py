from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.records import Record
from keras_dr.preparation.photograph import write_photograph


def test_masks_fit_a_photograph_that_is_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    photograph = cv2.circle(np.zeros((603, 801, 3), np.uint8), (400, 300), 256, (40, 110, 200), -1)
    mask = cv2.rectangle(np.zeros((603, 801), np.uint8), (400, 44), (656, 300), 255, -1)  # its upper right quarter
    cv2.imwrite(str(tmp_path / "eye.jpg"), photograph)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    record = Record("eye", tmp_path / "eye.jpg", 0, masks={"haemorrhages": tmp_path / "mask.png"})
    (tmp_path / "images").mkdir()
    row = write_photograph(record, source=tmp_path, folder=tmp_path, spec=Preprocessing(64))
    assert [float(row[f"fundus_{name}"]) for name in ("x", "y", "radius")] == pytest.approx([400, 300, 256], abs=3)
    covered = cv2.imread(str(tmp_path / "masks" / "haemorrhages" / "eye.png"), cv2.IMREAD_GRAYSCALE)
    expected = np.zeros((64, 64))
    expected[:32, 32:] = 255
    assert np.abs(covered - expected).mean() < 4
