import numpy as np
import pytest

from keras_dr.metrics.operating_points import AIMS, Aim, OperatingPoint, choose, choose_threshold

POSITIVE = np.array([False] * 10 + [True] * 4)
SCORES = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.8, 0.45, 0.6, 0.7, 0.9])


def test_target_specificity_is_reached() -> None:
    chosen = choose_threshold(POSITIVE, SCORES, "specificity", 0.85)  # 8 of 10 is too few, so it must be 9
    assert (chosen.specificity, chosen.sensitivity) == (0.9, 0.75)
    assert 0.5 < chosen.value < 0.6


def test_target_sensitivity_is_reached_with_the_best_specificity() -> None:
    chosen = choose_threshold(POSITIVE, SCORES, "sensitivity", 0.9)
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)
    assert 0.4 < chosen.value < 0.45


def test_youden_has_the_highest_sum() -> None:
    chosen = choose(POSITIVE, SCORES, AIMS["youden"])  # 1 + .8 beats .75 + .9
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)


def test_screening_that_cannot_be_reached_is_missed_by_as_little_as_possible() -> None:
    chosen = choose(POSITIVE, SCORES, AIMS["screening"])  # 1.0 and .8 miss by .025, .75 and .9 by .1
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.8)
    assert chosen.reached("sensitivity", chosen.sensitivity) and not chosen.reached("specificity", chosen.specificity)


def test_a_strict_target_must_be_exceeded() -> None:
    strict = choose(POSITIVE, SCORES, Aim({"specificity": 0.9}, strict=True))
    assert strict.specificity == 1.0
    assert choose(POSITIVE, SCORES, Aim({"specificity": 0.9})).specificity == 0.9


def test_identical_scores_refer_nobody_to_reach_specificity() -> None:
    chosen = choose_threshold(POSITIVE, np.full(14, 0.3), "specificity", 0.9)
    assert (chosen.specificity, chosen.sensitivity) == (1.0, 0.0)


def test_scores_of_one_are_not_referred_if_specificity_forbids_it() -> None:
    positive = np.array([False] * 5 + [True] * 2)
    scores = np.array([0.1, 0.2, 0.3, 0.4, 1.0, 0.5, 1.0])
    chosen = choose_threshold(positive, scores, "specificity", 0.95)
    assert (chosen.specificity, chosen.sensitivity) == (1.0, 0.0)
    assert not (scores >= chosen.value).any()


def test_threshold_needs_positive_and_negative_photographs() -> None:
    with pytest.raises(ValueError, match="referable"):
        choose_threshold(np.ones(3, bool), np.ones(3), "specificity", 0.9)


def test_a_target_holds_only_if_its_figure_was_measured() -> None:
    point = OperatingPoint(0.5, {"sensitivity": 0.9})
    assert point.reached("sensitivity", 0.9) is True
    assert point.reached("sensitivity", None) is point.reached("specificity", 1.0) is None


def test_scores_that_differ_in_the_last_bit_are_distinguished() -> None:
    low = 0.7
    scores = np.array([low, np.nextafter(low, 1)])
    chosen = choose(np.array([False, True]), scores, AIMS["youden"])
    assert ((scores >= chosen.value) == [False, True]).all() and chosen.specificity == 1.0
