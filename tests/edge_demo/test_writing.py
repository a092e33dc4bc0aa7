"""Results of a device: they replace no other files, have a row per photograph and correct counts; odd photographs."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from earlier_work import change_bundle, unpack

from edge_demo.__main__ import main
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.synthetic.photographs import synthesise

EYE = synthesise(4, 3, "left", (240, 320)).image


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle, with new keys in its preprocessing."""
    folder = unpack(tmp_path_factory.mktemp("device"), "bundle") / "bundle"
    return change_bundle(folder, {"stretch": True, "page": "largest", "bits": 12})


def write(file: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(file), image[..., ::-1] if image.ndim == 3 else image)
    return file


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    """A folder with a complete photograph, one that is cut short, two files of other types and a note."""
    folder = tmp_path / "eyes"
    folder.mkdir()
    data = write(folder / "a.jpg", EYE).read_bytes()
    (folder / "b.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    (folder / "c.png").write_bytes(b"GIF89a" + bytes(99))
    (folder / "d.gif").write_bytes(b"GIF89a" + bytes(99))
    (folder / "note.txt").write_text("left eyes")
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def test_every_photograph_has_a_row_and_the_last_line_adds_up(
    bundle: Path, eyes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["grade", str(bundle), str(eyes), "--csv", str(tmp_path / "t.csv"), "--json", str(tmp_path / "t.json")]
    assert main(words) == 1
    rows = rows_of(tmp_path / "t.csv")
    assert [Path(row["path"]).name for row in rows] == ["a.jpg", "b.jpg", "c.png"]
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    assert "truncated" in rows[1]["error"] and "GIF picture" in rows[2]["error"]
    counts = json.loads((tmp_path / "t.json").read_text())["counts"]
    assert counts["given"] == 3 == sum(counts[key] for key in ("referred", "retake", "no_action", "failed"))
    out = capsys.readouterr().out
    assert "3 photographs given" in out and "2 failed" in out and "d.gif" in out and "note.txt" in out
    assert main(words) == 1  # it may replace its own results


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_no_photograph_and_no_list_is_replaced(overwrite: list[str], bundle: Path, eyes: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("image\neyes/a.jpg\n")
    photograph = (eyes / "a.jpg").read_bytes()
    for target in ("--csv", "--json"):
        for file in (listed, eyes / "a.jpg", bundle / "bundle.json"):
            before = file.read_bytes()
            assert main(["grade", str(bundle), str(listed), target, str(file), *overwrite]) == 1
            assert file.read_bytes() == before
    assert main(["grade", str(bundle), str(eyes / "a.jpg"), "--heatmap", str(eyes / "a.jpg"), *overwrite]) == 1
    assert (eyes / "a.jpg").read_bytes() == photograph


@pytest.mark.parametrize("header", ["patient,phone", "image_id,prediction"])  # the second is a part of its own columns
def test_another_file_needs_overwrite(header: str, bundle: Path, eyes: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "precious.csv", write(tmp_path / "precious.png", EYE)
    table.write_text(f"{header}\n1,2\n")
    before = picture.read_bytes()
    words = ["grade", str(bundle), str(eyes / "a.jpg")]
    assert main([*words, "--csv", str(table)]) == 1 and table.read_text().startswith(header)
    assert main([*words, "--heatmap", str(picture)]) == 1 and picture.read_bytes() == before
    assert main([*words, "--csv", str(table), "--heatmap", str(picture), "--overwrite"]) == 0
    assert main([*words, "--csv", str(table), "--heatmap", str(picture)]) == 0
    assert rows_of(table)[0]["image_id"] == "a"


def test_csv_for_excel(bundle: Path, eyes: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    words = ["grade", str(bundle), str(eyes / "a.jpg"), "--csv", str(file), "--excel", "--separator", "semicolon"]
    assert main(words) == 0
    text = file.read_text("utf-8")
    assert text.startswith("\ufeffimage_id;path;") and main(words) == 0


def test_a_photograph_is_no_journal(bundle: Path, eyes: Path, tmp_path: Path) -> None:
    photograph = (eyes / "a.jpg").read_bytes()
    words = ["watch", str(bundle), str(eyes), "--once", "--interval", "0", "--journal"]
    assert main([*words, str(eyes / "a.jpg")]) == 1
    assert (eyes / "a.jpg").read_bytes() == photograph
    for text in ('{"file": "camera.ini", "clinic": "Ward 3"}', '{"file": "a"}\n{"file": "b"}\n', "[1]", '"file"'):
        (tmp_path / "settings.json").write_text(text)
        assert main([*words, str(tmp_path / "settings.json")]) == 1
        assert (tmp_path / "settings.json").read_text() == text
    assert main([*words, str(tmp_path / "j.jsonl")]) == 1  # two files of the folder cannot be graded
    assert main([*words, str(tmp_path / "j.jsonl")]) == 0  # none is new


@pytest.fixture(scope="module")
def grader(bundle: Path) -> Grader:
    return Grader(Bundle.load(bundle), threads=1)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_twelve_bits_in_sixteen_are_as_bright_as_eight(grader: Grader) -> None:
    eight_bits = grader.grade(png(EYE), "e.png")
    twelve_bits = grader.grade(png(EYE.astype(np.uint16) << 4), "e.png")
    assert np.array_equal(eight_bits.prepared, twelve_bits.prepared)


def test_two_fundi_and_a_squashed_photograph_are_named(grader: Grader) -> None:
    both = grader.grade(png(np.hstack([EYE, EYE])), "e.png")
    assert both.faults == ("two fundi",) and both.action in ("retake", "refer: by grade")
    squashed = grader.grade(png(cv2.resize(EYE, (240, 240), interpolation=cv2.INTER_AREA)), "e.png")
    assert squashed.stretched and squashed.fundus_found and squashed.to_dict()["stretched"]
    assert not grader.grade(png(EYE), "e.png").stretched


def test_an_older_bundle_keeps_its_pixels(bundle: Path, tmp_path: Path) -> None:
    older = tmp_path / "bundle"
    older.mkdir()
    for file in bundle.iterdir():
        if file.is_file():
            (older / file.name).write_bytes(file.read_bytes())
    about = json.loads((older / "bundle.json").read_text())
    about["preprocessing"] = {key: about["preprocessing"][key] for key in ("size", "enhance", "fundus")}
    (older / "bundle.json").write_text(json.dumps(about))
    spec = Bundle.load(older).preprocessing
    assert (spec.stretch, spec.page, spec.bits) == (False, "first", None)
    assert set(spec.to_dict()) == {"size", "enhance", "fundus"}
