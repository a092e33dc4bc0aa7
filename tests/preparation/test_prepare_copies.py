import shutil
from pathlib import Path

import cv2
import pytest
from preparation import copied, prepare, read_csv

from keras_dr.core.encoding import encode_csv
from keras_dr.preparation.prepared_set import PreparedSet


def test_identical_photographs_share_a_group_and_a_side(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(photographs, source)
    lines = (source / "labels.csv").read_text().splitlines()
    for number, line in enumerate(lines[1:11]):
        image, grade, _, eye = line.split(",")
        shutil.copy(source / image, source / "images" / f"copy{number}.jpg")
        lines.append(f"images/copy{number}.jpg,{grade},q{number},{eye}")
    (source / "labels.csv").write_text("\n".join(lines))
    about = prepare(source, tmp_path / "set")
    assert about["duplicates"] == 10 and about["leaks"] == 0


@pytest.fixture
def leaky(photographs: Path, tmp_path: Path) -> Path:
    """The photographs with official splits; test has a copy and a re-encoded copy of training photographs."""
    source = copied(photographs, tmp_path)
    rows = read_csv(source / "labels.csv")
    for number, row in enumerate(rows):
        row["split"] = "test" if number >= 44 else "train"
    shutil.copy(source / rows[0]["image"], source / "images" / "same.jpg")
    image = cv2.imread(str(source / rows[2]["image"]))
    cv2.imwrite(str(source / "images" / "near.jpg"), cv2.convertScaleAbs(image, beta=4), (cv2.IMWRITE_JPEG_QUALITY, 90))
    rows.append(rows[0] | {"image": "images/same.jpg", "split": "test", "patient_id": "q1"})
    rows.append(rows[2] | {"image": "images/near.jpg", "split": "test", "patient_id": "q2", "grade": "4"})
    rows[2]["grade"] = "3"
    (source / "labels.csv").write_bytes(encode_csv(tuple(rows[0]), rows))
    return source


def test_copies_of_test_photographs_leave_the_training_side(leaky: Path, tmp_path: Path) -> None:
    about = prepare(leaky, tmp_path / "set")
    reasons = {row["image_id"]: row["reason"] for row in read_csv(tmp_path / "set" / "rejected.csv")}
    expected = {"p0001_left": "copy of test photograph same", "p0002_left": "copy of test photograph near"}
    assert reasons == expected and about["leaks"] == about["rejected"] == 2
    assert (about["duplicates"], about["near_duplicates"], about["conflicting_groups"]) == (1, 1, 1)
    ids = {row["image_id"] for row in PreparedSet.load(tmp_path / "set").rows}
    assert len(ids) == 60 and not ids & set(expected)
    assert {file.stem for file in (tmp_path / "set" / "images").iterdir()} == ids


def test_leaks_are_kept_where_asked_for(leaky: Path, tmp_path: Path) -> None:
    about = prepare(leaky, tmp_path / "set", keep_leaks=True)
    assert about["leaks"] == 2 and about["leaks_kept"] and about["rejected"] == 0
    assert len(PreparedSet.load(tmp_path / "set").rows) == 62


def test_duplicates_are_listed_with_their_grades(leaky: Path, tmp_path: Path) -> None:
    prepare(leaky, tmp_path / "set")
    rows = read_csv(tmp_path / "set" / "duplicates.csv")
    assert [(row["image_id"], row["split"], row["kind"], row["conflict"]) for row in rows] == [
        ("p0001_left", "train", "identical", "no"),
        ("same", "test", "identical", "no"),
        ("p0002_left", "train", "near", "yes"),
        ("near", "test", "near", "yes"),
    ]
    groups = {row["image_id"]: row["group_id"] for row in read_csv(tmp_path / "set" / "manifest.csv")}
    assert all(groups.get(row["image_id"], row["group_id"]) == row["group_id"] for row in rows)
