import csv
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SIZE

from keras_dr import prepared, preparing
from keras_dr.datasets import read_records
from keras_dr.errors import KerasDrError
from keras_dr.files import encode_csv
from keras_dr.preprocessing import Preprocessing

SHARED = Path(os.environ.get("KERAS_DR_DATA", Path(__file__).parents[2] / "shared" / "data"))


def prepare(source: Path, target: Path, size: int = SIZE, **settings: object) -> dict:
    name, records = read_records(source)
    return preparing.prepare(records, source, target, Preprocessing(size), dataset=name, **{"workers": 1} | settings)


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


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


def test_a_photograph_that_changed_since_the_interruption_is_read_again(photographs: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    source = copied(photographs, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "again", progress=stop)
    images = sorted((source / "images").iterdir())
    image = cv2.imread(str(images[3]))
    cv2.imwrite(str(images[3]), image[:, ::-1])
    seen: list[int] = []
    prepare(source, tmp_path / "again", progress=lambda done, total: seen.append(done))
    assert seen[0] == 25
    prepare(source, tmp_path / "fresh")
    assert content(tmp_path / "again") == content(tmp_path / "fresh")


def test_a_name_too_long_for_a_file_is_listed(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    with (source / "labels.csv").open("a") as stream:
        stream.write(f"{'a' * 400}.jpg,1,p9,left\n")
    prepare(source, tmp_path / "set")
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert "longer than 230 bytes" in row["reason"]


def test_patients_whom_official_splits_put_on_both_sides_are_counted(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    rows = read_csv(source / "labels.csv")
    last = rows[-1]["patient_id"]
    for row in rows:
        row["split"] = "test" if row["patient_id"] == last else ""
    rows[0] |= {"patient_id": last, "split": "train"}
    (source / "labels.csv").write_bytes(encode_csv(tuple(rows[0]), rows))
    about = prepare(source, tmp_path / "set")
    assert about["patients_on_both_sides"] == 1


def test_a_seed_out_of_range_is_refused_before_any_work(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="a seed from 0"):
        prepare(photographs, tmp_path / "set", seed=2**32)
    assert not (tmp_path / ".set.partial").exists()


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


def copied(photographs: Path, folder: Path) -> Path:
    return Path(shutil.copytree(photographs, folder / "source"))


SCRIPT = """
import os, signal, sys
from pathlib import Path
from keras_dr import preparing, runs
from keras_dr.datasets import read_records
from keras_dr.preprocessing import Preprocessing

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

def write_and_die(file, data, write=runs.write_bytes):
    write(file, data)
    file.name == moment and die()

if __name__ == "__main__":
    source, target, size, moment = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    runs.write_bytes = write_and_die
    name, records = read_records(source)
    progress = lambda done, total: str(done) == moment and die()
    spec = Preprocessing(size)
    preparing.prepare(records, source, target, spec, dataset=name, workers=2, progress=progress)
"""


@pytest.mark.parametrize("moment", ["1", "35", "60", "manifest.csv", "prepared.json"])
def test_a_killed_prepare_goes_on_and_ends_with_the_same_bytes(
    moment: str, prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [tmp_path / "script.py", photographs, tmp_path / "again", SIZE, moment]
    root = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, *map(str, words)], env=os.environ | root, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "again").exists() and (tmp_path / ".again.partial").is_dir()
    prepare(photographs, tmp_path / "again")
    assert content(tmp_path / "again") == content(prepared_folder)


def test_a_full_disk_is_told_and_prepare_goes_on_once_there_is_room(
    prepared_folder: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def fsync(handle: int) -> None:
        written.append(handle)
        if len(written) > 70:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KerasDrError, match=r"room on the disk.*goes on from here"):
        prepare(photographs, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    monkeypatch.undo()
    prepare(photographs, tmp_path / "again")
    assert content(tmp_path / "again") == content(prepared_folder)


def test_a_photograph_that_vanishes_is_listed(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    name, records = read_records(source)
    records[5].path.unlink()
    preparing.prepare(records, source, tmp_path / "set", Preprocessing(SIZE), dataset=name, workers=1)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == records[5].image_id and "No such file" in row["reason"]


def test_a_lost_mask_is_listed_and_leaves_no_image(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    name, records = read_records(source)
    records[5].masks["optic_disc"].unlink()
    preparing.prepare(records, source, tmp_path / "set", Preprocessing(SIZE), dataset=name, workers=1)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["reason"].startswith("mask") and len(list((tmp_path / "set" / "images").iterdir())) == 59


@pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
def test_a_truncated_jpeg_is_listed(ending: bytes, photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    file = sorted((source / "images").iterdir())[3]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + ending)
    prepare(source, tmp_path / "set")
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == file.stem and row["reason"].startswith("truncated")


class Killer(type(Path())):
    """A photograph that takes the process that reads it along."""

    def read_bytes(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


def test_a_photograph_that_kills_its_process_is_listed_and_the_rest_prepared(photographs: Path, tmp_path: Path) -> None:
    name, records = read_records(photographs)
    records[9] = replace(records[9], path=Killer(records[9].path))
    spec = Preprocessing(SIZE)
    about = preparing.prepare(records, photographs, tmp_path / "set", spec, dataset=name, workers=2)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == records[9].image_id and "process died" in row["reason"]
    assert about["rejected"] == 1 and len(prepared.load(tmp_path / "set").rows) == 59


@pytest.fixture
def leaky(photographs: Path, tmp_path: Path) -> Path:
    """The photographs with official splits; test holds a copy of a training photograph, and a re-encoded one."""
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
    ids = {row["image_id"] for row in prepared.load(tmp_path / "set").rows}
    assert len(ids) == 60 and not ids & set(expected)
    assert {file.stem for file in (tmp_path / "set" / "images").iterdir()} == ids


def test_leaks_are_kept_where_asked_for(leaky: Path, tmp_path: Path) -> None:
    about = prepare(leaky, tmp_path / "set", keep_leaks=True)
    assert about["leaks"] == 2 and about["leaks_kept"] and about["rejected"] == 0
    assert len(prepared.load(tmp_path / "set").rows) == 62


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


def test_quality_stands_in_the_manifest_and_its_limits_in_prepared_json(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    file = sorted((source / "images").iterdir())[8]
    cv2.imwrite(str(file), cv2.imread(str(file)) // 6)
    about = prepare(source, tmp_path / "set")
    row = next(row for row in prepared.load(tmp_path / "set").rows if row["image_id"] == file.stem)
    assert row["gradable"] == "no" and "dark" in row["reasons"] and about["not_gradable"] >= 1
    assert float(row["illumination"]) < about["quality_limits"]["illumination"][0]
