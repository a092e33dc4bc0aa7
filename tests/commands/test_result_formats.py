"""The table of predict in each of its formats, read back and compared with the CSV; its closing line adds up."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from earlier_work import change_bundle, unpack
from typer.testing import CliRunner, Result
from written import assert_same, closing_counts, read_json_rows, read_rows

from cli import app
from keras_dr.core.errors import KerasDrError
from keras_dr.synthetic.photographs import synthesise

NAMES = ["=1+1.png", "a.png", "both eyes, Zoë.png", "cut.jpg"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that refers hardly any photograph, so that each action is there."""
    folder = unpack(tmp_path_factory.mktemp("formats"), "bundle") / "bundle"
    return change_bundle(folder, {"stretch": True, "page": "largest", "bits": 0}, threshold=0.7)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole photographs, one of both eyes, and one that was cut; the name of one would be a formula."""
    folder = tmp_path_factory.mktemp("eyes")
    for name, seed, grade in (("=1+1.png", 4, 3), ("a.png", 5, 0)):
        cv2.imwrite(str(folder / name), synthesise(seed, grade, "left", (240, 320)).image[..., ::-1])
    eye = cv2.imread(str(folder / "a.png"))
    cv2.imwrite(str(folder / "both eyes, Zoë.png"), np.hstack([eye, eye]))
    (folder / "cut.jpg").write_bytes(cv2.imencode(".jpg", eye)[1].tobytes()[:-500] + b"\xff\xd9")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, words)])


@pytest.fixture(scope="module")
def expected(bundle: Path, eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table as CSV."""
    file = tmp_path_factory.mktemp("expected") / "t.csv"
    assert run(bundle, eyes, "--out", file).exit_code == 1
    return file


def test_csv_has_a_row_for_each_photograph_in_order(expected: Path) -> None:
    rows = read_rows(expected)
    assert [Path(row["path"]).name for row in rows] == NAMES
    assert ["truncated" in row["error"] for row in rows] == [False, False, False, True]
    assert [bool(row["prediction"]) for row in rows] == [True, True, True, False]


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".json"])
def test_each_format_holds_what_the_csv_holds(
    suffix: str, bundle: Path, eyes: Path, expected: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"graded{suffix}"
    result = run(bundle, eyes, "--out", file)
    assert result.exit_code == 1 and "1 failed" in result.output
    rows = read_json_rows(file) if suffix == ".json" else read_rows(file)
    assert len(rows) == len(NAMES)
    assert_same(rows, read_rows(expected))
    again = run(bundle, eyes, "--out", file)  # over what it wrote itself
    assert again.exit_code == 1 and closing_counts(again.output)["given"] == len(NAMES)


def test_excel_reads_the_same_table(bundle: Path, eyes: Path, expected: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    assert run(bundle, eyes, "--out", file, "--excel", "--separator", "semicolon").exit_code == 1
    head, *lines = file.read_bytes().decode("utf-8").splitlines()
    assert head.startswith("\ufeffimage_id;path;prediction;") and len(lines) == len(NAMES)
    whole, written = read_rows(expected)[1]["p_referable"], lines[1].split(";")[head.split(";").index("p_referable")]
    assert written == f"{float(whole):.4f}"


def test_options_of_a_csv_file_are_refused_without_one(bundle: Path, eyes: Path, tmp_path: Path) -> None:
    result = run(bundle, eyes, "--out", tmp_path / "t.xlsx", "--excel")
    assert isinstance(result.exception, KerasDrError) and "--excel would have no effect" in result.exception.message


@pytest.mark.parametrize("name", ["graded.xls", "graded.txt", "graded", "graded.csv.gz", "graded.feather"])
def test_an_unknown_ending_is_refused_before_the_work(name: str, bundle: Path, eyes: Path, tmp_path: Path) -> None:
    result = run(bundle, eyes, "--out", tmp_path / name)
    assert isinstance(result.exception, KerasDrError) and "must have one of the suffixes" in result.exception.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "package"), [(".xlsx", "openpyxl"), (".parquet", "pyarrow")])
def test_a_format_without_its_package_is_refused_before_the_work(
    suffix: str, package: str, bundle: Path, eyes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    result = run(bundle, eyes, "--out", tmp_path / f"t{suffix}")
    assert f"pip install {package}" in str(result.exception) and not list(tmp_path.iterdir())


def test_the_closing_line_adds_up(bundle: Path, eyes: Path, tmp_path: Path) -> None:
    output = run(bundle, eyes, eyes / "a.png", "--out", tmp_path / "t.csv").output
    assert closing_counts(output) == {"given": 5, "referred": 1, "retake": 1, "no_action": 2, "failed": 1}


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_the_closing_line_adds_up_for_a_run(engine: str, run_folder: Path, eyes: Path, tmp_path: Path) -> None:
    result = run(run_folder, eyes, "--engine", engine, "--out", tmp_path / "t.csv")
    counts = closing_counts(result.output)
    assert (counts["given"], counts["failed"]) == (len(NAMES), 1)
    assert len(read_rows(tmp_path / "t.csv")) == len(NAMES)
