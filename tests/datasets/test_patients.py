"""The two eyes of a patient belong together; if patients are unknown, the inspection says so."""

from pathlib import Path

from layouts import put
from sources import inspect_with, text_of, write_table

from keras_dr.datasets.inspection import inspect

PAIR = ("1000_OD", "1000_OS", "1001_OD", "1001_OS")


def test_patients_and_eyes_from_names_in_class_folders(tmp_path: Path) -> None:
    for number, name in enumerate(PAIR):
        put(tmp_path / ("0", "2", "3")[number % 3] / f"{name}.JPG")
    inspection = inspect(tmp_path)
    assert sorted({record.patient_id for record in inspection.records}) == ["1000", "1001"]
    assert "2, from the names 1000_OD and 1000_OS" in text_of(inspection) and "left 2, right 2" in text_of(inspection)
    assert len({record.patient_id for record in inspect_with(tmp_path, patients="none").records}) == 4


def test_patients_of_eyepacs_if_its_table_is_the_source(tmp_path: Path) -> None:
    rows = ("10_left,0", "10_right,4", "13_left,1", "13_right,0")
    write_table(tmp_path, "image,level", *rows, name="trainLabels.csv", images="train")
    inspection = inspect(tmp_path / "trainLabels.csv")
    assert [record.patient_id for record in inspection.records] == ["10", "10", "13", "13"]


def test_numbers_with_and_without_a_fraction(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade,patient", "a,0,1", "b,3,1.0", "c,2,2.0"))
    assert [record.patient_id for record in inspection.records] == ["1", "1", "2"]


def test_nan_is_no_patient(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade,patient", "a,0,nan", "b,3,NaN", "c,2,7", "d,2,unknown"))
    assert [record.patient_id for record in inspection.records] == ["a", "b", "7", "d"]
    assert "each of which counts as a patient of its own: 3" in text_of(inspection)


def test_unknown_patients_are_reported(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade", "a,0", "b,3"))
    assert "unknown: every photograph counts as a patient of its own" in text_of(inspection)


def test_patients_from_file_names(tmp_path: Path) -> None:
    names = [f"{patient:03d}_{number}" for patient in range(6) for number in range(2)]
    write_table(tmp_path, "image,grade", *(f"{name},{number % 5}" for number, name in enumerate(names)))
    assert "--patients names" in text_of(inspect(tmp_path))
    assert inspect_with(tmp_path, patients="names").patients == 6


def test_patients_of_two_spellings_are_one(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade,patient", "a,0,P1", "b,3,p1", "c,2,p2"))
    assert inspection.patients == 2
    assert "differ only in case count as one patient (spellings replaced: 1)" in text_of(inspection)


def test_folders_that_may_be_patients_are_not_divided(tmp_path: Path) -> None:
    for patient in range(12):
        for number in range(2):
            put(tmp_path / str(2 * (patient % 3)) / f"P{patient:02d}" / f"{number}.jpg")
    inspection = inspect(tmp_path)
    assert len({record.neighbours for record in inspection.records}) == 12 and "P00, may be patients" in text_of(
        inspection
    )
