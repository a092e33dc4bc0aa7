import pytest

from keras_dr.errors import KerasDrError
from keras_dr.grades import TASKS, find_task, parse_grade, task_of_classes


@pytest.mark.parametrize(
    ("text", "grade"), [("0", 0), (" 3 ", 3), ("4.0", 4), ("No_DR", 0), ("Proliferate_DR", 4), ("severe", 3)]
)
def test_parses_the_spellings_of_published_sets(text: str, grade: int) -> None:
    assert parse_grade(text) == grade


@pytest.mark.parametrize("text", ["5", "-1", "1.5", "", "cat", "nan"])
def test_refuses_what_is_no_grade(text: str) -> None:
    with pytest.raises(KerasDrError, match="ICDR grade"):
        parse_grade(text)


def test_referable_begins_at_moderate() -> None:
    assert [TASKS["referable"].label(grade) for grade in range(5)] == [0, 0, 1, 1, 1]
    assert TASKS["icdr"].referable == (2, 3, 4)


def test_finds_a_task_by_its_classes() -> None:
    assert task_of_classes(["not_referable", "referable"]) is TASKS["referable"]
    with pytest.raises(KerasDrError):
        task_of_classes(["cat", "dog"])


def test_names_the_known_tasks() -> None:
    with pytest.raises(KerasDrError, match="icdr, referable"):
        find_task("five")
