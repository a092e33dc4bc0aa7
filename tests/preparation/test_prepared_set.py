import csv
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import SIZE

from keras_dr.core import preprocessing
from keras_dr.core.errors import KerasDrError
from keras_dr.preparation.prepared_set import PreparedSet


def test_images_are_what_the_device_would_make(prepared_folder: Path, photographs: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    expected = preprocessing.prepare_image((photographs / data.rows[7]["source"]).read_bytes(), data.preprocessing)
    assert np.array_equal(data.image(7), expected)


def test_manifest_tells_grades_and_patients(prepared_folder: Path, photographs: Path) -> None:
    with (photographs / "labels.csv").open() as stream:
        grades = {Path(row["image"]).stem: row["grade"] for row in csv.DictReader(stream)}
    data = PreparedSet.load(prepared_folder)
    assert {row["image_id"]: row["grade"] for row in data.rows} == grades
    assert [data.task.classes[label] for label in data.labels()] == [row["label"] for row in data.rows]
    sides: dict[str, set[str]] = {}
    for row in data.rows:
        sides.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values())


def test_masks_follow_the_photograph(prepared_folder: Path, photographs: Path) -> None:
    data = PreparedSet.load(prepared_folder)
    disc = data.masks(0)["optic_disc"]
    row = data.rows[0]
    original = cv2.imread(str(photographs / "masks" / "optic_disc" / f"{row['image_id']}.png"), cv2.IMREAD_GRAYSCALE)
    y, x = (axis.mean() for axis in np.nonzero(original))
    scale = SIZE / (2 * float(row["fundus_radius"]))
    expected = [(x - float(row["fundus_x"])) * scale + SIZE / 2, (y - float(row["fundus_y"])) * scale + SIZE / 2]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centre = [(disc * columns).sum() / disc.sum() + 0.5, (disc * rows).sum() / disc.sum() + 0.5]
    assert centre == pytest.approx(expected, abs=0.6)
    assert disc.sum() == pytest.approx((original > 0).sum() * scale**2, rel=0.05)


def test_an_edited_manifest_is_refused(prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    manifest = tmp_path / "set" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train,", ",test,"))
    with pytest.raises(KerasDrError, match="manifest"):
        PreparedSet.load(tmp_path / "set")


def test_the_hash_of_a_manifest_of_an_older_version_is_known(prepared_folder: Path) -> None:
    content = (prepared_folder / "manifest.csv").read_bytes()
    assert b",stretched,red_to_green,blue_to_green\n" in content
    older = b"".join(line.rsplit(b",", 2)[0] + b"\n" for line in content.splitlines())
    hashes = {hashlib.sha256(content).hexdigest(), hashlib.sha256(older).hexdigest()}
    assert len(hashes) == 2 and PreparedSet.load(prepared_folder).hashes() == hashes


def test_a_lost_image_is_named(prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    lost = next((tmp_path / "set" / "images").iterdir())
    lost.unlink()
    with pytest.raises(KerasDrError, match=lost.name):
        PreparedSet.load(tmp_path / "set")


def test_unknown_split_names_what_there_is(prepared_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="train 3"):
        PreparedSet.load(prepared_folder).split("holdout")


@pytest.mark.parametrize("part", ["images", "masks/optic_disc"])
@pytest.mark.parametrize("fault", ["size", "cut"])
def test_a_changed_image_is_named(part: str, fault: str, prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    data = PreparedSet.load(tmp_path / "set")
    file = tmp_path / "set" / part / f"{data.rows[0]['image_id']}.png"
    png = cv2.imencode(".png", np.zeros((16, 16), np.uint8))[1].tobytes()
    file.write_bytes(png if fault == "size" else file.read_bytes()[:-40])
    with pytest.raises(KerasDrError, match=f"{file} .* Prepare the set again"):
        data.image(0) if part == "images" else data.masks(0)


@pytest.mark.parametrize("change", [{"manifest_sha256": None}, {"classes": None}, {"preprocessing": {}}, {"counts": 1}])
def test_a_wrong_prepared_json_is_named(change: dict, prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    file = tmp_path / "set" / "prepared.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(KerasDrError, match=r"prepared\.json .* Prepare the set again"):
        PreparedSet.load(tmp_path / "set")
