"""Sets of grades hold the true grade as often as they say, over many draws of patients with two correlated eyes."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from keras_dr.core.grade_sets import GradeSets
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.conformal import calibrate_sets, conformal_limit, measured_sets, patients_needed
from keras_dr.metrics.predictions import Predictions

DRAWS = 1000
STEPS = np.arange(5)


def draw(random: np.random.Generator, patients: int, eyes: NDArray[np.int64]) -> Predictions:
    """An overconfident grader of patients with so many eyes each, whose errors are correlated."""
    codes = np.repeat(np.arange(patients), eyes)
    severity = random.choice(5, patients, p=[0.4, 0.15, 0.2, 0.15, 0.1])[codes]
    seen = severity + 0.9 * random.normal(size=patients)[codes] + 0.5 * random.normal(size=len(codes))
    weights = np.exp(-((seen[:, None] - STEPS) ** 2))
    return Predictions(severity, weights / weights.sum(axis=1, keepdims=True), TASKS["icdr"], patients=codes)


def covered(sets: GradeSets, predictions: Predictions) -> float:
    inside = sets.contains(predictions.probabilities, predictions.predicted)
    hit = inside[np.arange(len(inside)), predictions.labels]
    weights = 1 / np.bincount(predictions.patients)[predictions.patients]  # a photograph of a random patient
    return float((hit * weights).sum() / weights.sum())


@pytest.mark.slow
@pytest.mark.parametrize("patients", [20, 99])
def test_the_coverage_holds_on_the_mean_over_draws(patients: int) -> None:
    random = np.random.default_rng(1)
    fresh = draw(random, 20_000, random.integers(1, 3, 20_000))
    rates = []
    for _ in range(DRAWS):
        sets = calibrate_sets(draw(random, patients, random.integers(1, 3, patients)), 0.9, 0.5, "patients", "clinic")
        assert sets is not None
        rates.append(covered(sets, fresh))
    error = np.std(rates) / math.sqrt(DRAWS)
    assert np.mean(rates) >= 0.9 - 3 * error
    assert np.mean(rates) <= 0.97  # all grades would cover as well, and say nothing


def test_with_one_photograph_per_patient_the_limit_is_the_conformal_quantile() -> None:
    random = np.random.default_rng(2)
    for count in (9, 19, 50, 133):
        scores = random.random(count)
        expected = np.sort(scores)[math.ceil((count + 1) * 0.9 - 1e-9) - 1]
        assert conformal_limit(scores, np.arange(count), 0.9) == expected
    assert conformal_limit(random.random(8), np.arange(8), 0.9) is None


def test_several_photographs_of_a_patient_count_as_one() -> None:
    scores = np.arange(20) / 20
    alone = conformal_limit(scores, np.arange(20), 0.9)
    assert conformal_limit(np.repeat(scores, 3), np.repeat(np.arange(20), 3), 0.9) == alone
    assert conformal_limit(np.repeat(scores[:8], 9), np.repeat(np.arange(8), 9), 0.9) is None


def test_numbers_of_patients_that_are_needed() -> None:
    assert [patients_needed(coverage) for coverage in (0.8, 0.9, 0.95)] == [4, 9, 19]


def test_measured_sets_count_coverage_and_added_referrals() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1, 0.0, 0.0], [0.1, 0.5, 0.4, 0.0, 0.0], [0.0, 0.1, 0.2, 0.7, 0.0]])
    predictions = Predictions(np.array([2, 2, 3]), probabilities, TASKS["icdr"])
    sets = GradeSets(0.55, 0.9, "patients", 99, "clinic")  # {no_dr}, {mild, moderate}, {severe}
    measured = measured_sets(sets, predictions, 0.9)
    assert measured["coverage"] == pytest.approx(2 / 3)
    assert (measured["size"], measured["single"]) == (pytest.approx(4 / 3), pytest.approx(2 / 3))
    assert measured["added"] == pytest.approx(1 / 3)  # the second is mild, and its set holds moderate
    assert measured["added_interval"][0] < 1 / 3 < measured["added_interval"][1]
