import cv2
import numpy as np
import pytest
from conftest import encode

from keras_dr.errors import KerasDrError
from keras_dr.preprocessing import (
    Fundus,
    Preprocessing,
    circle_mask,
    crop_square,
    decode_rgb,
    find_fundus,
    prepare_image,
)
from keras_dr.synthetic import synthesise


def exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation tag (TIFF 6.0: one short, tag 0x0112)."""
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    body = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + tag + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_decodes_lossless_formats_as_rgb(disc: np.ndarray, suffix: str) -> None:
    assert np.array_equal(decode_rgb(encode(disc, suffix)), disc)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_decodes_lossy_formats_as_rgb(disc: np.ndarray, suffix: str) -> None:
    assert np.abs(decode_rgb(encode(disc, suffix)).astype(int) - disc).mean() < 3


def test_turns_a_jpeg_upright_by_its_exif_orientation(disc: np.ndarray) -> None:
    marked = disc.copy()
    marked[:20, :40] = 255
    turned = exif(encode(np.ascontiguousarray(np.rot90(marked)), ".jpg"), 6)  # 6: turn right by 90 degrees to view
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
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(stream, "JPEG", quality=95)  # magenta + yellow ink: red
    red, green, blue = decode_rgb(stream.getvalue())[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_refuses_what_no_decoder_reads(data: bytes) -> None:
    with pytest.raises(KerasDrError, match="photograph"):
        decode_rgb(data)


def test_finds_the_circle_to_a_pixel(disc: np.ndarray) -> None:
    fundus = find_fundus(disc)
    assert fundus is not None
    assert (fundus.x, fundus.y, fundus.radius) == pytest.approx((80, 60, 50.5), abs=1)


@pytest.mark.parametrize("eye", ["left", "right"])
@pytest.mark.parametrize("seed", range(6))
def test_finds_the_circle_of_synthetic_photographs(seed: int, eye: str) -> None:
    photograph = synthesise(seed, seed % 5, eye)
    fundus = find_fundus(photograph.image)
    assert fundus is not None
    x, y, radius = photograph.fundus
    assert (fundus.x, fundus.y, fundus.radius) == pytest.approx((x, y, radius), abs=0.03 * radius)


def test_finds_a_disc_that_the_sensor_cuts_at_top_and_bottom() -> None:
    image = cv2.circle(np.zeros((700, 1000, 3), np.uint8), (500, 350), 450, (180, 90, 40), -1)
    fundus = find_fundus(image)
    assert fundus is not None
    assert (fundus.x, fundus.y, fundus.radius) == pytest.approx((500, 350, 450), abs=5)


def test_finds_a_dark_disc() -> None:
    image = cv2.circle(np.full((400, 500, 3), 4, np.uint8), (240, 200), 150, (28, 16, 9), -1)
    fundus = find_fundus(image)
    assert fundus is not None
    assert (fundus.x, fundus.y, fundus.radius) == pytest.approx((240, 200, 150), abs=3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((50, 60, 3), np.uint8),
        np.full((90, 90, 3), 130, np.uint8),
        np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8),
        np.pad(np.full((20, 200, 3), 200, np.uint8), ((40, 40), (10, 10), (0, 0))),
        np.ones((1, 1, 3), np.uint8),
    ],
    ids=["black", "even", "noise", "bar", "one pixel"],
)
def test_finds_no_fundus_where_there_is_none(image: np.ndarray) -> None:
    assert find_fundus(image) is None


def test_crop_pads_beyond_the_border_with_black() -> None:
    image = np.full((10, 20), 7, np.uint8)
    cropped = crop_square(image, Fundus(9.5, 4.5, 10), 20)
    assert np.array_equal(cropped, np.pad(image, ((5, 5), (0, 0))))


def test_crop_averages_over_areas() -> None:
    image = np.array([[0, 40], [80, 120]], np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    assert crop_square(image, None, 2).tolist() == [[0, 40], [80, 120]]


def test_prepared_image_is_black_outside_the_circle(disc: np.ndarray) -> None:
    for enhance in ("none", "clahe", "green", "ben-graham", "clahe+green"):
        image = prepare_image(encode(disc), Preprocessing(64, enhance))
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert not image[~circle_mask(64)].any()
        assert image[32, 32].any()


def test_green_emphasis_weighs_the_channels(disc: np.ndarray) -> None:
    centre = prepare_image(encode(disc), Preprocessing(64, "green"))[32, 32]
    assert centre.tolist() == [112, 112, 112]  # .1 * 200 + .8 * 110 + .1 * 40


def test_ben_graham_turns_an_even_disc_grey(disc: np.ndarray) -> None:
    assert prepare_image(encode(disc), Preprocessing(64, "ben-graham"))[32, 32].tolist() == [128, 128, 128]


def test_whole_image_is_used_without_a_fundus() -> None:
    image = prepare_image(encode(np.full((30, 60, 3), 90, np.uint8)), Preprocessing(32))
    assert (image[8:24] == 90).all() and not image[:8].any() and not image[24:].any()


@pytest.mark.parametrize("settings", [{"size": 8}, {"size": 5000}, {"enhance": "sharpen"}, {"enhance": "clahe+"}])
def test_refuses_a_spec_out_of_range(settings: dict) -> None:
    with pytest.raises(KerasDrError):
        Preprocessing(**settings)


def test_spec_survives_json() -> None:
    spec = Preprocessing(384, "clahe+green")
    assert Preprocessing.from_dict(spec.to_dict()) == spec
