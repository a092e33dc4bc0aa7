"""The worse eye decides about a patient, and an eye that cannot be graded is named."""

import csv
from pathlib import Path

import numpy as np
import pytest
from edge_fixtures import CLASSES, change

from edge_demo import __main__ as command
from edge_demo.grading import Grading
from edge_demo.patients import Person, patient_rows, people_of
from edge_demo.results import Failure


def grading(path: str, grade: str, action: str = "none", faults: tuple[str, ...] = ()) -> Grading:
    empty = np.empty((0, 0), np.float32)
    p_referable = 0.1 + 0.2 * CLASSES.index(grade)
    return Grading(
        path,
        grade,
        {},
        p_referable,
        action.startswith("refer"),
        True,
        faults,
        action,
        f"reason of {path}",
        empty,
        empty,
    )


PEOPLE = {
    "1_left": Person("1", "left"),
    "1_right": Person("1", "right"),
    "2_left": Person("2", "left"),
    "2_right": Person("2", "right"),
}


def test_the_worse_eye_decides() -> None:
    outcomes = [grading("1_left", "mild"), grading("1_right", "severe", "refer: by grade"), grading("2_left", "no_dr")]
    first, second = patient_rows(outcomes, PEOPLE, CLASSES)
    assert (first["patient_id"], first["grade"], first["eye"]) == ("1", "severe", "right")
    assert (first["action"], first["reason"]) == ("refer: by grade", "reason of 1_right")
    assert (first["left"], first["right"], first["ungradable"]) == ("mild", "severe", "")
    assert (second["photographs"], second["action"]) == (1, "none") and "right" not in second


def test_an_eye_without_a_clear_photograph_is_ungradable() -> None:
    outcomes = [grading("1_left", "no_dr"), grading("1_right", "mild", "retake", ("dark",))]
    (row,) = patient_rows(outcomes, PEOPLE, CLASSES)
    assert (row["grade"], row["right"], row["ungradable"]) == ("no_dr", "ungradable", "right")
    assert row["action"] == "retake"


def test_a_photograph_that_failed_is_to_be_retaken_but_does_not_hide_a_referral() -> None:
    failure = Failure("2_right", "cut short")
    (row,) = patient_rows([grading("2_left", "no_dr"), failure], PEOPLE, CLASSES)
    assert (row["action"], row["right"]) == ("retake", "ungradable")
    (row,) = patient_rows([grading("2_left", "severe", "refer: by grade"), failure], PEOPLE, CLASSES)
    assert (row["action"], row["ungradable"]) == ("refer: by grade", "right")
    (row,) = patient_rows([failure], PEOPLE, CLASSES)
    assert (row["grade"], row["action"]) == ("ungradable", "retake")


def test_patients_are_taken_from_a_list_or_from_names(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("10_OD.jpg", "10_OS.jpg", "11_OD.jpg")]
    for file in names:
        file.write_bytes(b"")
    assert people_of(names, names)[str(names[1])] == Person("10", "left")
    table = tmp_path / "list.csv"
    table.write_text("image,patient_id,eye\n10_OD.jpg,A,right\n10_OS.jpg,,left\n")
    known = {str(names[0]): Person("A", "right"), str(names[1]): Person("", "left")}
    assert people_of([table], names[:2]) == known
    others = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert people_of(others, others) == {}


def test_a_list_without_patients_names_the_eyes(
    bundle_folder: Path, tmp_path: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("image,eye\np7_left.jpg,right\nq8.jpg,OS\nr9_left.jpg,\n")
    images = [tmp_path / name for name in ("p7_left.jpg", "q8.jpg", "r9_left.jpg")]
    for image in images:
        image.write_bytes(photograph)
    people = people_of([table], images)
    assert people == {str(images[0]): Person("", "right"), str(images[1]): Person("", "left")}
    drawn: list[tuple[str, str]] = []
    monkeypatch.setattr(Grading, "save_picture", lambda self, path: drawn.append((path.name, self.eye)))
    words = ["grade", str(bundle_folder), str(table), "--csv", str(tmp_path / "t.csv")]
    assert command.main([*words, "--heatmap", str(tmp_path / "maps")]) == 0
    assert drawn == [("p7_left.png", "right"), ("q8.png", "left"), ("r9_left.png", "left")]
    assert not (tmp_path / "patients.csv").exists()  # no patient is known
    table.write_text("image,eye\n1_OD.jpg,left\n1_OS.jpg,\n")  # then the patients are those of the names
    people = people_of([table], [tmp_path / "1_OD.jpg", tmp_path / "1_OS.jpg"])
    assert list(people.values()) == [Person("1", "left"), Person("1", "left")]


def test_grade_writes_the_patients(
    bundle_folder: Path, tmp_path: Path, photograph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    change(bundle_folder, referable=[1])
    eyes = tmp_path / "eyes"
    eyes.mkdir()
    for name in ("7_OD.jpg", "7_OS.jpg", "8_OD.jpg"):
        (eyes / name).write_bytes(photograph)
    words = ["grade", str(bundle_folder), str(eyes), "--csv", str(tmp_path / "t.csv")]
    assert command.main(words) == 0
    assert "2 patients, by the worse eye: 0 to be referred, 0 to be retaken, 2 no action." in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "patients.csv").read_text().splitlines()))
    assert [(row["patient_id"], row["photographs"]) for row in rows] == [("7", "2"), ("8", "1")]
    assert command.main(words) == 0  # it replaces its own table
    for header in ("name,phone", "patient_id,left,right"):  # the second is a part of its own columns
        (tmp_path / "patients.csv").write_text(f"{header}\n1,2,3\n")
        assert command.main(words) == 1
        assert "did not write it" in capsys.readouterr().err
        assert (tmp_path / "patients.csv").read_text().startswith(header)
