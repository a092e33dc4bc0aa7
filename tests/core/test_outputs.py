"""A file is replaced only if the same command wrote it for the same purpose; inputs are never replaced."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_dr.core.encoding import CsvStyle, encode_csv, encode_png, encode_table
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_apart, check_holds_no_input, check_output, is_json, is_png, is_table
from keras_dr.core.png_marks import mark_png

TABLE = is_table(("image_id", "path"), ("error",), ("p_",))


def put(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", ["graded.txt", "graded", "graded.xls", "graded.CSVX"])
def test_an_ending_that_is_no_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="must have one of the suffixes"):
        check_output(tmp_path / name, (".csv", ".json"))


def test_an_ending_in_capitals_is_a_format(tmp_path: Path) -> None:
    check_output(tmp_path / "graded.CSV", (".csv",))


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(overwrite: bool, tmp_path: Path) -> None:
    photograph = put(tmp_path / "list.csv", "image\n")
    (tmp_path / "link.csv").symlink_to(photograph)
    (tmp_path / "hard.csv").hardlink_to(photograph)
    for name in ("list.csv", "link.csv", "hard.csv", "../" + tmp_path.name + "/list.csv"):
        with pytest.raises(KerasDrError, match="replace an input"):
            check_output(tmp_path / name, (".csv",), inputs=[photograph], known=lambda _: True, overwrite=overwrite)


def test_nothing_is_written_into_a_result_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    put(tmp_path / "run" / "run.json", "{}")
    with pytest.raises(KerasDrError, match="inside"):
        check_output(tmp_path / "run" / "new.csv", (".csv",), inputs=[tmp_path / "run"], overwrite=True)
    check_apart(tmp_path / "new.csv", [tmp_path / "run", tmp_path])


def test_another_file_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    file = put(tmp_path / "precious.csv", "patient,phone\n1,2\n")
    with pytest.raises(KerasDrError, match=r"already.*--overwrite"):
        check_output(file, (".csv",), known=TABLE)
    check_output(file, (".csv",), known=TABLE, overwrite=True)
    assert file.read_text().startswith("patient")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("image_id,path,p_mild,error\na,b,0.5,\n", True),
        ("\ufeffimage_id;path;p_mild;error\n", True),
        ("image_id,path\n", True),
        ("image_id\n", False),
        ("image_id,error\n", False),
        ("image_id,path,error,my notes\n", False),
        ("image,grade\n", False),
        ("", False),
        ("\0\1\2", False),
    ],
)
def test_a_table_is_known_by_its_columns(text: str, own: bool, tmp_path: Path) -> None:
    assert TABLE(put(tmp_path / "t.csv", text)) is own


@pytest.mark.parametrize(
    ("text", "own"), [('{"kind": "gradings"}', True), ('{"kind": "profile"}', False), ("[]", False), ("{", False)]
)
def test_json_is_known_by_its_kind(text: str, own: bool, tmp_path: Path) -> None:
    assert is_json("gradings")(put(tmp_path / "t.json", text)) is own


def test_a_picture_is_known_by_its_note_and_keeps_its_pixels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(mark_png(encode_png(image), "heat map"))
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    assert is_png("heat map")(tmp_path / "a.png") and not is_png("photograph shown")(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(encode_png(image))
    assert not is_png("heat map")(tmp_path / "b.png")


def test_a_folder_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(KerasDrError, match="is an existing folder"):
        check_output(tmp_path / "a.csv", (".csv",), overwrite=True)
    with pytest.raises(KerasDrError, match="there is no folder"):
        check_output(tmp_path / "none" / "a.csv", (".csv",))


ROWS = [{"name": "Zoë", "p": 0.123456789}, {"name": "b", "p": 1.0}]


def test_csv_for_a_spreadsheet_has_a_mark_and_four_decimals() -> None:
    assert encode_csv(["name", "p"], ROWS, CsvStyle.choose(excel=True)).decode() == (
        "\ufeffname,p\nZoë,0.1235\nb,1.0000\n"
    )


def test_the_separator_may_be_chosen_and_decimal_commas_follow_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encode_csv(["name", "p"], ROWS, CsvStyle.choose(separator="semicolon")).startswith(b"name;p\n")
    monkeypatch.setattr("keras_dr.core.encoding._decimal_point", lambda: ",")
    assert CsvStyle.choose(True, "locale") == CsvStyle(";", ",", True)
    assert b"b;1,0000" in encode_csv(["name", "p"], ROWS, CsvStyle.choose(True, "locale"))
    with pytest.raises(KerasDrError, match="separator"):
        CsvStyle.choose(separator="blank")


def test_a_locale_that_is_not_installed_is_no_decimal_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with pytest.raises(KerasDrError, match=r"not installed.*--separator semicolon"):
        CsvStyle.choose(separator="locale")


def test_plain_csv_keeps_all_digits() -> None:
    assert b"0.123456789" in encode_csv(["name", "p"], ROWS)


def test_parquet_has_types_and_nulls(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "t.parquet"
    file.write_bytes(encode_table(".parquet", {"name": "string", "p": "float64"}, [*ROWS, {"name": "c"}]))
    assert parquet.read_table(file).to_pylist()[2] == {"name": "c", "p": None}


def test_a_workbook_holds_the_rows(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (tmp_path / "t.xlsx").write_bytes(encode_table(".xlsx", {"name": "string", "p": "float64"}, ROWS))
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").active
    assert [list(row) for row in sheet.iter_rows(values_only=True)] == [["name", "p"], ["Zoë", 0.123456789], ["b", 1]]


def test_a_format_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(KerasDrError, match="pip install openpyxl"):
        encode_table(".xlsx", {"name": "string"}, ROWS)


def test_a_huge_or_deep_json_is_not_ours(tmp_path: Path) -> None:
    assert not is_json("gradings")(put(tmp_path / "t.json", "[" * 100_000))
    assert json.loads('{"kind": "gradings"}')["kind"] == "gradings"


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_a_workbook_and_a_parquet_file_are_known_by_their_columns(suffix: str, tmp_path: Path) -> None:
    own, other = tmp_path / f"own{suffix}", tmp_path / f"other{suffix}"
    own.write_bytes(encode_table(suffix, dict.fromkeys(("image_id", "path", "p_mild"), "string"), []))
    other.write_bytes(encode_table(suffix, dict.fromkeys(("image_id", "phone"), "string"), [{"phone": "1"}]))
    assert TABLE(own) and not TABLE(other)
    assert not TABLE(put(tmp_path / f"broken{suffix}", "PK\3\4"))


def test_text_in_a_workbook_is_no_formula_and_cannot_break_it(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    names = ["=1+1", "a\x01b\x0c\ud800", "two\nlines", "-1", "@a"]
    (tmp_path / "t.xlsx").write_bytes(encode_table(".xlsx", {"=name": "string"}, [{"=name": name} for name in names]))
    cells = [cell for (cell,) in openpyxl.load_workbook(tmp_path / "t.xlsx").active.iter_rows()]
    assert [cell.value for cell in cells] == ["=name", "=1+1", "a?b??", "two\nlines", "-1", "@a"]
    assert {cell.data_type for cell in cells} == {"s"}


def test_a_folder_that_holds_an_input_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "set")
    inside = put(tmp_path / "set" / "images" / "a.png", "")
    for folder in (tmp_path / "set", tmp_path / "alias", tmp_path / "set" / "images" / ".."):
        for given in (tmp_path / "set", inside, tmp_path / "alias" / "images"):
            with pytest.raises(KerasDrError, match="holds an input"):
                check_holds_no_input(folder, [given])
    check_holds_no_input(tmp_path / "set", [tmp_path, tmp_path / "other", Path("a\0b")])
    check_holds_no_input(tmp_path / "new", [tmp_path / "new"])


def test_nothing_is_written_into_a_set_whose_photographs_are_read(tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    put(tmp_path / "set" / "prepared.json", "{}")
    put(tmp_path / "metrics.json", "{}")  # which is no set, in the folder that holds it
    photograph = put(tmp_path / "set" / "images" / "a.png", "")
    for given in (photograph, photograph.parent):
        for name in ("manifest.csv", "images/a.csv"):
            with pytest.raises(KerasDrError, match="inside"):
                check_output(tmp_path / "set" / name, (".csv",), inputs=[given], overwrite=True)
        check_output(tmp_path / "new.csv", (".csv",), inputs=[given])
