import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.predictions import Predictions
from keras_dr.metrics.subgroups import subgroups

N = 60
LABELS = np.arange(N) % 5
EYES = ["left"] * 30 + ["right"] * 30


def graded() -> Predictions:
    predicted = np.where(np.arange(N) < 30, LABELS, (LABELS + 2) % 5)  # right on left eyes, wrong on right ones
    return Predictions(LABELS, np.eye(5)[predicted], TASKS["icdr"])


def test_a_group_that_is_graded_worse_is_flagged() -> None:
    rows = [{"image_id": str(i), "eye": eye, "camera": "x"} for i, eye in enumerate(EYES)]
    left, right = subgroups(graded(), rows, 0.5)
    assert (left["value"], left["photographs"], right["column"]) == ("left", 30, "eye")
    figure = right["figures"]["accuracy"]
    assert (figure["value"], figure["rest"], figure["flagged"]) == (0.0, 1.0, True)


def test_many_numbers_are_divided_into_thirds() -> None:
    rows = [{"sharpness": f"{i / 10}"} for i in range(N)]
    thirds = subgroups(graded(), rows, 0.5, ["sharpness"])
    assert sorted(third["photographs"] for third in thirds) == [20, 20, 20]


def test_columns_that_do_not_help_are_refused() -> None:
    rows = [{"eye": ""}] * N
    assert subgroups(graded(), rows, 0.5) == []
    with pytest.raises(KerasDrError, match=r"manifest\.csv"):
        subgroups(graded(), rows, 0.5, ["age"])
    with pytest.raises(KerasDrError, match="the same value"):
        subgroups(graded(), rows, 0.5, ["eye"])
