import numpy as np
import pytest

from keras_dr.datasets.grades import TASKS, Task
from keras_dr.metrics import calibration, weighted


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.exp(logits / temperature - (logits / temperature).max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def drawn(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and logits whose probabilities are calibrated at that temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5))
    chances = softmax(logits, 1.0).cumsum(axis=1)
    labels = (rng.random((n, 1)) > chances).sum(axis=1).clip(max=4)
    return labels, logits * temperature


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_the_temperature_of_the_labels_is_recovered(temperature: float) -> None:
    labels, logits = drawn(temperature)
    assert calibration.fit_temperature(labels, logits, softmax) == pytest.approx(temperature, rel=0.03)


def test_a_faultless_grader_gets_a_finite_temperature() -> None:
    temperature = calibration.fit_temperature(np.array([0, 1]), np.array([[5.0, 0], [0, 5]]), softmax)
    assert calibration.TEMPERATURES[0] <= temperature < 0.2


def test_very_large_logits_get_no_temperature() -> None:
    assert calibration.fit_temperature(np.array([0, 1]), np.array([[800.0, 0], [0, 800]]), softmax) == 1.0


def test_calibration_error_by_hand() -> None:
    # two bins: (.0, .5] holds .3 wrong and .5 right, gap |.8 - 1| / 4; (.5, 1] holds .9 and .9 right, gap .2 / 4
    confidence = np.array([0.3, 0.5, 0.9, 0.9])
    right = np.array([False, True, True, True])
    error = weighted.expected_calibration_error(np.ones((1, 4)), confidence, right, bins=2)
    assert error[0] == pytest.approx(0.1)


def test_reliability_by_hand() -> None:
    points = calibration.reliability(np.array([0.05, 0.1, 0.95]), np.array([False, True, True]))
    assert points == [
        {"photographs": 2, "confidence": pytest.approx(0.075), "frequency": 0.5},
        {"photographs": 1, "confidence": pytest.approx(0.95), "frequency": 1.0},
    ]


def test_the_values_that_a_run_fixes_on_validation() -> None:
    labels, logits = drawn(2.0, 2000)
    about = calibration.calibrate(labels, logits, softmax, TASKS["icdr"], "sensitivity", 0.9, "median")
    assert about["decision"] == "median" and about["temperature"] == pytest.approx(2, rel=0.1)
    assert about["calibration"]["after"]["ece"] < about["calibration"]["before"]["ece"]
    assert about["operating_point"]["rule"] == "sensitivity" and about["operating_point"]["sensitivity"] >= 0.9
    assert about["operating_points"]["screening"]["sensitivity"] > 0.85
    assert len(about["certainty_quantiles"]) == 101


def test_a_task_that_refers_nobody_has_no_operating_points() -> None:
    named = Task("classes", ("oval", "round", "square"), ())
    about = calibration.calibrate(np.array([0, 1, 2]), np.eye(3), softmax, named)
    assert about["operating_points"] == {} and about["operating_point"]["sensitivity"] is None
