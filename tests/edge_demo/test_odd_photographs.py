"""A folder of odd files on a device: a row for each, graded or with its cause; names of any kind."""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from earlier_work import change_bundle, unpack
from odd_files import EYE, READ, REFUSED, TWO_EYES, deep
from written import closing_counts, read_rows

from edge_demo.__main__ import main
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.core.errors import KerasDrError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = unpack(tmp_path_factory.mktemp("odd"), "bundle") / "bundle"
    return change_bundle(folder, {"stretch": True, "page": "largest", "bits": 16}, threshold=0.9, referable=[1])


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_each_file_is_graded_or_fails_with_its_cause(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "eyes", READ | {name: data for name, (data, _) in REFUSED.items()} | TWO_EYES)
    (folder / "empty folder.jpg").mkdir()
    assert main(["grade", str(bundle), str(folder), "--csv", str(tmp_path / "t.csv")]) == 1
    rows = {Path(row["path"]).name: row for row in read_rows(tmp_path / "t.csv")}
    assert rows.keys() == READ.keys() | REFUSED.keys() | TWO_EYES.keys()
    assert [
        name for name in READ if rows[name]["error"] or rows[name]["prediction"] != rows["plain.png"]["prediction"]
    ] == []
    assert [name for name, (_, cause) in REFUSED.items() if cause not in rows[name]["error"]] == []
    assert {rows[name]["faults"] for name in TWO_EYES} == {"two fundi"}
    assert {rows[name]["action"] for name in TWO_EYES} == {"retake"}
    counts = closing_counts(capsys.readouterr().out)
    retake = sum(row["action"] == "retake" for row in rows.values())
    assert (counts["given"], counts["failed"], counts["retake"]) == (len(rows), len(REFUSED), retake)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_sixteen_bit_files_are_read_by_the_bits_of_the_set(bits: int, bundle: Path, tmp_path: Path) -> None:
    folder = unpack(tmp_path, "bundle") / "bundle"
    grader = Grader(Bundle.load(change_bundle(folder, {"stretch": True, "bits": bits})), threads=1)
    plain = grader.grade(READ["plain.png"])
    for suffix in (".png", ".tif"):
        assert np.array_equal(grader.grade(deep(bits, suffix)).prepared, plain.prepared)
        with pytest.raises(KerasDrError, match=f"more than the {bits} bits"):
            grader.grade(deep(16, suffix))


def test_a_folder_by_a_photographs_name_is_called_a_folder(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").mkdir()
    with pytest.raises(KerasDrError, match="is a folder, not a photograph"):
        Grader(bundle).grade(tmp_path / "eye.jpg")


def test_a_name_cannot_write_to_the_terminal(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lie = "a.png\n9 photographs given: 9 to be referred, 0 to be retaken, 0 no action, 0 failed.\x1b[8m"
    files = {lie + ".png": READ["plain.png"], lie + ".jpg": b"", lie + ".gif": b"GIF89a"}
    folder = put(tmp_path / "eyes", files)
    assert main(["grade", str(bundle), str(folder), "--csv", str(tmp_path / "t.csv")]) == 1
    said = capsys.readouterr()
    assert closing_counts(said.out)["given"] == 2 and "\x1b" not in said.out + said.err
    assert len(said.err.splitlines()) == 1
    assert [Path(row["path"]).name for row in read_rows(tmp_path / "t.csv")] == [lie + ".jpg", lie + ".png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_name_that_is_no_utf8_is_graded_and_watched(bundle: Path, tmp_path: Path) -> None:
    folder = put(tmp_path / "eyes", {})
    with open(os.fsencode(folder) + b"/\xe9il.png", "wb") as stream:  # noqa: PTH123
        stream.write(READ["plain.png"])
    assert main(["grade", str(bundle), str(folder), "--csv", str(tmp_path / "t.csv")]) == 0
    journal = tmp_path / "journal.jsonl"
    words = ["watch", str(bundle), str(folder), "--once", "--interval", "0", "--journal", str(journal)]
    assert main(words) == 0 and main(words) == 0
    (line,) = map(json.loads, journal.read_text("utf-8").splitlines())
    (row,) = read_rows(tmp_path / "t.csv")
    assert line["grade"] == row["prediction"] and "error" not in line


def test_a_photograph_of_many_pages_is_graded_by_its_largest(bundle: Path) -> None:
    grader = Grader(bundle)
    plain, paged = (grader.grade(READ[name]) for name in ("plain.png", "second of three.tif"))
    assert np.array_equal(plain.prepared, paged.prepared)


def test_a_cut_photograph_with_an_end_mark_is_never_graded(bundle: Path) -> None:
    grader, whole = Grader(bundle), cv2.imencode(".jpg", EYE[..., ::-1])[1].tobytes()
    for share in (0.3, 0.5, 0.8, 0.95):
        with pytest.raises(KerasDrError, match="truncated"):
            grader.grade(whole[: int(share * len(whole))] + b"\xff\xd9")


def test_heat_maps_do_not_become_photographs(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(tmp_path / "eyes", {"a.jpg": cv2.imencode(".jpg", EYE[..., ::-1])[1].tobytes()})
    for place in (folder, folder / "maps"):
        assert main(["grade", str(bundle), str(folder), "--heatmap", str(place)]) == 0
        assert closing_counts(capsys.readouterr().out.splitlines()[-2])["given"] == 1
    assert main(["grade", str(bundle), str(folder)]) == 0
    assert "2 drawn by keras_dr, such as heat maps (a.png, a.png)" in capsys.readouterr().out
    assert main(["grade", str(bundle), *map(str, sorted(folder.glob("a.*")))]) == 1
    assert "a.png: The file is a picture that keras_dr drew" in capsys.readouterr().err
