import cv2
import numpy as np
import pytest
from conftest import encode

from keras_dr.photograph import is_truncated
from keras_dr.synthetic import synthesise

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
