import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.recipe import recipe_from_dict
from keras_dr.training.preflight import check_recipe

LABELS = np.array([0, 1, 2, 3, 4])
NAMED = Task("classes", ("oval", "round", "square"), (2,))


@pytest.mark.parametrize(
    ("values", "task", "labels", "message"),
    [
        ({"head": "ordinal", "ordinal_smoothing": 2}, TASKS["icdr"], LABELS, "ordinal_smoothing 2 .* as another class"),
        ({"head": "regression", "ordinal_smoothing": 1}, TASKS["icdr"], LABELS, "Set less smoothing"),
        ({}, NAMED, np.array([0, 1, 2]), "val_quadratic_kappa needs ordered classes, .* oval, round, square"),
        ({"monitor": "val_loss", "head": "ordinal"}, NAMED, np.array([0, 2]), "The head ordinal needs ordered classes"),
        (
            {"head": "regression"},
            TASKS["referable"],
            np.array([0, 1]),
            "The head regression works only for the task icdr",
        ),
        ({}, TASKS["icdr"], np.array([0, 1]), "0 of 2 are positive"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(values: dict, task: Task, labels: np.ndarray, message: str) -> None:
    with pytest.raises(KerasDrError, match=message):
        check_recipe(recipe_from_dict(values), task, labels)


@pytest.mark.parametrize("head", ["softmax", "ordinal", "regression"])
def test_the_smoothing_of_published_recipes_passes(head: str) -> None:
    check_recipe(recipe_from_dict({"head": head, "ordinal_smoothing": 0.4}), TASKS["icdr"], LABELS)
