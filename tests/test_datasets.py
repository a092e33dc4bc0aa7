import os
import shutil
from pathlib import Path

import pytest
from conftest import encode

from keras_dr.datasets import find_adapter, read_records
from keras_dr.errors import KerasDrError
from keras_dr.synthetic import synthesise

SHARED = Path(os.environ.get("KERAS_DR_DATA", Path(__file__).parents[2] / "shared" / "data"))
PHOTOGRAPH = encode(synthesise(1, 2, size=(64, 80)).image, ".jpg")


def put(file: Path, data: bytes | str = PHOTOGRAPH) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


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
    found = [(record.image_id, record.grade, record.split) for record in records]
    assert found == [("train_IDRiD_001", 3, "train"), ("train_IDRiD_002", 0, "train"), ("test_IDRiD_001", 4, "test")]
    assert all(record.path.is_file() for record in records)


def test_idrid_is_found_from_its_grading_part_too(idrid: Path) -> None:
    assert find_adapter(idrid / "B. Disease Grading") == "idrid"


def test_idrid_without_a_label_file_is_refused(idrid: Path) -> None:
    next(idrid.glob("*/2*/b*")).unlink()
    with pytest.raises(KerasDrError, match="label file"):
        read_records(idrid)


@pytest.mark.skipif(not (SHARED / "idrid").is_dir(), reason="IDRiD is not at hand")
def test_the_real_idrid_has_its_published_counts() -> None:
    _, records = read_records(SHARED / "idrid")
    assert [sum(record.split == split for record in records) for split in ("train", "test")] == [413, 103]
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
    found = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in records]
    assert found == [("a", 2, "p1", "right", "train"), ("b", 0, "p1", "left", "val")]
    assert [record.path.name for record in records] == ["a.jpg", "b.jpg"]


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
        ("image,grade\na,7\n", "ICDR grade"),
        ("image,grade\na,1,9\n", "2 columns"),
        ("image,grade\n", "a column named image"),
        ("image,grade\n../../etc/passwd,1\n", "inside the data set"),
        ("image,grade\n/etc/passwd,1\n", "inside the data set"),
        ("image,grade\na,1\na,2\n", "each photograph once"),
        ("image,grade,split\na,1,holdout\n", "a split among"),
    ],
)
def test_a_csv_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path / "labels.csv", text)
    with pytest.raises(KerasDrError, match=message):
        read_records(tmp_path)


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,grade\né,1\n".encode("latin-1"))
    with pytest.raises(KerasDrError, match="UTF-8"):
        read_records(tmp_path)


def test_unknown_layouts_and_paths_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt", "x")
    with pytest.raises(KerasDrError, match="layout"):
        read_records(tmp_path)
    with pytest.raises(KerasDrError, match="no such folder"):
        read_records(tmp_path / "none")
    with pytest.raises(KerasDrError, match="auto, idrid, csv, folder"):
        read_records(tmp_path, "kaggle")


def test_a_folder_of_two_csv_files_wants_one_named(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "copy")
    put(tmp_path / "copy" / "other.csv", "x\n")
    with pytest.raises(KerasDrError, match="Name the CSV"):
        read_records(tmp_path / "copy", "csv")
    assert len(read_records(tmp_path / "copy" / "labels.csv")[1]) == 60
