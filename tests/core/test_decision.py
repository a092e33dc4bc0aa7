import numpy as np
import pytest

from keras_dr.core.decision import decide
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
