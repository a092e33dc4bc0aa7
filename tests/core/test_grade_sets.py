"""Sets of grades have no gaps, hold the predicted grade, and are read back."""

import numpy as np
import pytest

from keras_dr.core.decision import decide
from keras_dr.core.grade_sets import NO_SETS, GradeSets, probability_before, set_words, sets_text

SETS = GradeSets(0.6, 0.9, "patients", 120, "clinic", 0.08, (0.04, 0.14))


@pytest.mark.parametrize("decision", ["argmax", "median"])
def test_over_many_random_vectors_a_set_has_no_gap_and_holds_the_predicted_grade(decision: str) -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(5, 0.5), 10_000)
    grades = decide(probabilities, decision)
    for limit in (0.0, 0.3, 0.6, 0.95):
        inside = GradeSets(limit, 0.9, "patients", 99, "clinic").contains(probabilities, grades)
        assert inside[np.arange(10_000), grades].all()
        begins = inside[:, 0].astype(int) + (np.diff(inside.astype(int), axis=1) == 1).sum(axis=1)
        assert (begins == 1).all()


def test_the_more_probable_neighbour_enters_first_and_of_two_equal_ones_the_higher() -> None:
    before = probability_before(np.array([[0.05, 0.2, 0.45, 0.3], [0.25, 0.5, 0.25, 0.0]]), np.array([2, 1]))
    assert before == pytest.approx(np.array([[0.95, 0.75, 0.0, 0.45], [0.75, 0.0, 0.5, 1.0]]))


def test_a_set_in_words() -> None:
    assert set_words(["moderate"]) == "moderate"
    assert set_words(["moderate", "severe"]) == "moderate or severe"
    assert set_words(["no_dr", "mild", "moderate"]) == "no DR to moderate"


def test_sets_say_what_they_promise_and_what_voids_it() -> None:
    words = sets_text(SETS, "referable DR")
    assert "hold the true grade of 90 % of photographs on the mean" in words
    assert "8 (4 to 14) of 100 would be referred in addition" in words
    assert words.endswith("Another camera or population voids it.")
    assert sets_text(None, "referable DR") == NO_SETS


def test_sets_are_read_back_and_damaged_ones_are_refused() -> None:
    assert GradeSets.from_dict(SETS.to_dict()) == SETS
    for change in ({"limit": 2.0}, {"limit": float("nan")}, {"added_interval": [0.1]}, {"unit": 3}, {"more": 1}):
        with pytest.raises((TypeError, ValueError)):
            GradeSets.from_dict(SETS.to_dict() | change)
