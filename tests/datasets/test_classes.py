"""It is known which classes are positive and which labels are grades, or the user is asked."""

import re
from pathlib import Path

import pytest
from sources import class_counts, inspect_with, text_of, write_class_folders, write_table

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import ICDR
from keras_dr.datasets.inspection import inspect


def test_two_classes_in_another_language(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "Sano", "Enfermo")
    with pytest.raises(KerasDrError, match=r"Enfermo \(2\), Sano \(2\).*--positive Sano or --positive Enfermo"):
        inspect(tmp_path)
    inspection = inspect_with(tmp_path, positive="Enfermo")
    assert inspection.task.classes == ("Sano", "Enfermo") and inspection.task.referable == (1,)
    assert "positive: Enfermo" in text_of(inspection)


@pytest.mark.parametrize(("negative", "positive"), [("Normal", "Glaucoma"), ("No_DR", "DR"), ("NRDR", "RDR")])
def test_a_clear_pair(tmp_path: Path, negative: str, positive: str) -> None:
    task = inspect(write_class_folders(tmp_path, negative, positive)).task
    assert task.classes == (negative, positive) and task.referable == (1,)


def test_no_class_may_be_positive(tmp_path: Path) -> None:
    inspection = inspect_with(write_class_folders(tmp_path, "Cardiomegaly", "Pneumothorax"), positive="none")
    assert inspection.task.referable == () and "nobody is referred" in text_of(inspection)


@pytest.mark.parametrize("as_folders", [True, False])
def test_only_0_and_1(tmp_path: Path, as_folders: bool) -> None:
    write_class_folders(tmp_path, "0", "1") if as_folders else write_table(tmp_path, "image,label", "a,0", "b,1")
    with pytest.raises(KerasDrError, match="grades no_dr and mild, or not referable and referable"):
        inspect(tmp_path)
    assert inspect_with(tmp_path, positive="1").task.referable == (1,)
    assert inspect_with(tmp_path, task="icdr").task.classes == ICDR


@pytest.mark.parametrize(
    "names", [("1", "2"), ("1", "2", "3", "4"), ("stage 1", "stage 2", "stage 3", "stage 4"), ("2.0", "4.0"), ("3",)]
)
def test_numbers_without_0_may_begin_at_1(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_class_folders(tmp_path, *names)
    with pytest.raises(KerasDrError, match=r"No label is 0 .*begins at 1.*--task icdr.*--map"):
        inspect(tmp_path)
    with pytest.raises(KerasDrError, match=r"No label is 0 .* Pass (--positive \S+ .*, or )?the grade of each label"):
        inspect_with(tmp_path, task="referable")
    grades = {int(float(name.split()[-1])) for name in names}
    assert {record.grade for record in inspect_with(tmp_path, task="icdr").records} == grades


@pytest.mark.parametrize(
    "names", [("0", "1", "2", "3"), ("0", "1", "2"), ("0", "2"), ("grade 0", "grade 1", "grade 2")]
)
def test_numbers_without_4_are_taken_for_grades_with_a_note(tmp_path: Path, names: tuple[str, ...]) -> None:
    inspection = inspect(write_class_folders(tmp_path, *names))
    assert inspection.task.name == "icdr"
    assert f"The labels {names[0]} (2), " in text_of(inspection) and "none is 4 (proliferative)" in text_of(inspection)
    assert "none is 4" not in text_of(inspect_with(tmp_path, task="icdr"))


@pytest.mark.parametrize(
    "names", [("0", "1", "2", "4"), ("0",), ("mild", "severe"), ("1 - mild", "3 - severe"), ("ICDR 1", "ICDR 3")]
)
def test_other_grades_need_no_note(tmp_path: Path, names: tuple[str, ...]) -> None:
    inspection = inspect(write_class_folders(tmp_path, *names))
    assert inspection.task.name == "icdr" and "none is 4" not in text_of(inspection)


@pytest.mark.parametrize(
    "label",
    [
        *("\u22121", "\u20131", "-1", "\uff0d1", ">2", "\uff1e2", "\u22653", "\u2a7e2", "2?", "2\uff1f", "2\u203d"),
        *("mild?", "> mild", "mild+", "2+", "2\u207a", "2-", "2 \u2013", "mild-", "grade -1", "\u21922", "2*", "~2"),
    ],
)
def test_a_sign_is_no_part_of_a_grade(tmp_path: Path, label: str) -> None:
    write_table(tmp_path, "image,grade", "a,0", "b,4", f"c,{label}", "d,2")
    with pytest.raises(KerasDrError, match=re.escape(f"but {label} (1) are not.")):
        inspect(tmp_path)


@pytest.mark.parametrize(
    "label",
    [
        "Grade - 2",
        "2 (moderate)",
        "+2",
        "2 = moderate",
        "DR-2",
        "2.",
        "[2]",
        "\uff12",
        "Moderate -2",
        "grade+2",
        "Moderate!",
    ],
)
def test_other_punctuation_does_not_matter(tmp_path: Path, label: str) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade", "a,0", "b,4", f"c,{label}"))
    assert [record.grade for record in inspection.records] == [0, 4, 2]


def test_a_positive_class_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"'ill', which is not a class\. The classes are Enfermo, Sano"):
        inspect_with(write_class_folders(tmp_path, "Sano", "Enfermo"), positive="ill")


@pytest.mark.parametrize(
    "names",
    [
        ("R0", "R1", "R2", "R3", "R4"),
        ("0 - No DR", "1 - Mild", "2 - Moderate", "3 - Severe", "4 - PDR"),
        ("DR0", "DR1", "DR2", "DR3", "DR4"),
        ("grade_0", "grade_1", "grade_2", "grade_3", "grade_4"),
        ("No apparent retinopathy", "Mild NPDR", "Moderate NPDR", "Severe NPDR", "PDR"),
        (
            "NORMAL",
            "mild-npdr",
            "moderate non-proliferative DR",
            "SevereNPDR",
            "Proliferative diabetic retinopathy",
        ),
    ],
)
def test_common_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    inspection = inspect(write_class_folders(tmp_path, *names))
    assert inspection.task.name == "icdr" and class_counts(inspection) == dict.fromkeys(ICDR, 2)
    assert "positive: moderate, severe, proliferative" in text_of(inspection)


SPANISH = ("Sano", "Leve", "Moderada", "Grave", "Proliferativa")


def test_grades_in_another_language_are_refused_or_mapped(tmp_path: Path) -> None:
    write_class_folders(tmp_path, *SPANISH)
    with pytest.raises(KerasDrError, match=r"--map .*--classes"):
        inspect(tmp_path)
    renamed = tuple(f"{name}={grade}" for name, grade in zip(SPANISH, ICDR, strict=True))
    inspection = inspect_with(tmp_path, renamed=renamed)
    assert inspection.task.name == "icdr" and class_counts(inspection) == dict.fromkeys(ICDR, 2)
    assert "from Grave (2)" in text_of(inspection)


def test_classes_in_the_order_that_the_user_names(tmp_path: Path) -> None:
    write_class_folders(tmp_path, *SPANISH)
    with pytest.raises(KerasDrError, match="--positive"):
        inspect_with(tmp_path, classes=",".join(SPANISH))
    task = inspect_with(tmp_path, classes=",".join(SPANISH), positive="Moderada,Grave,Proliferativa").task
    assert (task.classes, task.referable, task.ordered) == (SPANISH, (2, 3, 4), 5)


@pytest.mark.parametrize(
    ("names", "renamed", "message"),
    [
        (("1", "2", "3", "4", "ungradable"), (), "No label is 0"),
        (("1", "2", "3", "4", "5"), ("5=ungradable",), "No label is 0"),
        (("grade1", "grade2", "grade5"), ("grade5=ungradable",), "No label is 0"),
        (("1.0", "3.0", "5.0"), (), "either 1 is no_dr or 5 is ungradable"),
        (("1", "2", "PDR"), (), "No label is 0"),
        (("0", "1", "ungradable"), (), "All labels are 0 or 1"),
        (("R0", "R1", "R2", "R3", "ungradable"), (), "British"),
        (("class_0", "class_1"), (), "All labels are 0 or 1.*--positive class_1"),
        (("0.0", "1.0"), (), "All labels are 0 or 1"),
        (("1", "2", "3"), ("1=no_dr",), "leaves out 2, 3"),
        (("0_0", "0_1", "0_2"), (), "not known names"),
    ],
)
def test_other_labels_do_not_hide_another_scale(
    tmp_path: Path, names: tuple[str, ...], renamed: tuple[str, ...], message: str
) -> None:
    with pytest.raises(KerasDrError, match=message):
        inspect_with(write_class_folders(tmp_path, *names), renamed=renamed)


@pytest.mark.parametrize(
    "names", [("normal", "normal?"), ("No DR", "mild?"), ("Normal", "Normal (<50)"), ("healthy", "healthy*")]
)
def test_a_doubted_grade_is_no_positive_class(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_table(tmp_path, "image,label", f"a,{names[0]}", f"b,{names[1]}")
    with pytest.raises(KerasDrError, match="do not show which of them is positive"):
        inspect(tmp_path)


@pytest.mark.parametrize("option", ["classes", "positive"])
@pytest.mark.parametrize("text", ["", ",,", " , "])
def test_an_option_without_a_name_is_refused(tmp_path: Path, option: str, text: str) -> None:
    write_class_folders(tmp_path, "a", "b")
    with pytest.raises(KerasDrError, match=f"--{option} names no class"):
        inspect_with(tmp_path, **{option: text})


def test_two_scales_share_r0_to_r3(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"ICDR scale .* British"):
        inspect(write_class_folders(tmp_path, "R0", "R1", "R2", "R3"))


def test_grades_and_another_label(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0", "b,4", "c,5")
    with pytest.raises(KerasDrError, match=r"0 \(1\), 4 \(1\) are ICDR grades, but 5 \(1\) are not"):
        inspect(tmp_path)
    inspection = inspect_with(tmp_path, renamed=("5=ungradable",))
    assert [record.grade for record in inspection.records] == [0, 4, 5]


def test_a_label_that_no_photograph_has(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0", "b,4")
    with pytest.raises(KerasDrError, match="'x', which no photograph has"):
        inspect_with(tmp_path, renamed=("x=mild",))


def test_the_word_none_next_to_grades_is_no_disease(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade", "a,None", "b,Mild", "c,Severe"))
    assert [record.grade for record in inspection.records] == [0, 1, 3]


def test_spellings_of_one_class_are_one_and_signs_are_kept(tmp_path: Path) -> None:
    write_table(tmp_path, "image,label", "a,Glaucoma", "b,glaucoma", "c,Glaucoma", "d,Normal")
    assert class_counts(inspect(tmp_path)) == {"Normal": 1, "Glaucoma": 3}
    write_table(tmp_path, "image,label", "a,DR+", "b,DR-")
    with pytest.raises(KerasDrError, match=r"DR\+ \(1\), DR- \(1\).*--positive"):
        inspect(tmp_path)


def test_the_user_may_name_classes_with_unusual_names(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "a", "b", "c")
    with pytest.raises(KerasDrError, match="--classes"):
        inspect(tmp_path)
    assert inspect_with(tmp_path, classes="c,b,a", positive="a").task.classes == ("c", "b", "a")
