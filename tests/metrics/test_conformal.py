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
    rates = []
    for _ in range(DRAWS):
        sets = calibrate_sets(draw(random, patients, random.integers(1, 3, patients)), 0.9, 0.5, "patients", "clinic")
        assert sets is not None
        rates.append(covered(sets, draw(random, 200, random.integers(1, 3, 200))))
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


def unimodal(count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities that fall on both sides of the mode, so that neighbours enter in their order."""
    random = np.random.default_rng(7)
    labels = random.integers(0, 5, count)
    seen = labels + random.normal(size=count)
    weights = np.exp(-((seen[:, None] - STEPS) ** 2))
    return labels, weights / weights.sum(axis=1, keepdims=True)


# Made on 26 November 2026 with MAPIE 1.6.0: SplitConformalClassifier(given, confidence_level=[0.9, 0.8], prefit=True,
# conformity_score=...) and conformalize(probabilities, labels) on `unimodal(count)`; `given` returns its input as
# probabilities. The numbers are its quantiles_ of "lac", whose score is 1 - probability of the label.
MAPIE_QUANTILES = {
    19: (0.9071613200435819, 0.829887890400378),
    50: (0.9073786959345185, 0.799481013307166),
    200: (0.9467743626232952, 0.8312233648448679),
}
# Its quantile of "aps" at 0.9 for 200, and the first six sets of predict_set with include_last_label=True. Its scores
# have a random part, so that only the sets can be compared.
MAPIE_LIMIT = 0.9771468247655813
MAPIE_SETS = ["01110", "01111", "01110", "00011", "00011", "01111"]


@pytest.mark.parametrize("count", [19, 50, 200])
def test_the_quantile_is_that_of_mapie(count: int) -> None:
    labels, probabilities = unimodal(count)
    scores = 1 - probabilities[np.arange(count), labels]
    limits = [conformal_limit(scores, np.arange(count), coverage) for coverage in (0.9, 0.8)]
    assert limits == pytest.approx(list(MAPIE_QUANTILES[count]), abs=1e-9)


def test_where_neighbours_enter_in_the_order_of_probability_the_sets_are_those_of_mapie() -> None:
    probabilities = unimodal(200)[1][:6]
    inside = GradeSets(MAPIE_LIMIT, 0.9, "patients", 200, "clinic").contains(
        probabilities, probabilities.argmax(axis=1)
    )
    assert ["".join(map(str, row)) for row in inside.astype(int)] == MAPIE_SETS
