import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from keras_dr.preparation import changes


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 200, (40, 60, 3), np.uint8)


def test_gains_cut_off_at_white() -> None:
    image = np.full((2, 2, 3), (100, 200, 50), np.uint8)
    assert changes.with_gains(image, (1.2, 1.5, 0.5))[0, 0].tolist() == [120, 255, 25]


def test_no_saturation_is_grey_as_pillow_has_it(image: np.ndarray) -> None:
    grey = np.asarray(Pillow.fromarray(image).convert("L"), int)
    result = changes.with_saturation(image, 0.0).astype(int)
    assert np.abs(result - grey[..., None]).max() <= 1


def test_gamma_keeps_black_and_white() -> None:
    image = np.array([[[0, 128, 255]]], np.uint8)
    assert changes.with_gamma(image, 2.0)[0, 0].tolist() == [0, 64, 255]  # 255 (128 / 255)^2 = 64.25


def test_half_the_resolution_is_the_mean_of_four_pixels_enlarged(image: np.ndarray) -> None:
    means = image.reshape(20, 2, 30, 2, 3).mean((1, 3))
    result = changes.at_resolution(image, 0.5)
    assert result.shape == image.shape
    assert np.abs(cv2.resize(result, (30, 20), interpolation=cv2.INTER_AREA) - means).mean() < 30
    assert np.array_equal(changes.at_resolution(image, 1.0), image)


def test_a_vignette_darkens_corners_and_not_the_centre() -> None:
    image = np.full((41, 61, 3), 200, np.uint8)
    result = changes.with_vignette(image, 0.6)
    assert result[20, 30].tolist() == [200, 200, 200]
    corner = 200 * (1 - 0.6 * 4 * (20**2 + 30**2) / (41**2 + 61**2))
    assert result[0, 0, 0] == round(corner)


def test_a_border_shifts_the_photograph(image: np.ndarray) -> None:
    result = changes.with_border(image, 0.1)
    assert result.shape == (46, 66, 3)
    assert np.array_equal(result[6:, 6:], image) and not result[:6].any() and not result[:, :6].any()


def test_squashing_makes_it_narrower(image: np.ndarray) -> None:
    assert changes.squashed(image, 0.75).shape == (40, 45, 3)


def test_compression_is_that_of_a_jpeg_file(image: np.ndarray) -> None:
    smooth = cv2.GaussianBlur(image, (0, 0), 3)
    errors = [np.abs(changes.compressed(smooth, quality).astype(int) - smooth).mean() for quality in (95, 50, 10)]
    assert errors[0] < errors[1] < errors[2]


def test_a_small_blur_changes_nothing(image: np.ndarray) -> None:
    assert np.array_equal(changes.blurred(image, 0.1), image)
    assert changes.blurred(image, 2.0).std() < 0.5 * image.std()
