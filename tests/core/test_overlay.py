import numpy as np

from keras_dr.core.overlay import OPACITY, STOPS, blend, enlarge, normalise


def test_blend_is_the_weighted_mean_of_photograph_and_colour() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, (48, 48, 3), np.uint8)
    heatmap = rng.normal(size=(4, 4))
    heat = enlarge(normalise(heatmap), 48)
    colours = np.stack([np.interp(heat, (0, 0.5, 1), channel) for channel in zip(*STOPS, strict=True)], axis=2)
    opacity = OPACITY * heat[..., None]
    np.testing.assert_allclose(blend(image, heatmap), image * (1 - opacity) + colours * opacity, atol=1.5)


def test_black_surround_and_what_has_no_evidence_stay() -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    image[:, 24:] = (200, 0, 0)
    assert not blend(image, np.ones((2, 2)))[:, :24].any()
    np.testing.assert_array_equal(blend(image, -np.ones((2, 2))), image)
