import cv2
import numpy as np
import pytest

from keras_dr.core.fundus import find_fundus
from keras_dr.synthetic.photographs import synthesise


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
        np.full((1, 60000, 3), 90, np.uint8),
        np.full((30000, 40, 3), 90, np.uint8),
    ],
    ids=["black", "even", "noise", "bar", "one pixel", "row", "strip"],
)
def test_finds_no_fundus_where_there_is_none(image: np.ndarray) -> None:
    assert find_fundus(image) is None
