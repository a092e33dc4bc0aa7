from time import process_time

import numpy as np
import pytest

from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics import intervals, measure
from keras_dr.metrics.predictions import Predictions


def test_wilson_equals_the_published_example() -> None:
    # R. Newcombe, Statistics in Medicine 17, 1998, table I, method 3: 81 of 263, 0 of 20, 29 of 29
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert intervals.wilson(29, 29) == pytest.approx((0.8830, 1), abs=5e-5)
    assert intervals.wilson(0, 0) is None


def test_two_equal_eyes_count_as_one_photograph() -> None:
    hit = np.array([True, True, False, True])
    patients = np.arange(4)
    everyone = np.ones(4, bool)
    single = intervals.proportion(hit, everyone, patients)
    twice = intervals.proportion(np.repeat(hit, 2), np.repeat(everyone, 2), np.repeat(patients, 2))
    assert single == intervals.wilson(3, 4)
    assert twice == pytest.approx(single)
    sure = np.ones(8, bool)
    assert intervals.proportion(sure, sure, np.repeat(patients, 2)) == intervals.wilson(4, 4)


def test_resamples_draw_all_photographs_of_a_patient() -> None:
    patients = np.array([0, 0, 1, 2, 2])
    weights = np.concatenate(list(intervals.resamples(patients, 500)))
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_bootstrap_of_a_mean_is_near_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    interval = intervals.bootstrap(lambda w: {"mean": w @ values / w.sum(axis=1)}, np.arange(400))["mean"]
    error = values.std() / 20
    assert interval == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.3 * error)


def components(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return areas and covariance by DeLong's definition, pair by pair."""
    pairs = [[np.sign(x - s[~positive]) / 2 + 0.5 for x in s[positive]] for s in scores]
    psi = np.array(pairs)
    v10 = psi.mean(axis=2)
    v01 = psi.mean(axis=1)
    return psi.mean(axis=(1, 2)), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def test_delong_equals_its_definition_with_ties() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(80) < 0.4
    scores = np.round(rng.normal(0, 1, (2, 80)) + positive, 1)
    areas, covariance = intervals.delong(positive, scores)
    expected = components(positive, scores)
    assert areas == pytest.approx(expected[0], abs=1e-12) and covariance == pytest.approx(expected[1], abs=1e-12)
    difference = intervals.delong_difference(positive, scores)
    assert difference.value == pytest.approx(areas[0] - areas[1])
    assert intervals.delong_difference(positive, scores[[0, 0]]).p == 1.0


def test_delong_by_hand() -> None:
    # positives 3, 1; negatives 2, 0: shares of negatives below 1, .5 (variance .125), of positives above .5, 1
    areas, covariance = intervals.delong(np.array([True, True, False, False]), np.array([[3.0, 1, 2, 0]]))
    assert areas[0] == 0.75 and covariance[0, 0] == pytest.approx(0.125 / 2 + 0.125 / 2)


def test_delong_equals_the_published_example() -> None:
    # WFNS grade and outcome of 113 patients with subarachnoid haemorrhage; area and variance as pROC gives them
    # (X. Robin et al., BMC Bioinformatics 12:77, 2011)
    poor = (2, 12, 1, 8, 18)
    good = (37, 20, 3, 8, 4)
    grades = np.concatenate([np.repeat(np.arange(1.0, 6), poor), np.repeat(np.arange(1.0, 6), good)])
    areas, covariance = intervals.delong(np.arange(113) < 41, grades[None])
    assert areas[0] == pytest.approx(0.823678861788618, abs=1e-12)
    assert covariance[0, 0] == pytest.approx(0.00146991470882363, abs=1e-14)


def test_a_difference_without_spread_shows_nothing() -> None:
    positive = np.array([False, False, True, True])
    difference = intervals.delong_difference(positive, np.array([[0.1, 0.2, 0.8, 0.9], [0.5] * 4]))
    assert (difference.value, difference.p, difference.clear) == (0.5, None, False)


def test_mcnemar_by_hand() -> None:
    # 1 of 6 disagreements: 2 * (1 + 6) / 64
    first = np.array([True] + [False] * 5 + [True] * 4)
    second = np.array([False] + [True] * 5 + [True] * 4)
    assert intervals.mcnemar(first, second) == pytest.approx(14 / 64)
    assert intervals.mcnemar(first, first) == 1.0


def test_a_difference_is_clear_if_its_interval_excludes_zero() -> None:
    assert intervals.Difference(1, (0.1, 2)).clear and not intervals.Difference(1, (-0.1, 2)).clear
    assert not intervals.Difference(0, None).clear


@pytest.mark.slow
def test_all_figures_of_5000_photographs_take_less_than_ten_seconds() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 5000)
    p = rng.dirichlet(np.ones(5), 5000) + np.eye(5)[labels]
    predictions = Predictions(labels, p / 2, TASKS["icdr"], patients=np.arange(5000) // 2)
    started = process_time()  # unlike the clock, it does not count other programs on the machine
    measure.measure(predictions, OperatingPoint(0.5))
    assert process_time() - started < 10
