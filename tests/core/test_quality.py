import cv2
import numpy as np
import pytest

from keras_dr.core import quality
from keras_dr.core.preprocessing import circle_mask
from keras_dr.core.quality import find_limits, judge, measure

INSIDE = circle_mask(64)


def fundus(level: int = 120, noise: int = 20) -> np.ndarray:
    """Return uint8 RGB (64, 64, 3): grey noise around a level, in a circle."""
    grey = np.random.default_rng(0).integers(level - noise, level + noise + 1, (64, 64))
    return np.repeat((grey * INSIDE)[..., None], 3, axis=2).astype(np.uint8)


def values(image: np.ndarray) -> dict[str, float]:
    measures = measure(image, INSIDE)
    return {name: float(measures[name]) for name in quality.MEASURES}


def colours(image: np.ndarray) -> dict[str, str]:
    measures = measure(image, np.ones(image.shape[:2], bool))
    return {name: measures[name] for name in quality.COLOURS}


def test_measures_of_an_even_disc() -> None:
    measures = values(fundus(level=102, noise=0))
    assert measures == {"coverage": 1.0, "illumination": 0.4, "contrast": 0.0, "sharpness": 0.0}


def test_contrast_is_the_deviation_by_the_mean() -> None:
    # integers evenly from 100 to 140: deviation sqrt((41**2 - 1) / 12) = 11.83, mean 120
    assert values(fundus())["contrast"] == pytest.approx(11.83 / 120, rel=0.02)


def test_what_the_sensor_cuts_off_lowers_coverage() -> None:
    image = fundus()
    image[:16] = 0
    share = INSIDE[16:].sum() / INSIDE.sum()
    assert values(image)["coverage"] == pytest.approx(share, abs=1e-4)


def test_blur_lowers_sharpness_and_exposure_does_not() -> None:
    image = fundus()
    assert values(cv2.GaussianBlur(image, (0, 0), 1))["sharpness"] < 0.1 * values(image)["sharpness"]
    assert values(image // 2)["sharpness"] == pytest.approx(values(image)["sharpness"], rel=0.1)


def test_a_black_image_has_measures_too() -> None:
    assert set(values(np.zeros((64, 64, 3), np.uint8)).values()) == {0.0}


def test_limits_are_fences_about_the_quartiles() -> None:
    rows = [dict.fromkeys(("coverage", "illumination", "contrast", "sharpness"), str(2.0**k)) for k in range(5)]
    # quartiles of log2: 1 and 3; fences 1 - 3 and 3 + 3
    assert find_limits(rows)["sharpness"] == pytest.approx([0.25, 64])


def test_photographs_all_alike_leave_a_tenth() -> None:
    rows = [dict.fromkeys(("coverage", "illumination", "contrast", "sharpness"), "1")] * 5
    assert find_limits(rows)["coverage"] == pytest.approx([0.9, 1 / 0.9], abs=1e-4)


def test_reasons_are_joined() -> None:
    limits = {"coverage": [0.5, 1], "illumination": [0.2, 0.6], "contrast": [0.1, 1], "sharpness": [2, 9]}
    row = {"coverage": "0.9", "illumination": "0.1", "contrast": "0.2", "sharpness": "1"}
    assert judge(row, limits) == {"gradable": "no", "reasons": "dark;blurred"}
    assert judge(row | {"illumination": "0.7", "sharpness": "99"}, limits)["reasons"] == "bright"
    assert judge(row | {"illumination": "0.3", "sharpness": "3"}, limits) == {"gradable": "yes", "reasons": ""}


def test_colours_are_ratios_of_means_over_the_lit_pixels() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[4:16, 4:16] = (180, 90, 45)
    assert colours(image) == {"red_to_green": "2.0000", "blue_to_green": "0.5000"}
    assert colours(np.zeros_like(image))["red_to_green"] == "0.0000"


def test_unfamiliar_colours_are_named_by_their_direction() -> None:
    rows = [{"red_to_green": f"{value:.4f}", "blue_to_green": "0.5000"} for value in np.linspace(1.9, 2.1, 9)]
    limits = quality.find_limits(rows, quality.COLOURS)
    assert limits["blue_to_green"] == [0.45, 0.5556]  # a tenth around the quartiles at least
    assert quality.unfamiliar({"red_to_green": "2.0", "blue_to_green": "0.5"}, limits) == ()
    assert quality.unfamiliar({"red_to_green": "3.0", "blue_to_green": "0.4"}, limits) == ("redder", "less blue")


@pytest.mark.parametrize("size", [28, 64, 201])
def test_the_measures_are_those_of_their_formulas_in_plain_numpy(size: int) -> None:
    rng = np.random.default_rng(size)
    inside = circle_mask(size)
    for highest in (2, 40, 256):
        image = rng.integers(0, highest, (size, size, 3)).astype(np.uint8)
        brightest = image.max(axis=2)
        assert quality._percentile(brightest, inside, 0.95) == np.percentile(brightest[inside], 95)
        lit = inside & (brightest > 0.1 * np.percentile(brightest[inside], 95))
        red, green, blue = image[lit].mean(axis=0, dtype=np.float64)
        measures = measure(image, inside)
        assert measures["coverage"] == f"{lit.sum() / inside.sum():.4f}"
        assert measures["red_to_green"] == f"{red / max(green, 1 / 255):.4f}"
        assert measures["blue_to_green"] == f"{blue / max(green, 1 / 255):.4f}"
