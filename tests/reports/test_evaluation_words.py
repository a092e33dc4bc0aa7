"""The words of an evaluation."""

import pytest

from keras_dr.reports.evaluation_words import size_in_words


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"patients_known": True, "patients": 30}, "60 photographs of 30 patients"),
        ({"patients": 1}, "60 photographs of 1 patient"),  # an older version did not say
        ({"patients_known": False, "patients": 60}, "60 photographs of unknown patients"),
    ],
)
def test_unknown_patients_are_not_counted(figures: dict, words: str) -> None:
    assert size_in_words({"photographs": 60, **figures}) == words
