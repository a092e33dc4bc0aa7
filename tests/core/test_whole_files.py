"""The decoder refuses a file that is truncated anywhere within its picture, and never refuses a whole file."""

import io

import cv2
import numpy as np
import pytest
from drawn import encode, with_exif
from PIL import Image

from keras_dr.core import jpeg
from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.headers import read_header
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.synthetic.photographs import synthesise

IMAGE = synthesise(1, 2, size=(96, 128)).image
JPEG_END, PNG_END = b"\xff\xd9", b"\0\0\0\0IEND\xaeB`\x82"
EXTRANEOUS = "extraneous"


def saved(kind: str, mode: str = "RGB", **settings: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(IMAGE).convert(mode).save(stream, kind, **settings)
    return stream.getvalue()


def with_options(*options: int) -> bytes:
    return cv2.imencode(".jpg", IMAGE, options)[1].tobytes()


def thumbnailed() -> bytes:
    """Return a JPEG with an APP1 segment that holds a whole JPEG with its end mark, as EXIF thumbnails do."""
    inner = saved("JPEG", progressive=True)
    return b"\xff\xd8\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + saved("JPEG")[2:]


JPEGS = {
    "baseline": saved("JPEG"),
    "not subsampled": saved("JPEG", subsampling=0),
    "progressive": saved("JPEG", progressive=True),
    "progressive grey": saved("JPEG", "L", progressive=True),
    "restart marks": with_options(cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "progressive restarts": with_options(cv2.IMWRITE_JPEG_RST_INTERVAL, 4, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey": saved("JPEG", "L"),
    "inks": saved("JPEG", "CMYK"),
    "inks subsampled": saved("JPEG", "CMYK", subsampling=2),  # a layout that TurboJPEG does not know
    "thumbnail": thumbnailed(),
    "turned": with_exif(saved("JPEG"), 6),
    EXTRANEOUS: saved("JPEG")[:-2] + b"\0\1\2\3" + JPEG_END,  # libjpeg warns of it, but it does no harm
}
PNGS = {
    "png": saved("PNG"),
    "png in small chunks": encode(IMAGE),
    "png of 16 bits": encode(IMAGE.astype(np.uint16) * 257),
}
OTHERS = {
    "tiff": saved("TIFF"),
    "tiff with its directory last": saved("TIFF", compression="tiff_lzw"),
    "webp": saved("WEBP"),
    "webp lossless": saved("WEBP", lossless=True),
    "bmp": saved("BMP"),
    "ppm": saved("PPM"),
}
WHOLE = JPEGS | PNGS | OTHERS
ENDS = dict.fromkeys(JPEGS, JPEG_END) | dict.fromkeys(PNGS, PNG_END)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_accepted(name: str) -> None:
    assert decode_rgb(WHOLE[name]).shape == decode_rgb(WHOLE[name] + b"\0" * 400).shape


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("name", WHOLE)
def test_cut_files_are_refused(name: str, share: float) -> None:
    cut = WHOLE[name][: int(len(WHOLE[name]) * share)]
    for data in (cut, cut + ENDS.get(name, b"")):
        with pytest.raises(KerasDrError, match=r"truncated|damaged|no decoder"):
            prepare_image(data, Preprocessing(64))


@pytest.mark.parametrize("name", ["progressive", "progressive restarts", "progressive grey"])
def test_progressive_files_cut_between_two_scans_are_refused(name: str) -> None:
    frame = jpeg.read_frame(JPEGS[name])
    for scan in frame.scans[:-1]:
        with pytest.raises(KerasDrError, match="truncated"):
            decode_rgb(JPEGS[name][: scan.end] + JPEG_END)


def test_a_file_without_one_of_its_colours_is_refused() -> None:
    data = JPEGS["baseline"]
    start = data.index(b"\xff\xda") + 4
    assert data[start] == 3 and jpeg.has_several_scans(data, 3) is False
    incomplete = data[:start] + b"\1" + data[start + 1 :]
    assert jpeg.has_several_scans(incomplete, 3)


@pytest.mark.parametrize("interval", [1, 4])
def test_restart_marks_are_counted(interval: int) -> None:
    data = with_options(cv2.IMWRITE_JPEG_RST_INTERVAL, interval)
    frame = jpeg.read_frame(data)
    assert frame.interval and not jpeg.lacks_restarts(data, frame)
    last = data.rindex(b"\xff" + bytes([0xD0 + (len(jpeg._RESTART.findall(data)) - 1) % 8]))
    cut = data[:last] + JPEG_END
    assert jpeg.lacks_restarts(cut, jpeg.read_frame(cut))


def test_ben_grahams_grey_at_the_lower_edge_is_no_fault() -> None:
    grey = np.full((96, 128, 3), 128, np.uint8)
    cv2.circle(grey, (64, 40), 38, (150, 90, 120), -1)
    data = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, 100))[1].tobytes()
    assert (decode_rgb(data)[-8:] == 128).all()
    for reduction in read_header(data).reductions:
        decode_rgb(data, reduction)


def test_a_file_damaged_in_its_midst_is_refused() -> None:
    data = JPEGS["restart marks"]
    with pytest.raises(KerasDrError, match=r"truncated|damaged"):
        decode_rgb(data[: len(data) // 2] + data[len(data) // 2 + 100 :])


@pytest.mark.parametrize("name", JPEGS)
def test_pixels_are_opencvs_at_every_reduction(name: str) -> None:
    modes = {1: 0, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
    for reduction, mode in (modes | {8: cv2.IMREAD_REDUCED_GRAYSCALE_8}).items():
        expected = cv2.imdecode(np.frombuffer(JPEGS[name], np.uint8), cv2.IMREAD_COLOR_RGB | mode)
        assert np.array_equal(decode_rgb(JPEGS[name], reduction), expected)
