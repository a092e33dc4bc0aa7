import numpy as np
import pytest
from numpy.typing import NDArray

from keras_dr.core.decision import MARGIN, Cut, Decision
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.intervals import wilson
from keras_dr.metrics.measure import measure
from keras_dr.metrics.operating_points import AIMS, Aim, choose
from keras_dr.metrics.predictions import Predictions

POSITIVE = np.array([False] * 10 + [True] * 4)
SCORES = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.45, 0.6, 0.65, 0.72])


def graded(positive: NDArray[np.bool_], scores: NDArray[np.float64], severe: NDArray[np.bool_] | None = None):
    """Predictions with these probabilities of referable DR; the grade is no_dr, or severe where `severe` says so."""
    scores = np.asarray(scores, np.float64)
    probabilities = np.stack([1 - scores, 0 * scores, scores / 3, scores / 3, scores / 3], axis=1)
    if severe is not None:
        probabilities[severe] = [0, 0, 0.2, 0.6, 0.2]
    return Predictions(np.where(positive, 2, 0), probabilities, TASKS["icdr"])


def test_target_specificity_is_reached() -> None:
    chosen = choose(graded(POSITIVE, SCORES), Aim({"specificity": 0.85}))  # 8 of 10 is too few, so it must be 9
    assert (chosen.specificity, chosen.sensitivity) == (0.9, 0.75)
    assert 0.5 < chosen.value - MARGIN < 0.6


def test_target_sensitivity_is_reached_with_the_best_specificity() -> None:
    chosen = choose(graded(POSITIVE, SCORES), Aim({"sensitivity": 0.9}))
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)
    assert 0.4 < chosen.value - MARGIN < 0.45


def test_the_point_states_counts_and_intervals() -> None:
    chosen = choose(graded(POSITIVE, SCORES), Aim({"sensitivity": 0.9}))
    assert (chosen.positive, chosen.negative) == (4, 10)
    assert chosen.sensitivity_interval == pytest.approx(wilson(4, 4))
    assert chosen.specificity_interval == pytest.approx(wilson(8, 10))


def test_referable_grades_count_as_referred_at_every_threshold() -> None:
    # one negative is graded severe: specificity cannot exceed .9; one positive is, so sensitivity is never 0
    severe = np.zeros(14, bool)
    severe[[0, 13]] = True
    scores = np.where(severe, 0, SCORES)
    chosen = choose(graded(POSITIVE, scores, severe), Aim({"specificity": 0.95}))
    assert (chosen.specificity, chosen.sensitivity) == (0.9, 0.25)
    assert chosen.missed() == ["specificity"]
    assert "misses its target: specificity at least 0.95, reached 0.900" in " ".join(chosen.doubts("referable DR"))


def test_youden_has_the_highest_sum() -> None:
    chosen = choose(graded(POSITIVE, SCORES), AIMS["youden"])  # 1 + .8 beats .75 + .9
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)


def test_screening_that_cannot_be_reached_is_missed_by_as_little_as_possible() -> None:
    chosen = choose(graded(POSITIVE, SCORES), AIMS["screening"])  # 1.0 and .8 miss by .025, .75 and .9 by .1
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)
    assert chosen.missed() == ["specificity"]


def test_a_strict_target_must_be_exceeded() -> None:
    predictions = graded(POSITIVE, SCORES)
    assert choose(predictions, Aim({"specificity": 0.9}, strict=True)).specificity == 1.0
    assert choose(predictions, Aim({"specificity": 0.9})).specificity == 0.9


def test_identical_scores_refer_nobody_to_reach_specificity() -> None:
    chosen = choose(graded(POSITIVE, np.full(14, 0.3)), Aim({"specificity": 0.9}))
    assert (chosen.specificity, chosen.sensitivity) == (1.0, 0.0)


def test_threshold_needs_positive_and_negative_photographs() -> None:
    with pytest.raises(ValueError, match="referable"):
        choose(graded(np.ones(3, bool), np.full(3, 0.5)), Aim({"specificity": 0.9}))


def test_scores_that_differ_in_the_last_bit_are_distinguished() -> None:
    probabilities = np.array([[0.6, 0, 0.4, 0, 0], [0.6, 0, np.nextafter(0.4, 1), 0, 0]])
    predictions = Predictions(np.array([0, 2]), probabilities, TASKS["icdr"])
    chosen = choose(predictions, AIMS["youden"])
    assert predictions.scores[0] < predictions.scores[1]
    assert chosen.specificity == 1.0


def two_classes(rule: Decision) -> Predictions:
    """The same scores as those of a grader of two classes."""
    return Predictions(POSITIVE.astype(int), np.stack([1 - SCORES, SCORES], axis=1), TASKS["referable"], rule)


def test_of_two_classes_a_threshold_above_one_half_has_an_effect() -> None:
    chosen = choose(two_classes(Cut(1, 0.5)), Aim({"specificity": 1.0}))  # the highest negative score is .7
    assert (chosen.specificity, chosen.sensitivity) == (1.0, 0.25)
    assert 0.7 < chosen.value - MARGIN < 0.72
    assert choose(two_classes("argmax"), Aim({"specificity": 1.0})).specificity == 0.9  # the class decides first
    at_point = two_classes(Cut(1, chosen.value))
    assert at_point.predicted.tolist() == (chosen.value <= SCORES).astype(int).tolist()
    figures = measure(at_point, chosen, resamples=0)
    assert figures["operating_point"]["specificity"] == 1.0
    assert figures["classes"]["referable"]["recall"] == 0.0  # .72 is uncertain: below the threshold, within the margin


def test_figures_at_another_point_follow_that_point() -> None:
    predictions = two_classes(Cut(1, 0.9))
    assert predictions.referred(0.5).tolist() == (SCORES >= 0.45).tolist()
