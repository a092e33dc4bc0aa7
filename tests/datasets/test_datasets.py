import shutil
from collections import Counter
from pathlib import Path

import pytest
from layouts import put
from places import SHARED

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets import find_adapter, read_records
from keras_dr.datasets.grades import choose_task


@pytest.fixture
def idrid(tmp_path: Path) -> Path:
    part = tmp_path / "B. Disease Grading"
    labels = part / "2. Groundtruths"
    header = "Image name,Retinopathy grade,Risk of macular edema "
    put(labels / "a. IDRiD_Disease Grading_Training Labels.csv", f"{header},,,\nIDRiD_001,3,2,,,\nIDRiD_002,0,0,,,\n")
    put(labels / "b. IDRiD_Disease Grading_Testing Labels.csv", f"{header}\nIDRiD_001,4,1\n")
    for folder, names in (("a. Training Set", (1, 2)), ("b. Testing Set", (1,))):
        for name in names:
            put(part / "1. Original Images" / folder / f"IDRiD_{name:03d}.jpg")
    return tmp_path


def test_idrid_ids_differ_across_its_two_sets(idrid: Path) -> None:
    name, records = read_records(idrid)
    assert name == "idrid"
    values = [(record.image_id, record.grade, record.split) for record in records]
    assert values == [("train_IDRiD_001", 3, "train"), ("train_IDRiD_002", 0, "train"), ("test_IDRiD_001", 4, "test")]
    assert all(record.path.is_file() for record in records)


def test_idrid_is_found_from_its_grading_part_too(idrid: Path) -> None:
    assert find_adapter(idrid / "B. Disease Grading") == "idrid"


def test_idrid_without_a_label_file_is_refused(idrid: Path) -> None:
    next(idrid.glob("*/2*/b*")).unlink()
    with pytest.raises(KerasDrError, match="label file"):
        read_records(idrid)


@pytest.fixture
def segmentation(tmp_path: Path) -> Path:
    part = tmp_path / "A. Segmentation"
    for folder, name in (("a. Training Set", "IDRiD_01"), ("b. Testing Set", "IDRiD_55")):
        put(part / "1. Original Images" / folder / f"{name}.jpg")
        put(part / "2. All Segmentation Groundtruths" / folder / "5. Optic Disc" / f"{name}_OD.tif")
    put(part / "2. All Segmentation Groundtruths" / "a. Training Set" / "1. Microaneurysms" / "IDRiD_01_MA.tif")
    return tmp_path


@pytest.mark.parametrize("part", ["", "A. Segmentation"])
def test_idrid_segmentation_has_masks_and_no_grades(segmentation: Path, part: str) -> None:
    name, records = read_records(segmentation / part)
    assert name == "idrid-segmentation"
    values = [(record.image_id, record.grade, record.split, sorted(record.masks)) for record in records]
    assert values == [
        ("IDRiD_01", None, "train", ["microaneurysms", "optic_disc"]),
        ("IDRiD_55", None, "test", ["optic_disc"]),
    ]


def test_an_id_of_idrid_segmentation_is_safe_and_keeps_its_masks(segmentation: Path) -> None:
    for file in sorted(segmentation.rglob("IDRiD_55*")):
        file.rename(file.with_name(file.name.replace("IDRiD_55", "..55 $(x)")))
    record = read_records(segmentation)[1][-1]
    assert (record.image_id, sorted(record.masks)) == ("55---x-", ["optic_disc"])


def test_the_whole_idrid_is_read_for_its_grades_unless_named(idrid: Path, segmentation: Path) -> None:
    assert idrid == segmentation
    assert find_adapter(idrid) == "idrid"
    assert len(read_records(idrid, "idrid-segmentation")[1]) == 2


needs_idrid = pytest.mark.skipif(not (SHARED / "idrid").is_dir(), reason="IDRiD is not at hand")


@needs_idrid
def test_the_real_segmentation_has_its_published_counts() -> None:
    name, records = read_records(SHARED / "idrid" / "A. Segmentation")
    assert name == "idrid-segmentation"
    assert [sum(record.split == split for record in records) for split in ("train", "test")] == [54, 27]
    masks = Counter(lesion for record in records for lesion in record.masks)
    assert masks["microaneurysms"] == masks["hard_exudates"] == masks["optic_disc"] == 81
    assert (masks["haemorrhages"], masks["soft_exudates"]) == (80, 40)  # Porwal et al. 2018, table 3


@needs_idrid
def test_the_real_idrid_has_its_published_counts() -> None:
    _, records = read_records(SHARED / "idrid")
    assert [sum(record.split == split for record in records) for split in ("train", "test")] == [413, 103]
    assert len({record.neighbours for record in records}) == 42 + 11  # blocks of ten numbers, from 0 on
    grades = [sum(record.grade == grade for record in records) for grade in range(5)]
    assert grades == [168, 25, 168, 93, 62]  # Porwal et al. 2018, table 4: both sets together


@pytest.mark.parametrize("top", ["", "train/"])
def test_class_folders_by_name_or_number(tmp_path: Path, top: str) -> None:
    for folder in ("No_DR", "1", "Proliferate_DR"):
        put(tmp_path / f"{top}{folder}" / "a b é.JPG")
    name, records = read_records(tmp_path)
    assert name == "folder"
    assert sorted(record.grade for record in records) == [0, 1, 4]
    assert {record.split for record in records} == {top.rstrip("/")}
    assert len({record.image_id for record in records}) == 3
    assert not any(" " in record.image_id for record in records)


def test_class_folders_of_any_name(tmp_path: Path) -> None:
    for folder in ("Normal eye", "Glaucoma"):
        put(tmp_path / "test" / folder / "a.v1.png")
    name, records = read_records(tmp_path)
    assert name == "folder"
    values = {(record.image_id, record.grade, record.label, record.split) for record in records}
    assert values == {
        ("test_Normal-eye_a.v1", None, "Normal eye", "test"),
        ("test_Glaucoma_a.v1", None, "Glaucoma", "test"),
    }


def test_a_folder_of_photographs_is_no_class_folder(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.jpg")
    with pytest.raises(KerasDrError, match="layout"):
        read_records(tmp_path)


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "0" / "a.jpg")
    (tmp_path / "1").mkdir()
    with pytest.raises(KerasDrError, match="class folder"):
        read_records(tmp_path)


def test_csv_columns_by_their_usual_names(tmp_path: Path) -> None:
    put(
        tmp_path / "labels.csv",
        "\ufeffid_code , diagnosis,Patient,laterality,set\na,2,p1,OD,train\nb.jpg,0,p1,l,valid\n",
    )
    put(tmp_path / "images" / "a.jpg")
    put(tmp_path / "b.jpg")
    name, records = read_records(tmp_path)
    assert name == "csv"
    values = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in records]
    assert values == [("a", 2, "p1", "right", "train"), ("b", 0, "p1", "left", "val")]
    assert [record.path.name for record in records] == ["a.jpg", "b.jpg"]


def test_csv_labels_may_be_class_names(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,label,,\né ü.jpg,Cardiomegaly,,,,\nb,No_DR,,\n,,,\nc,,,\n")
    put(tmp_path / "images" / "é ü.jpg")
    records = read_records(tmp_path)[1]
    values = [(record.image_id, record.grade, record.label) for record in records]
    assert values == [("é-ü", None, "Cardiomegaly"), ("b", 0, "No_DR"), ("c", None, "")]
    assert [record.path.is_file() for record in records] == [True, False, False]  # prepare lists the missing


def test_csv_files_of_one_name_in_two_folders_stay_two(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "path,label\nx/a.jpg,0\ny\\a.jpg,1\nx/b.jpg,2\n")
    for name in ("x/a.jpg", "y/a.jpg", "x/b.jpg"):
        put(tmp_path / name)
    records = read_records(tmp_path)[1]
    assert [record.image_id for record in records] == ["x-a", "y-a", "b"]
    assert all(record.path.is_file() for record in records)


def test_csv_finds_lesion_masks_beside_it(photographs: Path) -> None:
    _, records = read_records(photographs)
    assert len(records) == 60
    assert all("optic_disc" in record.masks for record in records)
    assert not any("new_vessels" in record.masks for record in records if record.grade < 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,grade\na,1\n", "a column named image"),
        ("image,score\na,1\n", "a column named grade"),
        ("image,grade\na,1,9\n", "2 columns"),
        ("image,grade\n", "Fill it"),
        ("", "Fill it"),
        ("image,grade\n,\n ,\n", "Fill it"),
        ("image,grade\na\0b,1\n", "inside the data set"),
        ("image,grade\n../../etc/passwd,1\n", "inside the data set"),
        ("image,grade\n/etc/passwd,1\n", "inside the data set"),
        ("image,grade\n..\\..\\secret,1\n", "inside the data set"),
        ("image,grade\nC:\\secret.jpg,1\n", "inside the data set"),
        ("image,grade\n,1\n", "inside the data set"),
        ("image,grade\na,1\na.jpg,2\n", "each photograph once"),
        ("image,grade\nx/a.jpg,1\nx/a.png,2\n", "each photograph once"),
        ("image,grade\na,1\na,2\n", "each photograph once"),
        ("image,grade\na,1\na,1\nb,1\nb,1\n", "1 more photograph is named several times"),
        ("image,grade,split\na,1,holdout\n", "A split must be"),
        ("image,grade\nc.jpg,1\n./c.jpg,2\n", "each photograph once, but names 'c.jpg' in several rows"),
        (
            "image,grade\nc.jpg,1\nC.JPG,2\n",
            "each photograph once, but names 'c.jpg' in several rows: line 2 .* line 3",
        ),
    ],
)
def test_a_csv_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path / "labels.csv", text)
    put(tmp_path / "c.jpg")
    with pytest.raises(KerasDrError, match=message):
        read_records(tmp_path)


@pytest.mark.parametrize("line", ["../b,1,", "b,1,holdout", ",1,"])
def test_what_is_wrong_in_a_csv_is_found_by_its_line(tmp_path: Path, line: str) -> None:
    file = put(tmp_path / "labels.csv", f"image,grade,split\na,0,train\n,,\n{line}\n")
    with pytest.raises(KerasDrError, match=f"in line 4 of {file}"):
        read_records(tmp_path)


def test_an_unknown_grade_is_found_by_its_line(tmp_path: Path) -> None:
    file = put(tmp_path / "labels.csv", "image,grade\na,0\n\nb,seven\n")
    with pytest.raises(KerasDrError, match=f"'seven' at b in line 4 of {file}"):
        choose_task("icdr", read_records(tmp_path)[1])


def test_an_unknown_grade_of_aptos_is_found_by_its_line(tmp_path: Path) -> None:
    file = put(tmp_path / "train.csv", "id_code,diagnosis\na,0\nb,7\n")
    (tmp_path / "train_images").mkdir()
    with pytest.raises(KerasDrError, match=f"'7' in line 3 of {file}"):
        read_records(tmp_path)


def test_a_name_too_long_for_a_file_is_left_to_prepare(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", f"image,grade\n{'a' * 400},1\n")
    (tmp_path / "masks" / "haemorrhages").mkdir(parents=True)
    (record,) = read_records(tmp_path)[1]
    assert record.masks == {}


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,grade\né,1\n".encode("latin-1"))
    with pytest.raises(KerasDrError, match="UTF-8"):
        read_records(tmp_path)


def test_unknown_layouts_and_paths_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt", "x")
    with pytest.raises(KerasDrError, match="layout"):
        read_records(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KerasDrError, match="empty holds nothing to read"):
        read_records(tmp_path / "empty")
    with pytest.raises(KerasDrError, match="no folder or file"):
        read_records(tmp_path / "none")
    with pytest.raises(KerasDrError, match=r"no data set 'kaggle'\. Known are auto, idrid, .*, csv, folder"):
        read_records(tmp_path, "kaggle")


def test_a_folder_of_two_csv_files_wants_one_named(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "copy")
    put(tmp_path / "copy" / "other.csv", "image,label\nimages/p001_left.jpg,1\n")
    with pytest.raises(KerasDrError, match=r"labels.csv and other.csv; only one can be meant. Name the CSV"):
        read_records(tmp_path / "copy", "csv")
    assert len(read_records(tmp_path / "copy" / "labels.csv")[1]) == 60
