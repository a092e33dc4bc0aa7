from pathlib import Path

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS, Task
from keras_dr.preparation.prepared_set import PreparedSet


def graded(task: Task, *rows: tuple[str, str]) -> PreparedSet:
    lines = tuple({"image_id": str(i), "grade": grade, "label": label} for i, (grade, label) in enumerate(rows))
    return PreparedSet(Path(), task, Preprocessing(224), lines)


def labels(data: PreparedSet) -> list[str]:
    return [row["label"] for row in data.rows]


def test_grades_become_the_classes_of_the_run() -> None:
    five = graded(TASKS["icdr"], ("0", "no_dr"), ("1", "mild"), ("4", "proliferative"))
    mapped = five.labelled_for(TASKS["referable"])
    assert labels(mapped) == ["not_referable", "not_referable", "referable"] and mapped.task is TASKS["referable"]
    two = graded(TASKS["referable"], ("1", "not_referable"), ("3", "referable"))
    assert labels(two.labelled_for(TASKS["icdr"])) == ["mild", "severe"]


def test_photographs_without_a_class_are_left_out() -> None:
    six = graded(TASKS["icdr-ungradable"], ("5", "ungradable"), ("2", "moderate"))
    assert labels(six.labelled_for(TASKS["icdr"])) == ["moderate"]


def test_classes_of_one_name_are_one() -> None:
    run = Task("classes", ("normal", "pneumonia"), (1,))
    other = graded(Task("classes", ("normal", "pneumonia", "tumour"), ()), ("", "tumour"), ("", "pneumonia"))
    assert labels(other.labelled_for(run)) == ["pneumonia"]


def test_labels_that_mean_nothing_to_the_run_are_refused() -> None:
    with pytest.raises(KerasDrError, match="--task icdr"):
        graded(Task("classes", ("cat", "dog"), (1,)), ("", "cat")).labelled_for(TASKS["icdr"])
