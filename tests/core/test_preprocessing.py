import tracemalloc

import cv2
import numpy as np
import pytest
from drawn import encode, with_exif
from places import SHARED

from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import (
    Fundus,
    Photograph,
    Preprocessing,
    circle_mask,
    crop_square,
    decode_rgb,
    find_fundus,
    prepare_image,
    prepare_photograph,
    read_photograph,
)
from keras_dr.synthetic.photographs import synthesise


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


@pytest.mark.parametrize("shape", [(1, 60000), (60000, 1), (40, 30000)])
def test_a_strip_is_letterboxed_without_a_square_of_its_length(shape: tuple[int, int]) -> None:
    image = prepare_image(encode(np.full((*shape, 3), 90, np.uint8)), Preprocessing(32))
    upright = image if shape[0] < shape[1] else image.transpose(1, 0, 2)
    assert (upright[15] == 90).all()
    assert not upright[:15].any() and not upright[16:].any()


def test_a_strip_reduced_before_padding_is_as_if_padded_first() -> None:
    strip = np.random.default_rng(0).integers(0, 256, (64, 512), np.uint8)
    padded = np.pad(strip, ((224, 224), (0, 0)))
    assert np.array_equal(crop_square(strip, None, 64), crop_square(padded, None, 64))


FULL_SIZE = SHARED / "idrid_fullres"


def difference(data: bytes, spec: Preprocessing) -> float:
    """Return the mean absolute difference in grey levels between the prepared image and that of a full decode."""
    pixels = decode_rgb(data)
    full = prepare_photograph(Photograph(pixels, 1, pixels.shape[:2], find_fundus(pixels)), spec)[0]
    return float(np.abs(prepare_image(data, spec).astype(int) - full).mean())


@pytest.fixture(scope="module")
def large() -> bytes:
    """A JPEG of 1280 x 960 pixels."""
    return encode(synthesise(1, 3, "left", (960, 1280)).image, ".jpg")


@pytest.mark.parametrize(("size", "reduction"), [(32, 4), (224, 4), (448, 2), (600, 1)])
def test_a_reduced_decode_gives_what_the_full_one_gives(large: bytes, size: int, reduction: int) -> None:
    assert read_photograph(large, Preprocessing(size)).reduction == reduction
    assert difference(large, Preprocessing(size)) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_a_reduced_decode(large: bytes, orientation: int) -> None:
    data = with_exif(large, orientation)
    assert read_photograph(data, Preprocessing(224)).shape == decode_rgb(data).shape[:2]
    assert difference(data, Preprocessing(224)) <= 2


def test_the_circle_is_in_pixels_of_the_full_photograph(large: bytes) -> None:
    full, reduced = find_fundus(decode_rgb(large)), read_photograph(large, Preprocessing(64)).fundus
    assert full is not None and reduced is not None
    assert (reduced.x, reduced.y, reduced.radius) == pytest.approx((full.x, full.y, full.radius), abs=2)


def test_a_fundus_smaller_than_the_guess_is_decoded_again() -> None:
    image = cv2.circle(np.zeros((1200, 1600, 3), np.uint8), (700, 500), 300, (200, 110, 40), -1)
    photograph = read_photograph(encode(image, ".jpg"), Preprocessing(512))
    assert photograph.reduction == 1 and photograph.pixels.shape == image.shape
    assert difference(encode(image, ".jpg"), Preprocessing(512)) <= 2


@pytest.mark.skipif(not FULL_SIZE.is_dir(), reason="no full-size photographs at hand")
@pytest.mark.parametrize("size", [224, 448])
def test_a_reduced_decode_of_real_photographs_gives_what_the_full_one_gives(size: int) -> None:
    for file in sorted(FULL_SIZE.glob("*.jpg"))[:4]:
        assert difference(file.read_bytes(), Preprocessing(size)) <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 8},
        {"size": 5000},
        {"enhance": "sharpen"},
        {"enhance": "clahe+"},
        {"enhance": "clahe+clahe"},
        {"fundus": "square"},
    ],
)
def test_refuses_a_spec_out_of_range(settings: dict) -> None:
    with pytest.raises(KerasDrError):
        Preprocessing(**settings)


def test_spec_survives_json() -> None:
    spec = Preprocessing(384, "clahe+green", "none")
    assert Preprocessing.from_dict(spec.to_dict()) == spec
    assert spec.options == "--size 384 --enhance clahe+green --fundus none"


def test_a_spec_written_before_there_was_fundus_is_read() -> None:
    assert Preprocessing.from_dict({"size": 224, "enhance": "none"}) == Preprocessing(
        224, "none", "auto", False, "first", None
    )


def test_without_seeking_a_fundus_the_whole_photograph_is_used(disc: np.ndarray) -> None:
    image = prepare_image(encode(disc), Preprocessing(32, fundus="none"))
    assert np.array_equal(
        image, np.pad(cv2.resize(disc, (32, 24), interpolation=cv2.INTER_AREA), ((4, 4), (0, 0), (0, 0)))
    )


def test_a_whole_photograph_takes_no_memory_for_its_padding() -> None:
    image = np.full((1000, 4000), 9, np.uint8)
    tracemalloc.start()
    crop_square(image, None, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20  # the padded square alone would take 16 MB


def test_small_grey_images_keep_their_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    kept = prepare_image(encode(image), Preprocessing(28, fundus="none"))
    assert np.array_equal(kept, np.repeat(image[..., None], 3, axis=2))
