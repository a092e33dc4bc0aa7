from pathlib import Path

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS, UNGRADABLE, Task, check_task, choose_task, parse_grade, task_of
from keras_dr.datasets.records import Record


def graded(*grades: int | None) -> list[Record]:
    return [Record(f"i{number}", Path("x.png"), grade) for number, grade in enumerate(grades)]


def named(*labels: str) -> list[Record]:
    return [Record(f"i{number}", Path("x.png"), None, label=label) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("text", "grade"),
    [("0", 0), (" 3 ", 3), ("4.0", 4), ("No_DR", 0), ("Proliferate_DR", 4), ("severe", 3), ("Ungradable", 5)],
)
def test_parses_the_spellings_of_published_sets(text: str, grade: int) -> None:
    assert parse_grade(text) == grade


@pytest.mark.parametrize("text", ["5", "-1", "1.5", "", "cat", "nan", "inf"])
def test_refuses_what_is_no_grade(text: str) -> None:
    with pytest.raises(KerasDrError, match="ICDR grade"):
        parse_grade(text)


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("icdr", [0, 1, 2, 3, 4, None, None]),
        ("icdr-ungradable", [0, 1, 2, 3, 4, 5, None]),
        ("referable", [0, 0, 1, 1, 1, None, None]),
        ("classes", [0, 1, 2, 3, 4, 5, None]),
    ],
)
def test_labels_of_each_grade_and_of_none(task: str, labels: list[int | None]) -> None:
    records = graded(0, 1, 2, 3, 4, UNGRADABLE, None)
    assert [choose_task(task, records).label(record) for record in records] == labels


def test_referable_is_moderate_and_worse() -> None:
    assert [TASKS[name].referable for name in ("icdr", "icdr-ungradable", "referable")] == [(2, 3, 4), (2, 3, 4), (1,)]


def test_photographs_without_a_class_are_left_out_with_the_reason() -> None:
    kept, left_out = TASKS["icdr"].usable(graded(3, UNGRADABLE, None))
    assert [record.image_id for record in kept] == ["i0"]
    assert [(record.image_id, reason) for record, reason in left_out] == [
        ("i1", "ungradable: no class of the task icdr"),
        ("i2", "no grade"),
    ]


def test_nothing_but_ungradable_photographs_is_refused() -> None:
    with pytest.raises(KerasDrError, match="class of the task referable"):
        TASKS["referable"].usable(graded(UNGRADABLE))


def test_a_set_without_any_grade_is_kept_whole() -> None:
    records = graded(None, None)
    assert choose_task("auto", records).usable(records) == (records, [])


def test_auto_is_icdr_where_there_are_grades_and_the_own_classes_elsewhere() -> None:
    assert choose_task("auto", graded(0, 4)).name == "icdr"
    assert choose_task("auto", named("Pneumothorax", "Cardiomegaly")).classes == ("Cardiomegaly", "Pneumothorax")


@pytest.mark.parametrize("task", ["auto", "icdr", "referable"])
def test_a_class_name_among_grades_is_never_graded(task: str) -> None:
    with pytest.raises(KerasDrError, match=r"ICDR grade.*'7' at i0.*--task classes"):
        choose_task(task, named("7") + (graded(1) if task == "auto" else []))


@pytest.mark.parametrize(
    ("labels", "classes", "referable"),
    [
        (("DR", "No_DR"), ("No_DR", "DR"), (1,)),
        (("Pneumonia", "Normal"), ("Normal", "Pneumonia"), (1,)),
        (("RDR", "NRDR"), ("NRDR", "RDR"), (1,)),
        (("10", "9", "2"), ("2", "9", "10"), ()),
        (("Severe", "Mild", "normal"), ("normal", "Mild", "Severe"), (2,)),
        (("Severe", "Mild", "ungradable"), ("Mild", "Severe", "ungradable"), (1,)),
        (("Severe", "Mild", "glaucoma"), ("Mild", "Severe", "glaucoma"), ()),
    ],
)
def test_own_classes_in_order_the_healthy_first(
    labels: tuple[str, ...], classes: tuple[str, ...], referable: tuple[int, ...]
) -> None:
    task = choose_task("classes", named(*labels))
    assert (task.classes, task.referable) == (classes, referable)


def test_one_class_is_no_task() -> None:
    with pytest.raises(KerasDrError, match="two or more classes"):
        choose_task("classes", named("a", "a"))


@pytest.mark.parametrize("task", [*TASKS.values(), Task("classes", ("a", "b", "c"), ())])
def test_a_task_is_read_back_from_a_manifest(task: Task) -> None:
    manifest = {"task": task.name, "classes": list(task.classes), "referable": list(task.referable)}
    assert task_of(manifest) == task


def test_a_manifest_of_other_classes_is_refused() -> None:
    with pytest.raises(KerasDrError, match="classes of the task icdr"):
        task_of({"task": "icdr", "classes": ["cat", "dog"]})


def test_names_the_known_tasks() -> None:
    with pytest.raises(KerasDrError, match="auto, icdr, icdr-ungradable, referable, classes"):
        check_task("five")
