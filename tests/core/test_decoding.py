import io
import struct

import cv2
import numpy as np
import pytest
from drawn import encode, with_exif
from PIL import Image

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.headers import read_header


def saved(image: Image.Image, kind: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_decodes_lossless_formats_as_rgb(disc: np.ndarray, suffix: str) -> None:
    assert np.array_equal(decode_rgb(encode(disc, suffix)), disc)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_decodes_lossy_formats_as_rgb(disc: np.ndarray, suffix: str) -> None:
    assert np.abs(decode_rgb(encode(disc, suffix)).astype(int) - disc).mean() < 3


def test_turns_a_jpeg_upright_by_its_exif_orientation(disc: np.ndarray) -> None:
    marked = disc.copy()
    marked[:20, :40] = 255
    turned = with_exif(encode(np.ascontiguousarray(np.rot90(marked)), ".jpg"), 6)  # 6: turn right by 90 degrees to view
    assert np.abs(decode_rgb(turned).astype(int) - marked).mean() < 4


def test_grey_becomes_three_equal_channels(disc: np.ndarray) -> None:
    grey = disc[..., 0]
    assert np.array_equal(decode_rgb(encode(grey)), np.repeat(grey[..., None], 3, axis=2))


def test_sixteen_bits_keep_their_upper_eight(disc: np.ndarray) -> None:
    assert np.array_equal(decode_rgb(encode(disc.astype(np.uint16) * 257)), disc)
    assert np.array_equal(decode_rgb(encode(disc.astype(np.uint16) * 256, ".tiff")), disc)


def test_transparent_pixels_are_laid_on_black() -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8)
    assert decode_rgb(encode(rgba)).tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]


def test_decodes_a_cmyk_jpeg() -> None:
    data = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)  # magenta + yellow ink: red
    red, green, blue = decode_rgb(data)[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_refuses_what_no_decoder_reads(data: bytes) -> None:
    with pytest.raises(KerasDrError, match="photograph"):
        decode_rgb(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp", ".webp"])
def test_header_tells_the_size(disc: np.ndarray, suffix: str) -> None:
    header = read_header(encode(disc, suffix))
    assert (header.height, header.width) == disc.shape[:2]


def test_header_tells_the_size_of_lossless_webp(disc: np.ndarray) -> None:
    for image in (Image.fromarray(disc), Image.fromarray(disc).convert("RGBA")):
        header = read_header(saved(image, "WEBP", lossless=True, exif=Image.Exif()))
        assert (header.height, header.width) == disc.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_header_tells_the_size_of_the_upright_photograph(disc: np.ndarray, orientation: int) -> None:
    data = with_exif(encode(disc, ".jpg"), orientation)
    header = read_header(data)
    assert (header.height, header.width) == decode_rgb(data).shape[:2]


def test_a_broken_exif_note_is_ignored(disc: np.ndarray) -> None:
    data = with_exif(encode(disc, ".jpg"), 6).replace(b"MM\x00\x2a\x00\x00\x00\x08", b"MM\x00\x2a\xff\xff\xff\xff")
    assert read_header(data).height == decode_rgb(data).shape[0] == 120


def test_header_of_a_bigtiff_by_hand() -> None:
    entries = struct.pack("<HHQQHHQQ", 256, 3, 1, 640, 257, 4, 1, 480)
    header = read_header(b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 2) + entries)
    assert (header.height, header.width) == (480, 640)


@pytest.mark.parametrize("kind", [struct.pack("<IHH", 12, 640, 480), struct.pack("<Iii", 40, 640, -480)])
def test_header_of_a_bmp_by_hand(kind: bytes) -> None:
    header = read_header(b"BM" + bytes(12) + kind)
    assert (header.height, header.width) == (480, 640)


SIDE = 40_000
TIFF_SIZE = struct.pack("<HHIIHHII", 256, 4, 1, SIDE, 257, 4, 1, SIDE)
BOMBS = {
    "jpeg": b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x11\x08" + struct.pack(">HH", SIDE, SIDE),
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", SIDE, SIDE, 8, 2),
    "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, SIDE, -SIDE),
    "tiff": b"II*\0" + struct.pack("<IH", 8, 2) + TIFF_SIZE,
    "webp lossy": b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 16383, 16383),
    "webp lossless": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\xff\xff\x0f",
    "webp extended": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (SIDE - 1).to_bytes(3, "little") * 2,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_too_large_is_refused_before_it_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(KerasDrError, match=r"(40000 x 40000|1638\d x 1638\d) pixels of .* at most 100 megapixels"):
        decode_rgb(BOMBS[name])


def test_the_largest_size_is_a_hundred_megapixels() -> None:
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    assert read_header(png + struct.pack(">IIBB", 10_000, 10_000, 8, 2)).width == 10_000
    with pytest.raises(KerasDrError, match="megapixels"):
        read_header(png + struct.pack(">IIBB", 10_001, 10_000, 8, 2))


@pytest.mark.parametrize("name", BOMBS)
def test_refuses_a_file_that_ends_in_its_header(name: str) -> None:
    for end in range(1, len(BOMBS[name])):
        with pytest.raises(KerasDrError, match="no decoder"):
            read_header(BOMBS[name][:end])


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_a_reduced_jpeg_is_the_mean_over_squares(disc: np.ndarray, reduction: int, orientation: int) -> None:
    data = with_exif(encode(disc, ".jpg"), orientation)
    full = decode_rgb(data)
    expected = cv2.resize(full, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA)
    assert np.abs(decode_rgb(data, reduction).astype(int) - expected).mean() < 2


def test_a_reduced_size_is_rounded_up(disc: np.ndarray) -> None:
    assert decode_rgb(encode(disc[:97, :131], ".jpg"), 4).shape == (25, 33, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_reduced_alike(disc: np.ndarray, mode: str) -> None:
    data = saved(Image.fromarray(disc).convert(mode), "JPEG", quality=95)
    expected = cv2.resize(decode_rgb(data), (20, 15), interpolation=cv2.INTER_AREA)
    assert np.abs(decode_rgb(data, 8).astype(int) - expected).mean() < 2


def test_only_jpeg_is_reduced(disc: np.ndarray) -> None:
    assert read_header(encode(disc)).reductions == (1,)
    with pytest.raises(ValueError, match="reduction 2"):
        decode_rgb(encode(disc), 2)


def test_opencv_says_nothing_beside_our_message(disc: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(disc)
    with pytest.raises(KerasDrError):
        decode_rgb(data[: len(data) // 2])
    assert capfd.readouterr().err == ""
