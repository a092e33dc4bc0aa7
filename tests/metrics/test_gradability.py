import numpy as np
import pytest

from keras_dr.datasets.grades import TASKS
from keras_dr.metrics import referral
from keras_dr.metrics.gradability import AS_TAKEN, Step, find_gradability_limits, holds, limit_rows, step_rows
from keras_dr.metrics.predictions import Predictions

LABELS = np.array([0] * 10 + [3] * 10)
RIGHT = LABELS.tolist()


def graded(predicted: list[int]) -> Predictions:
    return Predictions(LABELS, np.eye(5)[predicted], TASKS["icdr"])


def step(fault: str, value: float, predicted: list[int], words: str = "") -> Step:
    names = ("coverage", "illumination", "contrast", "sharpness")
    spread = value * np.linspace(0.9, 1.1, 20)  # the median is the value
    return Step(fault, words, dict.fromkeys(names, spread), graded(predicted))


def changed(count: int, to: int = 0) -> list[int]:
    """Return the right grades, of which the last `count` are changed."""
    return RIGHT[: 20 - count] + [to] * count


def test_the_grader_holds_until_sensitivity_or_grades_are_lost() -> None:
    as_taken = graded(RIGHT)
    assert holds(graded(changed(1)), as_taken, 0.5)  # keeps .9 of its sensitivity, 19 of 20 grades
    assert not holds(graded(changed(2)), as_taken, 0.5)  # keeps .8
    assert holds(graded(changed(4, to=4)), as_taken, 0.5)  # all are referred, a fifth of the grades changed
    assert not holds(graded(changed(5, to=4)), as_taken, 0.5)  # a quarter


@pytest.mark.parametrize("same", [0, 1, 2, 4])
def test_a_grader_that_always_answers_the_same_holds_nowhere(same: int) -> None:
    constant = graded([same] * 20)
    assert not holds(constant, constant, 0.5)
    steps = [step(AS_TAKEN, 1.0, [same] * 20), step("blurred", 0.5, [same] * 20), step("blurred", 0.2, [same] * 20)]
    assert find_gradability_limits(steps, 0.5) == {"blurred": 0.5}  # the weakest strength
    two_grades = graded([2] * 10 + [3] * 10)  # it refers everyone
    assert not holds(two_grades, two_grades, 0.5)


def test_the_limit_is_the_median_at_the_weakest_strength_that_breaks_the_grader() -> None:
    steps = [
        step(AS_TAKEN, 1.0, RIGHT),
        step("blurred", 0.8, RIGHT),
        step("blurred", 0.5, changed(3)),
        step("blurred", 0.2, changed(9)),
        step("dark", 0.3, changed(1)),
        step("bright", 0.7, changed(9)),  # not brighter than as taken: illumination does not show this fault
        step("flat", 0.4, changed(9, to=4)),
    ]
    limits = find_gradability_limits(steps, 0.5)
    assert limits == {"blurred": 0.5, "flat": 0.4}
    rows = [row for row in step_rows(steps, 0.5) if row["fault"] == "blurred"]
    assert [row["holds"] for row in rows] == [True, True, False, False]
    assert [row["value"] for row in rows] == pytest.approx([1.0, 0.8, 0.5, 0.2])
    assert rows[2]["kept"] == pytest.approx(0.7) and rows[2]["same_grade"] == pytest.approx(0.85)
    by_fault = {row["fault"]: row for row in limit_rows(steps, limits, 0.5)}
    assert by_fault["dark"]["limit"] is None
    assert by_fault["blurred"]["refused"] == 0
    assert by_fault["blurred"]["same_grade_within"] > by_fault["blurred"]["same_grade_beyond"]


def test_refused_photographs_are_counted_both_ways() -> None:
    # referable: 9 of 10 found, one of the found and the missed one are poor; healthy: one is referred, one is poor
    predictions = graded([3, *[0] * 9, *[3] * 9, 0])
    poor = np.isin(np.arange(20), (9, 18, 19))
    figures = referral.refused(predictions, 0.5, poor)
    assert figures is not None and (figures["refused"], figures["share"]) == (3, 0.15)
    assert figures["counted_as_referred"]["sensitivity"] == 1.0
    assert figures["counted_as_referred"]["specificity"] == pytest.approx(0.8)
    assert figures["left_out"]["sensitivity"] == 1.0
    assert figures["left_out"]["specificity"] == pytest.approx(8 / 9)
