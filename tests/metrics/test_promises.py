"""Promises hold as often as they say, over many draws of patients with two correlated eyes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from keras_dr.core.operating_point import OperatingPoint, Promise
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.predictions import Predictions
from keras_dr.metrics.promises import choose_promise, kept_on, needed, too_few, upper_bound

RISK = 0.1
CONFIDENCE = 0.95
DRAWS = 1000


def draw(random: np.random.Generator, patients: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities of referable DR (patients, 2) of two eyes each, and whether the patient has it in both."""
    positive = random.random(patients) < 0.5
    patient = random.normal(size=(patients, 1))
    eye = random.normal(size=(patients, 2))
    logits = np.where(positive, 1.0, -2.2)[:, None] + 1.2 * patient + 0.7 * eye
    return 1 / (1 + np.exp(-logits)), positive


def graded(scores: NDArray[np.float64], positive: NDArray[np.bool_], together: bool = True) -> Predictions:
    """Predictions that are referred by their threshold alone: the grade is always no_dr or mild."""
    score = 0.49 * scores.reshape(-1)  # so that the most probable grade is never a referable one
    probabilities = np.stack([1 - score, 0 * score, score / 3, score / 3, score / 3], axis=1)
    codes = np.repeat(np.arange(len(scores)), 2) if together else np.arange(2 * len(scores))
    return Predictions(np.where(np.repeat(positive, 2), 2, 0), probabilities, TASKS["icdr"], patients=codes)


def true_risk(threshold: float) -> float:
    """Share of the patients with referable DR of whom an eye is missed."""
    scores, positive = LARGE
    return float((0.49 * scores[positive] < threshold - 0.05).any(axis=1).mean())


LARGE = draw(np.random.default_rng(0), 200_000)


def broken_promises(together: bool) -> tuple[float, float]:
    """Over many draws of 100 patients: how often more patients are missed than promised, and the mean specificity."""
    random = np.random.default_rng(1)
    broken = 0
    specificity = []
    for _ in range(DRAWS):
        scores, positive = draw(random, 200)
        predictions = graded(scores, positive, together)
        kept = choose_promise(predictions, RISK, CONFIDENCE)
        assert kept is not None
        broken += true_risk(kept[0]) > RISK
        specificity.append(1 - predictions.referred(kept[0])[~predictions.positive].mean())
    return broken / DRAWS, float(np.mean(specificity))


@pytest.mark.slow
def test_a_promise_fails_no_more_often_than_stated_and_does_not_refer_everyone() -> None:
    share, specificity = broken_promises(together=True)
    assert binomtest(round(share * DRAWS), DRAWS, 1 - CONFIDENCE, "greater").pvalue > 0.001
    assert specificity > 0.4


@pytest.mark.slow
def test_counting_each_eye_breaks_the_promise() -> None:
    share, _ = broken_promises(together=False)
    assert share > 0.2


def test_numbers_of_patients_that_are_needed() -> None:
    # .9 ** 29 = .0471 and .9 ** 28 = .0523; 46: .9 ** 46 + 46 * .1 * .9 ** 45 = .0480
    assert (needed(RISK, CONFIDENCE), needed(RISK, CONFIDENCE, 1)) == (29, 46)
    assert (needed(0.05, 0.95), needed(0.05, 0.95, 1)) == (59, 93)


@pytest.mark.parametrize(("missed", "count"), [(0, 29), (1, 46), (3, 50), (20, 20)])
def test_the_bound_is_that_of_scipy(missed: int, count: int) -> None:
    expected = binomtest(missed, count, alternative="less").proportion_ci(CONFIDENCE, "exact").high
    assert upper_bound(missed, count, CONFIDENCE) == pytest.approx(expected, abs=1e-9)


def test_too_few_patients_give_no_promise() -> None:
    scores = np.full((28, 2), 0.9)
    assert choose_promise(graded(scores, np.ones(28, bool)), RISK, CONFIDENCE) is None
    assert choose_promise(graded(np.full((29, 2), 0.9), np.ones(29, bool)), RISK, CONFIDENCE) is not None
    assert "needs 29 of which none is missed, or 46 of which one is" in too_few(28, "patients", RISK, CONFIDENCE)


def test_one_missed_eye_counts_as_a_missed_patient() -> None:
    scores = np.full((60, 2), 0.9)
    scores[:3, 1] = 0.0  # three patients whose second eye looks healthy
    threshold, count, missed = choose_promise(graded(scores, np.ones(60, bool)), RISK, CONFIDENCE) or (0, 0, 0)
    assert (count, missed) == (60, 0)  # three of 60 would break the promise, so everyone is referred
    assert threshold == pytest.approx(0.05)


def test_a_promise_in_words() -> None:
    words = Promise(RISK, CONFIDENCE, "blocks", 42, 0, "idrid").in_words("referable DR")
    assert words.startswith("With 95 % confidence at most 10 % of blocks with referable DR are missed.")
    assert "Another camera or population voids it." in words


def test_a_point_with_a_promise_is_read_back() -> None:
    point = OperatingPoint(0.3, promise=Promise(RISK, CONFIDENCE, "patients", 120, 4, "clinic"))
    assert OperatingPoint.from_dict(point.to_dict()) == point
    assert "at most 10 % of patients with referable DR are missed" in point.in_words("referable DR")


def test_a_promise_is_measured_on_other_patients() -> None:
    scores = np.full((20, 2), 0.9)
    scores[:2, 0] = 0.0
    measured = kept_on(graded(scores, np.ones(20, bool)), 0.3)
    assert (measured["patients"], measured["missed"], measured["share"]) == (20, 2, 0.1)
    exact = binomtest(2, 20).proportion_ci(0.95, "exact")
    assert measured["interval"] == pytest.approx((exact.low, exact.high))
