import numpy as np
import pytest

from keras_dr.datasets.grades import TASKS, Task
from keras_dr.metrics import referral
from keras_dr.metrics.predictions import Predictions


def certain(labels: list[int], predicted: list[int], task: str = "icdr", patients: tuple[int, ...] = ()) -> Predictions:
    p = np.eye(len(TASKS[task].classes))[predicted]
    return Predictions(np.array(labels), p, TASKS[task], patients=np.array(patients, np.int64))


def test_ungradable_photographs_are_referred_or_left_out() -> None:
    # gradable: 2 referable (1 detected, 1 called ungradable), 2 not (1 correct); ungradable: 1 detected, 1 missed
    figures = referral.ungradable(certain([2, 3, 0, 0, 5, 5], [2, 5, 0, 2, 5, 0], "icdr-ungradable"), 0.5)
    assert figures["imageability"] == pytest.approx(3 / 4)
    assert (figures["left_out"]["sensitivity"], figures["left_out"]["specificity"]) == (1.0, 0.5)
    counted = figures["counted_as_referred"]
    assert (counted["sensitivity"], counted["specificity"]) == (3 / 4, 1 / 2)
    assert referral.ungradable(certain([0], [0]), 0.5) is None


def test_the_worst_eye_decides() -> None:
    # patient 0: the bad eye is missed, the good one referred: still detected; patient 1: one eye referred needlessly
    figures = referral.per_patient(certain([0, 3, 0, 1, 0], [2, 0, 0, 2, 0], patients=(7, 7, 8, 8, 9)), 0.5)
    assert (figures["patients"], figures["positive"]) == (3, 1)
    assert (figures["sensitivity"], figures["specificity"]) == (1.0, 0.5)


def test_errors_of_the_most_certain_photographs_by_hand() -> None:
    wrong = np.array([True, False, False, True])
    sure = np.array([0.1, 0.9, 0.8, 0.8])
    coverage, error = referral.coverage_curve(wrong, sure)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert error == pytest.approx([0, 1 / 3, 1 / 3, 1 / 2])


def test_a_sure_referral_by_grade_is_certain_at_a_high_threshold() -> None:
    probabilities = np.array([[0.01, 0.0, 0.3, 0.4, 0.29], [0.55, 0.0, 0.2, 0.2, 0.05], [0.98, 0.0, 0.02, 0.0, 0.0]])
    sure, near, healthy = referral.certainty(Predictions(np.array([3, 0, 0]), probabilities, TASKS["icdr"]), 1.05)
    assert sure == pytest.approx(np.log(0.99 / 0.01))  # from one half, where the grade turns
    assert near == pytest.approx(np.log(0.55 / 0.45))
    assert healthy == pytest.approx(np.log(0.98 / 0.02))


def test_photographs_below_the_limit_from_validation_go_to_a_human() -> None:
    task = Task("classes", ("no", "yes"), (1,))
    p = np.array([0.02, 0.4, 0.6, 0.99])
    graded = Predictions(np.array([0, 1, 1, 1]), np.stack([1 - p, p], 1), task)
    quantiles = np.linspace(0, 4, 101).tolist()
    figures = referral.band(graded, 0.5, quantiles, 0.5)  # limit 2: |log odds| .4 and .4 are below, 3.9 and 4.6 above
    assert (figures["limit"], figures["sent"], figures["referral_error"]) == (pytest.approx(2.0), 0.5, 0.0)
    assert referral.band(graded, 0.5, quantiles, 0)["referral_error"] == 0.25
