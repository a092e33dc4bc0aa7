"""Harmful files are refused with a message: bombs, names that lead out of the folder, code in data."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import encode

from edge_demo.journal import Journal
from keras_dr.core import folders
from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.headers import MAX_SCANS, read_header
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.tables import read_table
from keras_dr.datasets import read_records
from keras_dr.datasets.grades import task_of
from keras_dr.datasets.records import read_array
from keras_dr.evaluation.contenders import load_contenders
from keras_dr.preparation import prepared_set
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.reports.html import Section, write_html
from keras_dr.reports.tables import Table

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def put(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    "text",
    [
        "backbone: !!python/object/apply:os.system ['touch out']",
        LAUGHS,
        "a: &a {x: 1}\nb: &b\n  <<: [*a, *a]",
        "&a [*a]",
        "[" * 20_000,
        "seed: " + "9" * 5000,
        "seed: !!int ''",
        "seed: !!timestamp x",
        "seed: 2001-99-99",
        "a: 1\n" * 300_000,
    ],
    ids=["code", "billion laughs", "merge", "itself", "deep", "long", "empty", "no time", "no date", "large"],
)
def test_a_hostile_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KerasDrError) as caught:
        Recipe.load(put(tmp_path / "r.yaml", text))
    assert len(str(caught.value)) < 3000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["[" * 20_000, "!!int ''", "9" * 5000])
def test_a_hostile_setting_is_refused(value: str) -> None:
    with pytest.raises(KerasDrError):
        Recipe.load(None, [f"seed={value}"])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "[-Infinity]", "1e999", "9" * 5000, '"\\ud800"', "\xff", "{"]
)
def test_json_that_is_none_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KerasDrError, match="as JSON"):
        folders.read_json(put(tmp_path / "x.json", text.encode("latin-1")))


@pytest.mark.parametrize("text", ["null", "3", '"schema_version"', "[1]", '{"schema_version": {}}'])
def test_a_manifest_is_a_dictionary_of_this_schema(tmp_path: Path, text: str) -> None:
    put(tmp_path / "run.json", text)
    with pytest.raises(KerasDrError, match=r"run\.json"):
        folders.read_manifest(tmp_path, "run")


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": ["a"]},
        {"classes": ["a", "a"]},
        {"classes": ["a", 3]},
        {"classes": ["a", ""]},
        {"referable": [2]},
        {"referable": [-1]},
        {"referable": [True]},
        {"referable": [1, 1]},
    ],
)
def test_a_task_names_classes_and_which_are_referable(changed: dict[str, object]) -> None:
    with pytest.raises(KerasDrError, match="class names"):
        task_of({"task": "classes", "classes": ["a", "b"], "referable": [1], **changed})


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/passwd", "a/../../x.png", "..\\x.png", "C:\\x.png", "\\\\host\\x", ".."]
)
def test_a_table_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    file = put(tmp_path / "labels.csv", f"image,grade\n{name},0\n")
    with pytest.raises(KerasDrError, match=r"inside the data set's folder.*line 2"):
        read_records(file)


def test_short_rows_of_a_wide_table_take_no_memory(tmp_path: Path) -> None:
    file = put(
        tmp_path / "labels.csv", "image,grade" + "," * 20_000 + "\n" + "a,0\n" * 20_000
    )  # else 400 million cells
    row = read_table(file)[1][-1]
    assert (row["image"], row["grade"], len(row)) == ("a", "0", 2)


def test_a_number_in_a_name_may_be_of_any_length(tmp_path: Path) -> None:
    part = tmp_path / "2. Groundtruths"
    for kind in ("a. IDRiD_Disease Grading_Training", "b. IDRiD_Disease Grading_Testing"):
        put(part / f"{kind} Labels.csv", f"Image name,Retinopathy grade\n{'9' * 5000}²,0\n")
    assert read_records(tmp_path, "idrid")[1][0].neighbours == "train 99999999"


PICKLE = b"cos\nsystem\n(S'touch out'\ntR."


def npz(header: str, body: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + body
        archive.writestr("train_labels.npy", data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (npz("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", PICKLE), "allow_pickle=False"),
        (npz("{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999,), }"), "in 7. bytes"),
        (npz("{'descr': '|u1', 'fortran_order': False, 'shape': (100000000,), }", bytes(100_000_000)), "unpack to"),
        (npz("__import__('os').system('touch out')"), "Error"),
        (npz("(" * 9000), "Error"),
        (b"PK\x03\x04", "no zip|not a zip"),
    ],
    ids=["pickle", "shape", "zip bomb", "code", "deep", "cut"],
)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KerasDrError, match=f"train_labels in .*{found}"):
        read_array(put(tmp_path / "x.npz", content), "train_labels")
    assert not (tmp_path / "out").exists()


def test_grades_of_an_archive_are_grades(tmp_path: Path) -> None:
    arrays = {f"{split}_images": np.zeros((2, 28, 28), np.uint8) for split in ("train", "val", "test")}
    arrays |= {f"{split}_labels": np.array([[0], [7]]) for split in ("train", "val", "test")}
    np.savez(tmp_path / "retinamnist.npz", **arrays)
    with pytest.raises(KerasDrError, match=r"train label in .* is 7, but grades are from 0 to 4"):
        read_records(tmp_path / "retinamnist.npz")


def test_an_enhancement_is_not_repeated_for_ever() -> None:
    with pytest.raises(KerasDrError, match="more than once"):
        Preprocessing(64, "+".join(["clahe"] * 5000))


def png_header(width: int, height: int, depth: int, colour: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("depth", "colour", "pixel_bytes"), [(8, 2, 3), (16, 6, 8), (16, 2, 6), (1, 0, 1), (8, 3, 4), (16, 4, 8)]
)
def test_a_png_says_what_its_pixels_take(depth: int, colour: int, pixel_bytes: int) -> None:
    assert read_header(png_header(10, 10, depth, colour)).pixel_bytes == pixel_bytes
    with pytest.raises(KerasDrError, match=f"x 10001 pixels of {pixel_bytes} bytes"):
        read_header(png_header(300_000_000 // 10_000 // max(3, pixel_bytes), 10_001, depth, colour))


@pytest.mark.parametrize(("dtype", "channels", "pixel_bytes"), [("uint8", 3, 3), ("uint16", 3, 6), ("float32", 3, 12)])
def test_a_tiff_says_what_its_pixels_take(dtype: str, channels: int, pixel_bytes: int) -> None:
    tiff = cv2.imencode(".tif", np.zeros((8, 8, channels), dtype))[1].tobytes()
    assert read_header(tiff).pixel_bytes == pixel_bytes


def test_a_jpeg_of_too_many_scans_is_refused() -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
    assert decode_rgb(jpeg).shape == (16, 16, 3)
    scan = b"\xff\xda\0\x08\1\1\0\1\x3f\0"
    with pytest.raises(KerasDrError, match=f"has {MAX_SCANS + 10} scans; it may have at most {MAX_SCANS}"):
        decode_rgb(jpeg[:-2] + scan * MAX_SCANS + jpeg[-2:])


def test_transparency_is_blended_in_every_strip() -> None:
    image = np.full((600, 4, 4), 200, np.uint8)
    image[..., 3] = np.linspace(0, 255, 600).astype(np.uint8)[:, None]
    expected = np.round(200.0 * image[..., 3:] / 255).repeat(3, axis=2)
    np.testing.assert_array_equal(decode_rgb(encode(image)), expected)


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    """A Prepared set of two photographs; `write_set` stores the right hash of the manifest that a test writes."""
    rows = [
        dict.fromkeys(prepared_set.COLUMNS, "") | {"image_id": name, "split": "train", "label": "mild"} for name in "ab"
    ]
    for row in rows:
        put(tmp_path / "images" / f"{row['image_id']}.png", encode(np.zeros((32, 32, 3), np.uint8)))
    text = "\n".join([",".join(prepared_set.COLUMNS), *(",".join(row.values()) for row in rows), ""])
    return write_set(tmp_path, text)


def write_set(folder: Path, manifest: str) -> Path:
    put(folder / "manifest.csv", manifest)
    about = {"task": "icdr", "classes": ["no_dr", "mild", "moderate", "severe", "proliferative"], "source": ".."}
    about |= {
        "preprocessing": {"size": 32, "enhance": "none"},
        "counts": {split: {} for split in ("train", "val", "test")},
    }
    about |= {"schema_version": 1, "manifest_sha256": folders.sha256_of(folder / "manifest.csv")}
    put(folder / "prepared.json", json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\na,", "\n../images/a,", "lacks"),
        ("\na,", "\n/etc/passwd,", "lacks"),
        ("\nb,", "\na,", "the same image_id"),
        ("train", "../../x", "a split that prepare never writes"),
        ("mild", "plague", "a label that prepare never writes"),
        ("patient_id", "patient", "the column patient_id once"),
        (",train,", ",train,,", "cells in each row"),
        ("grade", "level", "the column grade once"),
        ("gradable", "good", "the column gradable once"),
    ],
)
def test_a_hostile_manifest_is_refused(small_set: Path, old: str, new: str, message: str) -> None:
    assert len(PreparedSet.load(small_set).rows) == 2
    write_set(small_set, (small_set / "manifest.csv").read_text().replace(old, new, 1))
    with pytest.raises(KerasDrError, match=message):
        PreparedSet.load(small_set)


@pytest.mark.parametrize(
    ("column", "cell"),
    [("grade", "9"), ("perceptual_hash", "no hash"), ("fundus_x", "1e9"), ("fundus_radius", "-1.00")],
)
def test_a_cell_that_prepare_never_writes_is_named(small_set: Path, column: str, cell: str) -> None:
    lines = [line.split(",") for line in (small_set / "manifest.csv").read_text().splitlines()]
    lines[2][lines[0].index(column)] = cell
    write_set(small_set, "\n".join(map(",".join, lines)))
    with pytest.raises(KerasDrError, match=f"a {column} that prepare never writes.*{cell}"):
        PreparedSet.load(small_set)


def test_a_run_without_what_comparing_needs_is_refused(tmp_path: Path) -> None:
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        put(run / "run.json", '{"schema_version": 1, "data": []}')
    with pytest.raises(KerasDrError, match=r"run\.json is damaged or was changed: its value parameters is missing"):
        load_contenders(runs, "test")


@pytest.mark.parametrize("line", ["[" * 100_000, '{"file": "a", "bytes": 1e999, "changed_ns": 0}', "[]", "\xff"])
def test_a_broken_line_of_the_journal_is_passed_over(tmp_path: Path, line: str) -> None:
    sound = '{"file": "a.png", "bytes": 1, "changed_ns": 2}'
    with Journal(put(tmp_path / "gradings.jsonl", f"{line}\n{sound}\n")) as journal:
        assert journal.done == {("a.png", 1, 2)}


def test_a_message_stays_short_and_cannot_command_a_terminal() -> None:
    error = KerasDrError("The name is \x1b]0;x\x07" + "y" * 5000, "Retry.")
    assert str(error).startswith("The name is \\x1b]0;x\\x07yyy")
    assert len(str(error)) < 1100


def test_brief_shows_what_would_fill_the_memory() -> None:
    value: list[object] = ["x"]
    for _ in range(30):
        value = [value] * 9  # 9 ** 30 elements
    assert len(brief(value)) < 3000


def test_a_report_escapes_what_files_brought(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    table = Table((evil, "n"), [(evil, 1.0)])
    write_html(tmp_path / "r.html", evil, [Section(evil, [evil, table])])
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 6
