"""The files that commands write: never over an input, over other files only if asked, with a row per photograph."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from earlier_work import unpack
from typer.testing import CliRunner, Result
from written import closing_counts

from cli import app
from keras_dr.evaluation.comparison_files import check_folder
from keras_dr.synthetic.photographs import synthesise


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prepared set and a bundle that an older version wrote."""
    return unpack(tmp_path_factory.mktemp("commands"), "bundle", "set", "photographs")


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    """A folder with a complete photograph, a truncated one, one that shows both eyes, and a file of another format."""
    folder = tmp_path / "eyes"
    folder.mkdir()
    eye = synthesise(4, 3, "left", (240, 320)).image[..., ::-1]
    cv2.imwrite(str(folder / "a.png"), eye)
    jpeg = cv2.imencode(".jpg", eye)[1].tobytes()
    (folder / "b.jpg").write_bytes(jpeg[: len(jpeg) * 4 // 5] + b"\xff\xd9")
    cv2.imwrite(str(folder / "c.png"), np.hstack([eye, eye]))
    (folder / "d.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 1 and message in str(result.exception), (result.output, result.exception)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def test_predict_gives_a_row_for_every_photograph(archive: Path, eyes: Path, tmp_path: Path) -> None:
    result = run("predict", archive / "bundle", eyes, "--out", tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert result.exit_code == 1 and len(rows) == 3
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[2]["faults"] == "two fundi"
    assert "3 photographs given" in result.output and "1 failed" in result.output
    assert "d.heic" in result.output
    again = run(
        "predict", archive / "bundle", eyes, "--out", tmp_path / "out.csv"
    )  # the command wrote this file itself
    assert again.exit_code == 1 and "3 photographs given" in again.output


def test_predict_writes_the_format_of_the_ending(archive: Path, eyes: Path, tmp_path: Path) -> None:
    assert run("predict", archive / "bundle", eyes / "a.png", "--out", tmp_path / "out.json").exit_code == 0
    about = json.loads((tmp_path / "out.json").read_text())
    assert about["kind"] == "gradings" and about["counts"]["given"] == len(about["photographs"]) == 1
    refused(
        run("predict", archive / "bundle", eyes / "a.png", "--out", tmp_path / "out.txt"),
        "one of the suffixes",
    )
    words = ["predict", archive / "bundle", eyes / "a.png", "--engine", "ray", "--out", tmp_path / "out.xlsx"]
    refused(run(*words), "one of the suffixes .csv, .parquet")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_predict_replaces_no_input(overwrite: list[str], archive: Path, eyes: Path, tmp_path: Path) -> None:
    list_file = tmp_path / "list.csv"
    list_file.write_text("image\neyes/a.png\n")
    for file in (list_file, archive / "bundle" / "parity.json"):
        before = file.read_bytes()
        refused(run("predict", archive / "bundle", list_file, "--out", file, *overwrite), "an input of this command")
        assert file.read_bytes() == before
    before = (eyes / "a.png").read_bytes()
    refused(run("predict", archive / "bundle", eyes / "a.png", "--out", eyes / "a.png", *overwrite), "suffixes")
    assert (eyes / "a.png").read_bytes() == before


def test_predict_replaces_another_file_only_if_asked(archive: Path, eyes: Path, tmp_path: Path) -> None:
    file = tmp_path / "precious.csv"
    file.write_text("patient,phone\n1,2\n")
    refused(run("predict", archive / "bundle", eyes / "a.png", "--out", file), "--overwrite")
    assert file.read_text() == "patient,phone\n1,2\n"
    assert run("predict", archive / "bundle", eyes / "a.png", "--out", file, "--overwrite").exit_code == 0
    assert rows_of(file)[0]["image_id"] == "a"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_audit_and_show_replace_no_manifest(overwrite: list[str], archive: Path) -> None:
    manifest = archive / "set" / "manifest.csv"
    before = manifest.read_bytes()
    refused(run("audit", archive / "set", "--out", manifest, *overwrite), "input")
    image_id = rows_of(manifest)[0]["image_id"]
    refused(run("show", archive / "set", image_id, "--out", manifest, *overwrite), "one of the suffixes")
    original = archive / "photographs" / rows_of(manifest)[0]["source"]
    refused(run("show", archive / "set", image_id, "--out", original, *overwrite), "")
    refused(
        run("show", archive / "set", image_id, "--out", archive / "set" / "images" / "new.png", *overwrite), "inside"
    )
    assert manifest.read_bytes() == before


def test_audit_and_show_replace_their_own_files(archive: Path, eyes: Path, tmp_path: Path) -> None:
    image_id = rows_of(archive / "set" / "manifest.csv")[0]["image_id"]
    audit = ["audit", archive / "set", "--out", tmp_path / "a.csv"]
    show = ["show", archive / "set", image_id, "--out", tmp_path / "a.png"]
    for words in (audit, show):
        assert run(*words).exit_code == run(*words).exit_code == 0
    refused(run("show", archive / "set", image_id, "--out", eyes / "a.png"), "--overwrite")


def test_a_comparison_replaces_no_file_but_its_own(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    folder.mkdir()
    (folder / "figures.csv").write_text("mine")
    with pytest.raises(Exception, match="no comparison wrote"):
        check_folder(folder, [])
    check_folder(folder, [], overwrite=True)
    (folder / "comparison.md").write_text("# 2 runs on 40 photographs of 20 patients\n")
    check_folder(folder, [])
    for other in (archive / "set", archive / "bundle"):
        with pytest.raises(Exception, match=r"another result|inside|replace an input"):
            check_folder(other, [archive / "bundle"], overwrite=True)
    (tmp_path / "precious.csv").write_text("a")
    with pytest.raises(Exception, match="a file of that name"):
        check_folder(tmp_path / "precious.csv", [], overwrite=True)


@pytest.fixture
def work(archive: Path, tmp_path: Path) -> Path:
    """A Prepared set and a run, to be read and written."""
    folder = tmp_path / "work"
    shutil.copytree(archive / "set", folder / "set")
    return unpack(folder, "ensemble")


def test_a_set_is_not_prepared_over_its_own_photographs(work: Path) -> None:
    before = (work / "set" / "prepared.json").read_bytes()
    refused(run("prepare", work / "set" / "manifest.csv", work / "set", "--overwrite"), "holds an input")
    listed = work / "list.csv"
    rows = rows_of(work / "set" / "manifest.csv")
    lines = [f"set/images/{row['image_id']}.png,{row['grade']}" for row in rows]
    listed.write_text("\n".join(["image,grade", *lines]))
    refused(run("prepare", listed, work / "set", "--overwrite"), "holds an input")
    assert (work / "set" / "prepared.json").read_bytes() == before


def test_a_run_is_not_trained_or_joined_over_one_that_it_begins_with(work: Path) -> None:
    (work / "alias").symlink_to(work / "ensemble")
    before = (work / "ensemble" / "run.json").read_bytes()
    refused(run("ensemble", work / "alias", work / "ensemble", work / "ensemble", "--overwrite"), "holds an input")
    words = ["train", work / "set", work / "ensemble", "--weights", work / "alias", "--overwrite"]
    refused(run(*words), "holds an input")
    assert (work / "ensemble" / "run.json").read_bytes() == before


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_predict_writes_nothing_into_a_set_whose_photographs_it_reads(overwrite: list[str], archive: Path) -> None:
    manifest = archive / "set" / "manifest.csv"
    before = manifest.read_bytes()
    words = ["predict", archive / "bundle", archive / "set" / "images", "--out"]
    refused(run(*words, manifest, *overwrite), "inside")
    refused(run(*words, archive / "set" / "new.csv", *overwrite), "inside")
    assert manifest.read_bytes() == before and not (archive / "set" / "new.csv").exists()


def test_predict_on_a_cluster_does_not_replace_the_list_that_it_reads(archive: Path, tmp_path: Path) -> None:
    parts = tmp_path / "graded.csv"
    parts.mkdir()
    (parts / "_predictions.json").write_text("{}")
    (parts / "part-000000.csv").write_text("path\na.png\n")
    words = ["predict", archive / "bundle", parts / "part-000000.csv", "--engine", "ray", "--out", parts]
    refused(run(*words, "--overwrite"), "input of this command")
    assert (parts / "part-000000.csv").is_file()


@pytest.mark.parametrize("name", ["./a.csv", "deep/../a.csv", "link.csv", "hard.csv", "folder/a.csv"])
def test_a_list_is_an_input_by_whatever_name(name: str, archive: Path, eyes: Path, tmp_path: Path) -> None:
    listed = tmp_path / "a.csv"
    listed.write_text("image\neyes/a.png\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.csv").symlink_to("a.csv")
    (tmp_path / "hard.csv").hardlink_to(listed)
    (tmp_path / "folder").symlink_to(tmp_path)
    result = run("predict", archive / "bundle", listed, "--out", f"{tmp_path}/{name}", "--overwrite")
    refused(result, "an input of this command")
    assert listed.read_text() == "image\neyes/a.png\n"


def test_a_table_in_the_folder_of_the_photographs_is_skipped_by_name_next_time(archive: Path, eyes: Path) -> None:
    words = ["predict", archive / "bundle", eyes, "--out", eyes / "graded.csv"]
    first, second = run(*words).output, run(*words).output
    assert closing_counts(first) == closing_counts(second) and "graded.csv" in second.split("Result")[0]
