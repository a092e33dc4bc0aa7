from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import encode

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.truncation import is_truncated
from keras_dr.datasets.records import Record
from keras_dr.preparation.photograph import write_photograph
from keras_dr.synthetic.photographs import synthesise

IMAGE = synthesise(1, 2, size=(96, 128)).image
BASELINE = encode(IMAGE, ".jpg")
PROGRESSIVE = cv2.imencode(".jpg", IMAGE, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
RESTARTS = cv2.imencode(".jpg", IMAGE, (cv2.IMWRITE_JPEG_RST_INTERVAL, 4))[1].tobytes()
# an APP1 segment that holds a whole JPEG, as EXIF thumbnails do, end marker included
THUMBNAIL = b"\xff\xd8\xff\xe1" + (len(PROGRESSIVE) + 2).to_bytes(2, "big") + PROGRESSIVE + BASELINE[2:]


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE, RESTARTS, THUMBNAIL, encode(IMAGE)])
def test_whole_files_are_told_from_cut_ones(data: bytes) -> None:
    assert not is_truncated(data) and not is_truncated(data + b"\0" * 40)
    assert all(is_truncated(data[: int(len(data) * share)]) for share in (0.99, 0.7, 0.5, 0.01))


def test_other_formats_are_left_to_their_decoders() -> None:
    assert not is_truncated(b"BM") and not is_truncated(b"") and not is_truncated(encode(np.zeros((8, 8)), ".bmp"))


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
