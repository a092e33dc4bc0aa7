import csv
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from drawn import SIZE
from preparation import copied, prepare, read_csv

from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet


def test_a_name_too_long_for_a_file_is_listed(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    with (source / "labels.csv").open("a") as stream:
        stream.write(f"{'a' * 400}.jpg,1,p9,left\n")
    prepare(source, tmp_path / "set")
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert "longer than 230 bytes" in row["reason"]


def test_names_that_are_no_utf8_are_prepared(photographs: Path, tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"set \xff")
    classes = ("well", os.fsdecode(b"sick \xff"))
    for number, file in enumerate(sorted((photographs / "images").iterdir())[:20]):
        folder = source / classes[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / os.fsdecode(b"%d\xff.jpg" % number))
    prepare(source, tmp_path / "set")
    data = PreparedSet.load(tmp_path / "set")
    assert data.task.classes == ("sick ?", "well") and data.source.name == "set ?"
    assert "sick ?/1?.jpg" in {row["source"] for row in data.rows}


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
    assert "an empty file" in rejected[names[0]]
    assert "no decoder" in rejected[names[1]]
    assert "No such file" in rejected[names[2]]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,grade\na.jpg,1\n")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(KerasDrError, match="readable photographs"):
        prepare(tmp_path, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_photograph_that_vanishes_is_listed(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    name, records = read_records(source)
    records[5].path.unlink()
    prepare_records(records, source, tmp_path / "set", Preprocessing(SIZE), dataset=name, workers=0)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == records[5].image_id and "No such file" in row["reason"]


def test_a_lost_mask_is_listed_and_leaves_no_image(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    name, records = read_records(source)
    records[5].masks["optic_disc"].unlink()
    prepare_records(records, source, tmp_path / "set", Preprocessing(SIZE), dataset=name, workers=0)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["reason"].startswith("mask") and len(list((tmp_path / "set" / "images").iterdir())) == 59


@pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
def test_a_truncated_jpeg_is_listed(ending: bytes, photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    file = sorted((source / "images").iterdir())[3]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + ending)
    prepare(source, tmp_path / "set")
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == file.stem and "truncated" in row["reason"]


class Killer(type(Path())):
    """A photograph that kills the process that reads it."""

    def read_bytes(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_photograph_that_kills_its_process_is_listed_and_the_rest_prepared(
    workers: int, photographs: Path, tmp_path: Path
) -> None:
    name, records = read_records(photographs)
    records[9] = replace(records[9], path=Killer(records[9].path))
    spec = Preprocessing(SIZE)
    about = prepare_records(records, photographs, tmp_path / "set", spec, dataset=name, workers=workers)
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == records[9].image_id and "process died" in row["reason"]
    assert about["rejected"] == 1 and len(PreparedSet.load(tmp_path / "set").rows) == 59
