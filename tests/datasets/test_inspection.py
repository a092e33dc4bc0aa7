"""A source is recognised and described, or refused with the choices; other files here hold one topic each."""

from pathlib import Path

import pytest
from layouts import put
from sources import inspect_with, text_of, write_class_folders, write_table

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import APPLE_DOUBLE
from keras_dr.datasets.inspection import inspect


def test_two_tables(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0", "b,4")
    write_table(tmp_path, "image,grade", "a,1", "b,2", name="second_reader.csv")
    with pytest.raises(KerasDrError, match=r"labels.csv and second_reader.csv; only one can be meant\. Name the CSV"):
        inspect(tmp_path)


def test_a_prepared_set_and_an_archive_are_no_sources(tmp_path: Path) -> None:
    put(tmp_path / "set" / "prepared.json", "{}")
    put(tmp_path / "set.zip", "PK")
    with pytest.raises(KerasDrError, match="is already a prepared set"):
        inspect(tmp_path / "set")
    with pytest.raises(KerasDrError, match="Unpack it"):
        inspect(tmp_path / "set.zip")


def test_an_inspection_fits_a_screen(tmp_path: Path) -> None:
    rows = [f"i{n},{n % 5},P{n},x" for n in range(20)]
    said = str(inspect(write_table(tmp_path, "image,grade,patient,camera", *rows)))
    assert len(said.splitlines()) < 24 and max(map(len, said.splitlines())) <= 100


def test_the_user_may_decide_on_the_patients_of_a_published_set(tmp_path: Path) -> None:
    rows = ("10_left,0", "10_right,4", "13_left,1", "13_right,0")
    write_table(tmp_path, "image,level", *rows, name="trainLabels.csv", images="train")
    assert (inspect(tmp_path).dataset, inspect(tmp_path).patients) == ("eyepacs", 2)
    assert inspect_with(tmp_path, patients="none").patients == 4


def test_every_file_is_counted(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "0", "2", "masks")
    for name in ("0/x.gif", "0/y.gif", "readme.txt", "loose.jpg", "2/._a.jpg", "2/.DS_Store", "notes.csv"):
        put(tmp_path / name, "x")
    inspection = inspect(tmp_path)
    assert inspection.files == 13 == inspection.photographs + sum(inspection.skipped.counts.values())
    assert dict(inspection.skipped.counts) == {
        "in the folder masks, which is not a class": 2,
        "with the suffix .gif": 2,
        "with the suffix .txt, not read as a table": 1,
        "with the suffix .csv, not read as a table": 1,
        "beside the class folders": 1,
        APPLE_DOUBLE: 1,
        "hidden": 1,
    }


def test_a_table_without_classes_beside_class_folders_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "0", "2")
    put(tmp_path / "patients.csv", "image,patient\na,1\n")
    assert "1 with the suffix .csv, not read as a table (patients.csv)" in text_of(inspect(tmp_path))


def test_one_folder_around_everything(tmp_path: Path) -> None:
    inspection = inspect(write_class_folders(tmp_path, "dataset/0", "dataset/2", "dataset/4"))
    assert inspection.records[0].image_id == "0_dataset_0_a" and "in the folder dataset" in text_of(inspection)


def test_apple_double_files(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a.jpg,0", "b.jpg,4", "._a.jpg,0")
    inspection = inspect(tmp_path)
    assert (
        len(inspection.records) == 2 and len(inspection.reading.left_out) == 1 and "AppleDouble" in text_of(inspection)
    )
