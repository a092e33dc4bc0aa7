import cv2
import numpy as np
import pytest

from keras_dr.recipe import Augmentation
from keras_dr.training.augmentation import augmented

STILL = {"flip": False, "quarter_turns": False, "brightness": 0, "contrast": 0}


def changed(image: np.ndarray, seed: int = 0, **settings: object) -> np.ndarray:
    return augmented(image, Augmentation(**STILL | settings), np.random.default_rng([seed, 7]))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(60, 190, (32, 32, 3), np.uint8)


def test_an_augmentation_without_changes_keeps_the_photograph(image: np.ndarray) -> None:
    assert np.array_equal(changed(image), image)


@pytest.mark.parametrize("side", [2, 31, 32])
def test_flips_and_turns_give_the_eight_symmetries(side: int) -> None:
    image = np.random.default_rng(0).integers(1, 255, (side, side, 3), np.uint8)
    results = {changed(image, seed, flip=True, quarter_turns=True).tobytes() for seed in range(80)}
    symmetries = [np.rot90(flipped, turns) for flipped in (image, image[::-1]) for turns in range(4)]
    assert results == {np.ascontiguousarray(symmetry).tobytes() for symmetry in symmetries}


def test_rotation_turns_about_the_centre() -> None:
    image = np.zeros((33, 33, 3), np.uint8)
    image[16, 16] = 200
    image[4:9, 16] = 100
    for seed in range(5):
        turned = changed(image, seed, rotation=180)
        assert turned[16, 16, 0] == pytest.approx(200, abs=1)
        y, x = (axis.mean() - 16 for axis in np.nonzero(turned[..., 0] * (np.hypot(*np.mgrid[-16:17, -16:17]) > 4)))
        assert np.hypot(y, x) == pytest.approx(10, abs=1.5)


def test_zoom_changes_the_radius_within_its_bounds() -> None:
    image = cv2.circle(np.zeros((65, 65, 3), np.uint8), (32, 32), 20, (200, 200, 200), -1)
    radii = [np.sqrt((changed(image, seed, zoom=0.2)[..., 0] > 100).sum() / np.pi) for seed in range(40)]
    assert 15.5 < min(radii) < 17.5 and 22.5 < max(radii) < 24.5


def test_translation_stays_within_its_share_of_the_side() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[18:22, 18:22] = 200
    moves = []
    for seed in range(40):
        light = changed(image, seed, translation=0.25)[..., 0].astype(float)
        moves.append([(light * axis).sum() / light.sum() - 19.5 for axis in np.mgrid[:40, :40]])
    assert 9 < np.abs(moves).max() < 10.1
    assert np.std(moves, axis=0) == pytest.approx([20 / np.sqrt(12)] * 2, rel=0.25)  # uniform in [-10, 10]


def test_grayscale_is_applied_with_its_probability(image: np.ndarray) -> None:
    luma = image @ [0.299, 0.587, 0.114]
    results = [changed(image, seed, grayscale=0.25) for seed in range(200)]
    grey = [result for result in results if (result == result[..., :1]).all()]
    assert all(np.abs(result[..., 0] - luma).max() <= 1 for result in grey)
    assert 0.15 < len(grey) / 200 < 0.35
    assert sum(np.array_equal(result, image) for result in results) == 200 - len(grey)


def test_saturation_leaves_the_grey_of_a_pixel_alone(image: np.ndarray) -> None:
    result = changed(image, 3, saturation=0.2)
    weights = [0.299, 0.587, 0.114]
    assert not np.array_equal(result, image)
    assert np.abs(result @ weights - image @ weights).max() < 1


def test_brightness_multiplies_by_one_factor(image: np.ndarray) -> None:
    ratios = [changed(image, seed, brightness=0.3).mean() / image.mean() for seed in range(40)]
    assert 0.7 < min(ratios) < 0.78 and 1.22 < max(ratios) < 1.3


def test_contrast_keeps_the_mean(image: np.ndarray) -> None:
    results = [changed(image, seed, contrast=0.3) for seed in range(40)]
    assert max(abs(result.mean() - image.mean()) for result in results) < 0.5
    spreads = [result.std() / image.std() for result in results]
    assert 0.7 < min(spreads) < 0.78 and 1.22 < max(spreads) < 1.3


def test_hue_keeps_grey_and_the_distance_from_it(image: np.ndarray) -> None:
    image = image // 2 + 60
    result = changed(image, 1, hue=180).astype(float)
    from_grey = [pixels - pixels.mean(axis=2, keepdims=True) for pixels in (image, result)]
    assert np.abs(result.mean(axis=2) - image.mean(axis=2)).max() < 1
    assert np.abs(np.linalg.norm(from_grey[0], axis=2) - np.linalg.norm(from_grey[1], axis=2)).max() < 1.5
    assert np.abs(result - image).mean() > 5


def test_a_third_of_a_turn_of_hue_makes_red_green() -> None:
    from keras_dr.training.augmentation import colouring

    names = ("grayscale", "hue", "saturation", "contrast", "brightness", "red", "green", "blue")
    draws = dict.fromkeys(names, 1.0)
    matrix = colouring(np.zeros(3), Augmentation(**STILL | {"hue": 120}), draws)
    assert matrix @ [255, 0, 0, 1] == pytest.approx([0, 255, 0])


def test_black_stays_black_and_the_range_is_kept(image: np.ndarray) -> None:
    image[:, :9] = 0
    strong = {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9, "hue": 180, "grayscale": 0.5}
    for seed in range(20):
        assert not changed(image, seed, **strong)[:, :9].any()


def test_one_setting_does_not_change_the_draws_of_another(image: np.ndarray) -> None:
    turned = changed(image, rotation=30)
    assert np.array_equal(turned == 0, changed(image, rotation=30, brightness=0.1) == 0)


def test_gains_scale_each_colour_by_its_own_factor(image: np.ndarray) -> None:
    ratios = np.array([changed(image, seed, channel_gain=0.3).mean((0, 1)) / image.mean((0, 1)) for seed in range(60)])
    assert 0.69 < ratios.min() < 0.76 and 1.24 < ratios.max() < 1.31
    assert np.abs(np.corrcoef(ratios.T)[np.triu_indices(3, 1)]).max() < 0.3  # independent of each other


def test_gamma_raises_each_value_to_one_power(image: np.ndarray) -> None:
    for seed in range(10):
        result = changed(image, seed, gamma=0.5)
        exponents = np.log(result / 255) / np.log(image / 255)
        assert np.ptp(exponents) < 0.05
        assert 1 / 1.5 - 0.02 < np.median(exponents) < 1.5 + 0.02


@pytest.mark.parametrize("settings", [{"blur": 20}, {"resolution": 0.9}, {"compression": 95}])
def test_detail_is_lost_and_the_mean_stays(image: np.ndarray, settings: dict[str, float]) -> None:
    results = [changed(image, seed, **settings) for seed in range(20)]
    assert min(result.std() for result in results) < 0.7 * image.std()
    assert max(abs(result.mean() - image.mean()) for result in results) < 4
