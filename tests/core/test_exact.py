"""Resizing and CLAHE in NumPy against OpenCV on x86-64, whose pixels are the reference."""

import platform

import cv2
import numpy as np
import pytest

from keras_dr.core import exact
from keras_dr.core.preprocessing import Preprocessing, prepare_image

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="OpenCV is the reference only on x86-64; make arm tests Arm"
)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Return blocks of eight pixels with noise: uint8 (height, width, channels)."""
    rng = np.random.default_rng(height * 10_000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, channels)).repeat(8, 0).repeat(8, 1)
    noisy = blocks[:height, :width] + rng.integers(-20, 21, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((340, 340), (224, 224)),
        ((681, 681), (512, 512)),
        ((513, 513), (512, 512)),
        ((1372, 1372), (28, 28)),  # 49 is no whole factor in double precision: 1 / (1 / 49) is less
        ((712, 1072), (170, 256)),
        ((300, 1500), (28, 140)),
        ((3, 700), (1, 233)),
        ((97, 64), (96, 64)),
    ],
)
def test_shrinking_in_numpy_gives_opencvs_pixels(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = picture(*source)
    size = target[::-1]
    assert np.array_equal(exact._shrink_in_numpy(image, *size), cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def test_shrinking_in_numpy_gives_opencvs_pixels_at_random_sizes() -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        size = (int(rng.integers(28, 300)), int(rng.integers(28, 300)))
        image = picture(size[1] + int(rng.integers(0, 500)), size[0] + int(rng.integers(0, 500)))[..., 0]
        by_opencv = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        assert np.array_equal(exact._shrink_in_numpy(image, *size), by_opencv), (image.shape, size)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (224, 224), (331, 331), (500, 512), (512, 500)])
def test_clahe_in_numpy_gives_opencvs_pixels(shape: tuple[int, int]) -> None:
    light = picture(*shape, 1)[..., 0]
    for image in (light, light // 3, np.full(shape, 90, np.uint8)):
        by_opencv = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(image)
        assert np.array_equal(exact._equalise_in_numpy(image), by_opencv)


@pytest.mark.parametrize("enhance", ["none", "clahe"])
def test_a_photograph_is_prepared_equally_without_opencvs_arithmetic(
    enhance: str, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Preprocessing(200, enhance)
    reference = prepare_image(photograph, spec)
    monkeypatch.setattr(exact, "OPENCV_IS_EXACT", False)
    assert np.array_equal(prepare_image(photograph, spec), reference)
