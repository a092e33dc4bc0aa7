"""Columns are found whatever their spelling; columns that are not used are named."""

from pathlib import Path

import pytest
from layouts import put
from sources import inspect_with, text_of, write_table

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.inspection import inspect


def test_two_columns_that_may_hold_the_class(tmp_path: Path) -> None:
    write_table(tmp_path, "image,level,diagnosis", "a,0,0", "b,4,2")
    with pytest.raises(KerasDrError, match=r"'level' or 'diagnosis' .* line 3 .*--label-column"):
        inspect(tmp_path)
    assert [record.grade for record in inspect_with(tmp_path, label_column="Diagnosis").records] == [0, 2]


def test_two_columns_that_say_the_same_are_one(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade,diagnosis", "a,0,No DR", "b,4,PDR")
    assert [record.grade for record in inspect(tmp_path).records] == [0, 4]


def test_a_label_column_of_eyes_is_the_eye(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,label,dr_grade", "a,left,0", "b,right,4"))
    assert [(record.grade, record.eye) for record in inspection.records] == [(0, "left"), (4, "right")]
    assert "class: dr_grade; patient: none; eye: label" in text_of(inspection)


def test_published_split_and_patients(tmp_path: Path) -> None:
    rows = [f"i{n},{n % 5},P{n // 2},{('Train', 'Train', 'Public', 'Private')[n // 2 % 4]}" for n in range(16)]
    inspection = inspect(write_table(tmp_path, "Image,Retinopathy grade,Patient ID,Usage", *rows))
    assert inspection.patients == 8 and "8, from column Patient ID" in text_of(inspection)
    splits = [record.split for record in inspection.records]
    assert (splits.count("train"), splits.count("test")) == (8, 8)


def test_unused_columns_are_named(tmp_path: Path) -> None:
    inspection = inspect(write_table(tmp_path, "image,grade,camera,Risk of macular edema", "a,0,x,1", "b,3,y,0"))
    assert "not used: camera, Risk of macular edema" in text_of(inspection)


def test_an_index_without_a_name_is_not_data(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", ",image,grade\n0,a,0\n1,b,4\n")
    for name in "ab":
        put(tmp_path / f"{name}.jpg")
    inspection = inspect(tmp_path)
    assert [(record.patient_id, record.split) for record in inspection.records] == [("a", ""), ("b", "")]
    assert "1 without a name" in text_of(inspection)


def test_an_index_in_the_table_of_messidor(tmp_path: Path) -> None:
    put(tmp_path / "messidor_data.csv", ",image_id,adjudicated_dr_grade\n0,a.png,2\n1,b.png,0\n")
    for name in "ab":
        put(tmp_path / f"{name}.png")
    assert [record.grade for record in inspect(tmp_path).records] == [2, 0]


def test_columns_of_other_names_are_chosen(tmp_path: Path) -> None:
    write_table(tmp_path, "Foto,Befund,Person,Auge,Menge", "a,0,7,OD,train", "b,3,7,OS,test", "c,2,8,OS,val")
    with pytest.raises(KerasDrError, match=r"it has Foto, .*'Foto' holds names of files .*--image-column Foto"):
        inspect_with(tmp_path, label_column="Befund")
    columns = {"image_column": "foto", "label_column": "BEFUND", "patient_column": "Person"}
    inspection = inspect_with(tmp_path, eye_column="Auge", split_column="Menge", **columns)
    records = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in inspection.records]
    assert records[:2] == [("a", 0, "7", "right", "train"), ("b", 3, "7", "left", "test")]


def test_a_column_that_does_not_exist(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0")
    with pytest.raises(KerasDrError, match=r"no column 'x'; it has image, grade\. Correct --patient-column"):
        inspect_with(tmp_path, patient_column="x")


def test_a_column_without_splits_may_be_left_out(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade,set", "a,0,camera 1", "b,3,camera 2")
    with pytest.raises(KerasDrError, match="--split-column none"):
        inspect(tmp_path)
    assert {record.split for record in inspect_with(tmp_path, split_column="none").records} == {""}


def test_a_column_for_each_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"a column for each class \(No DR, Mild\)"):
        inspect(write_table(tmp_path, "image,No DR,Mild", "a,0,1", "b,1,0"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
def test_semicolons_of_excel(tmp_path: Path, encoding: str, first: str) -> None:
    put(tmp_path / "labels.csv", f"{first}Image;Grade\r\na.jpg;0\r\nb.jpg;4\r\n".encode(encoding))
    for name in "ab":
        put(tmp_path / f"{name}.jpg")
    inspection = inspect(tmp_path)
    assert [record.grade for record in inspection.records] == [0, 4] and "semicolons" in text_of(inspection)
