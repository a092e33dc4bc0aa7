import numpy as np
import pytest

from keras_dr.core.decision import Cut, ReferralRule, condition_words, decide, name_of_rule, rule_of
from keras_dr.core.errors import KerasDrError

PROBABILITIES = np.array([[0.4, 0.1, 0.2, 0.3], [0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])


def test_argmax_takes_the_most_probable_class() -> None:
    assert decide(PROBABILITIES).tolist() == [0, 0, 3]


def test_median_takes_the_class_at_which_half_is_reached() -> None:
    assert decide(PROBABILITIES, "median").tolist() == [1, 0, 2]


def test_float32_rows_that_sum_to_less_than_one_have_a_median() -> None:
    assert decide(np.array([[0, 0, 0.49999994]], np.float32), "median").tolist() == [2]


def test_unknown_decision() -> None:
    with pytest.raises(KerasDrError, match="argmax, median"):
        decide(PROBABILITIES, "mode")


ROWS = np.array(
    [
        [0.1, 0.1, 0.1, 0.6, 0.1],  # severe
        [0.5, 0.0, 0.5, 0.0, 0.0],  # at the threshold
        [0.55, 0.0, 0.45, 0.0, 0.0],  # a margin below
        [0.56, 0.0, 0.44, 0.0, 0.0],
    ]
)


def test_the_first_reason_that_applies_refers() -> None:
    rule = ReferralRule((2, 3, 4), threshold=0.5, margin=0.05)
    assert rule.reasons(ROWS, decide(ROWS)).tolist() == ["grade", "threshold", "uncertain", ""]
    assert rule.referred(ROWS, decide(ROWS)).tolist() == [True, True, True, False]


def test_a_threshold_above_1_is_none_at_any_margin() -> None:
    grades = decide(ROWS)
    wide = ReferralRule((2, 3, 4), threshold=1.05, margin=1.0)
    assert wide.reasons(ROWS, grades).tolist() == ["grade", "", "", ""]
    assert (
        ReferralRule((2, 3, 4), np.array([1.05, 1.05, 1.05, 1.0]), np.ones(4)).reasons(ROWS, grades)[3] == "uncertain"
    )
    almost_sure = np.array([[0.03, 0.97], [0.05, 0.95]])  # of two classes, the threshold 1.01 was chosen to refer 0.97
    rule = ReferralRule((1,), threshold=1.01, margin=0.3)
    assert rule.reasons(almost_sure, decide(almost_sure, Cut(1, 1.01))).tolist() == ["uncertain", ""]


def test_a_task_that_refers_nobody_has_no_reasons() -> None:
    assert ReferralRule((), threshold=0.0).reasons(ROWS, decide(ROWS)).tolist() == [""] * 4


@pytest.mark.parametrize("decision", ["argmax", "median"])
def test_a_referable_grade_is_referred_at_any_threshold(decision: str) -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(5, 0.5), 10_000).astype(np.float32)
    grades = decide(probabilities, decision)
    thresholds = random.uniform(0, 1.1, 10_000)
    margins = random.choice([0.0, 0.05, 1.0], 10_000)
    reasons = ReferralRule((2, 3, 4), thresholds, margins).reasons(probabilities, grades)
    assert (reasons[grades >= 2] == "grade").all()
    scores = probabilities[:, 2:].sum(axis=1, dtype=np.float64)
    assert (reasons[(grades < 2) & (scores >= thresholds)] == "threshold").all()
    assert (reasons[(grades < 2) & (scores < thresholds - margins)] == "").all()


def test_conditions_in_words() -> None:
    assert condition_words("icdr", ("no_dr", "mild", "moderate"), (2,)) == "referable DR"
    assert condition_words("classes", ("normal", "glaucoma", "cataract"), (1, 2)) == "glaucoma or cataract"


@pytest.mark.parametrize("positive", [0, 1])
def test_of_two_classes_the_grade_follows_the_threshold(positive: int) -> None:
    scores = np.random.default_rng(0).random(1000)
    probabilities = np.stack([scores, 1 - scores] if positive == 0 else [1 - scores, scores], axis=1)
    for threshold in (0.1, 0.5, 0.7, 0.95):
        grades = decide(probabilities, Cut(positive, threshold))
        assert ((grades == positive) == (probabilities[:, positive] >= threshold)).all()
        referred = ReferralRule((positive,), threshold, 0.05).referred(probabilities, grades)
        assert (referred == (probabilities[:, positive] >= threshold - 0.05)).all()


def test_the_rule_of_the_head_stays_with_more_classes_or_without_one_positive_class() -> None:
    assert name_of_rule("argmax", ("no", "yes"), (1,)) == "threshold"
    assert name_of_rule("argmax", ("no", "yes"), ()) == name_of_rule("argmax", ("a", "b", "c"), (1,)) == "argmax"
    assert rule_of("threshold", (1,), 0.7) == Cut(1, 0.7)
    assert rule_of("median", (2, 3, 4), 0.7) == "median"
