import csv
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SIZE

from keras_dr import prepared, preprocessing
from keras_dr.datasets import read_records
from keras_dr.errors import KerasDrError
from keras_dr.preprocessing import Preprocessing
from keras_dr.records import Record


def prepare(source: Path, target: Path, **settings: object) -> dict:
    name, records = read_records(source)
    return prepared.prepare(records, source, target, Preprocessing(SIZE), dataset=name, **{"workers": 1} | settings)


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_images_are_what_the_device_would_make(prepared_folder: Path, photographs: Path) -> None:
    data = prepared.load(prepared_folder)
    expected = preprocessing.prepare_image((photographs / data.rows[7]["source"]).read_bytes(), data.preprocessing)
    assert np.array_equal(data.image(7), expected)


def test_manifest_tells_grades_and_patients(prepared_folder: Path, photographs: Path) -> None:
    with (photographs / "labels.csv").open() as stream:
        grades = {Path(row["image"]).stem: row["grade"] for row in csv.DictReader(stream)}
    data = prepared.load(prepared_folder)
    assert {row["image_id"]: row["grade"] for row in data.rows} == grades
    assert [data.task.classes[label] for label in data.labels()] == [row["label"] for row in data.rows]
    sides: dict[str, set[str]] = {}
    for row in data.rows:
        sides.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values())


def test_masks_follow_the_photograph(prepared_folder: Path, photographs: Path) -> None:
    data = prepared.load(prepared_folder)
    disc = data.masks(0)["optic_disc"]
    row = data.rows[0]
    original = cv2.imread(str(photographs / "masks" / "optic_disc" / f"{row['image_id']}.png"), cv2.IMREAD_GRAYSCALE)
    y, x = (axis.mean() for axis in np.nonzero(original))
    scale = SIZE / (2 * float(row["fundus_radius"]))
    expected = [(x - float(row["fundus_x"])) * scale + SIZE / 2, (y - float(row["fundus_y"])) * scale + SIZE / 2]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    found = [(disc * columns).sum() / disc.sum() + 0.5, (disc * rows).sum() / disc.sum() + 0.5]
    assert found == pytest.approx(expected, abs=0.6)
    assert disc.sum() == pytest.approx((original > 0).sum() * scale**2, rel=0.05)


def test_result_does_not_depend_on_the_number_of_workers(
    prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    prepare(photographs, tmp_path / "again", workers=2)
    assert content(tmp_path / "again") == content(prepared_folder)


def test_interrupted_prepare_goes_on_and_ends_with_the_same_bytes(
    prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(photographs, tmp_path / "again", progress=stop)
    assert not (tmp_path / "again").exists()
    seen: list[int] = []
    prepare(photographs, tmp_path / "again", progress=lambda done, total: seen.append(done))
    assert seen[0] == 26
    assert content(tmp_path / "again") == content(prepared_folder)


def test_unreadable_photographs_are_listed_and_the_rest_is_prepared(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(photographs, source)
    names = sorted(path.name for path in (source / "images").iterdir())
    (source / "images" / names[0]).write_bytes(b"")
    (source / "images" / names[1]).write_bytes(b"not a photograph")
    (source / "images" / names[2]).unlink()
    about = prepare(source, tmp_path / "set")
    with (tmp_path / "set" / "rejected.csv").open() as stream:
        rejected = {Path(row["source"]).name: row["reason"] for row in csv.DictReader(stream)}
    assert about["rejected"] == 3 and sum(map(sum, (c.values() for c in about["counts"].values()))) == 57
    assert rejected[names[0]] == "an empty file"
    assert "no decoder" in rejected[names[1]]
    assert "No such file" in rejected[names[2]]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,grade\na.jpg,1\n")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(KerasDrError, match="readable photographs"):
        prepare(tmp_path, tmp_path / "set")
    assert not (tmp_path / "set").exists()


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


def test_an_image_without_a_fundus_says_so(tmp_path: Path, photographs: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(photographs, source)
    name = sorted(path.name for path in (source / "images").iterdir())[0]
    cv2.imwrite(str(source / "images" / name), np.full((60, 90, 3), 128, np.uint8))
    for mask in source.glob(f"masks/*/{Path(name).stem}.png"):
        mask.unlink()
    about = prepare(source, tmp_path / "set")
    data = prepared.load(tmp_path / "set")
    index = [row["image_id"] for row in data.rows].index(Path(name).stem)
    assert about["fundus_not_found"] == 1
    assert data.rows[index]["fundus_radius"] == "" and data.fundus(index).all()


def test_a_class_without_training_photographs_is_refused(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(photographs, source)
    kept = [line for line in (source / "labels.csv").read_text().splitlines() if ",1,p" not in line]
    (source / "labels.csv").write_text("\n".join(kept))
    with pytest.raises(KerasDrError, match="none of mild"):
        prepare(source, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_referable_task_maps_the_grades(photographs: Path, tmp_path: Path) -> None:
    prepare(photographs, tmp_path / "set", task="referable")
    data = prepared.load(tmp_path / "set")
    assert all((row["label"] == "referable") == (int(row["grade"]) >= 2) for row in data.rows)


def test_an_edited_manifest_is_refused(prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    manifest = tmp_path / "set" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train,", ",test,"))
    with pytest.raises(KerasDrError, match="manifest"):
        prepared.load(tmp_path / "set")


def test_a_lost_image_is_named(prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    lost = next((tmp_path / "set" / "images").iterdir())
    lost.unlink()
    with pytest.raises(KerasDrError, match=lost.name):
        prepared.load(tmp_path / "set")


def test_unknown_split_names_what_there_is(prepared_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="train 3"):
        prepared.load(prepared_folder).split("holdout")


def test_masks_fit_a_photograph_that_is_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    photograph = cv2.circle(np.zeros((603, 801, 3), np.uint8), (400, 300), 256, (40, 110, 200), -1)
    mask = cv2.rectangle(np.zeros((603, 801), np.uint8), (400, 44), (656, 300), 255, -1)  # its upper right quarter
    cv2.imwrite(str(tmp_path / "eye.jpg"), photograph)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    record = Record("eye", tmp_path / "eye.jpg", 0, masks={"haemorrhages": tmp_path / "mask.png"})
    (tmp_path / "images").mkdir()
    row = prepared._prepare_one(record, source=tmp_path, folder=tmp_path, spec=Preprocessing(64))
    assert [float(row[f"fundus_{name}"]) for name in ("x", "y", "radius")] == pytest.approx([400, 300, 256], abs=3)
    covered = cv2.imread(str(tmp_path / "masks" / "haemorrhages" / "eye.png"), cv2.IMREAD_GRAYSCALE)
    expected = np.zeros((64, 64))
    expected[:32, 32:] = 255
    assert np.abs(covered - expected).mean() < 4
