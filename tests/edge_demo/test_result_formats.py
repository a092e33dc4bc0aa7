"""The tables of `keras-dr-edge grade` in each format, read back and compared with the CSV; its closing line adds up."""

from pathlib import Path

import cv2
import pytest
from earlier_work import change_bundle, unpack
from written import assert_same, closing_counts, read_json_rows, read_rows

from edge_demo.__main__ import main
from keras_dr.synthetic.photographs import synthesise


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = unpack(tmp_path_factory.mktemp("formats"), "bundle") / "bundle"
    return change_bundle(folder, {"stretch": True, "page": "largest", "bits": 0}, threshold=0.7)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A whole photograph, one that was cut, a table by a photograph's name, and one that is not there."""
    folder = tmp_path_factory.mktemp("eyes")
    whole = cv2.imencode(".jpg", synthesise(4, 3, "left", (240, 320)).image[..., ::-1])[1].tobytes()
    (folder / "a.jpg").write_bytes(whole)
    (folder / "cut.jpg").write_bytes(whole[:-500] + b"\xff\xd9")
    (folder / "eye.jpg").write_text("image,grade\na,0\n")
    return [str(folder / name) for name in ("a.jpg", "cut.jpg", "eye.jpg", "gone.jpg")]


def test_each_format_holds_what_the_csv_holds(
    bundle: Path, eyes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".csv", ".xlsx", ".parquet"):
        words = ["grade", str(bundle), *eyes, "--csv", str(tmp_path / f"t{suffix}"), "--json", str(tmp_path / "t.json")]
        assert main(words) == 1  # three of four failed
        counts = closing_counts(capsys.readouterr().out)
        assert counts == {"given": 4, "referred": 1, "retake": 0, "no_action": 0, "failed": 3}
        assert main(words) == 1 and capsys.readouterr().out  # over what it wrote itself
    expected = read_rows(tmp_path / "t.csv")
    assert [row["path"] for row in expected] == eyes
    causes = ("truncated", "is a table", "cannot be read: No such file")
    assert [words in row["error"] for words, row in zip(causes, expected[1:], strict=True)] == [True] * 3
    assert_same(read_rows(tmp_path / "t.xlsx"), expected)
    assert_same(read_rows(tmp_path / "t.parquet"), expected)
    assert_same(read_json_rows(tmp_path / "t.json"), expected)


@pytest.mark.parametrize(
    ("option", "name"), [("--csv", "t.txt"), ("--csv", "t"), ("--csv", "t.json"), ("--json", "t.csv")]
)
def test_an_unknown_ending_is_refused_before_the_work(
    option: str, name: str, bundle: Path, eyes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grade", str(bundle), *eyes, option, str(tmp_path / name)]) == 1
    said = capsys.readouterr()
    assert "must have one of the suffixes" in said.err and not said.out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "package"), [(".xlsx", "openpyxl"), (".parquet", "pyarrow")])
def test_a_format_without_its_package_is_refused_before_the_work(
    suffix: str,
    package: str,
    bundle: Path,
    eyes: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    assert main(["grade", str(bundle), *eyes, "--csv", str(tmp_path / f"t{suffix}")]) == 1
    said = capsys.readouterr()
    assert f"pip install {package}" in said.err and not said.out and not list(tmp_path.iterdir())


def test_excel_reads_the_same_table(bundle: Path, eyes: list[str], tmp_path: Path) -> None:
    plain, excel = tmp_path / "plain.csv", tmp_path / "excel.csv"
    main(["grade", str(bundle), *eyes, "--csv", str(plain)])
    main(["grade", str(bundle), *eyes, "--csv", str(excel), "--excel", "--separator", "tab"])
    content = excel.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfimage_id\tpath\t") and len(content.splitlines()) == 1 + len(eyes)
    names, first = (line.split("\t") for line in content.decode("utf-8-sig").splitlines()[:2])
    assert first[names.index("p_referable")] == f"{float(read_rows(plain)[0]['p_referable']):.4f}"
