"""keras_dr.core.tables: a table is read equally in every dialect and encoding."""

import zipfile
from pathlib import Path

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.tables import fold, is_missing, is_unknown, open_table, plain_number, read_header, read_table

ROWS = [{"image": "é.jpg", "grade": "3"}, {"image": "b;c.jpg", "grade": "0"}]


def text(delimiter: str) -> str:
    return f'image{delimiter}grade\né.jpg{delimiter}3\n"b;c.jpg"{delimiter}0\n'


def put(folder: Path, content: bytes | str, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_delimiter_and_encoding_are_found_out(tmp_path: Path, delimiter: str, encoding: str, ends: str) -> None:
    _, rows = read_table(put(tmp_path, text(delimiter).replace("\n", ends).encode(encoding)))
    assert rows == ROWS
    assert rows[1].place.startswith("line 3 of ")


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_first_line_that_excel_takes_for_the_delimiter_is_no_row(tmp_path: Path, first: str, encoding: str) -> None:
    header, rows = read_table(put(tmp_path, f"{first}\r\n{text(';')}".encode(encoding)))
    assert rows == ROWS
    assert header.columns == ("image", "grade") and rows[0].place.startswith("line 3 of ")


def test_a_delimiter_inside_names_and_values_does_not_count(tmp_path: Path) -> None:
    file = put(tmp_path, "image;grade (0, 1, 2, 3, 4);score\na;3;0,5\nb;1;1,5\n")
    header, rows = read_table(file)
    assert header.columns == ("image", "grade (0, 1, 2, 3, 4)", "score")
    assert rows[0]["score"] == "0,5" and header.dialect == "semicolons"


def test_a_column_without_a_name_is_no_data(tmp_path: Path) -> None:
    header, rows = read_table(put(tmp_path, ",image,Unnamed: 0,grade\n0,a,7,3\n1,b,8,0\n"))
    assert header.named == ("image", "grade") and header.unnamed == 2
    assert rows[0] == {"image": "a", "grade": "3"}
    with pytest.raises(KeyError):
        rows[0][""]


@pytest.mark.parametrize("name", ["Image name", "image_name", "ImageName", "IMAGE-NAME.", " image  name "])
def test_names_match_without_case_spaces_and_punctuation(name: str) -> None:
    assert fold(name) == "imagename"


def test_two_columns_of_one_name_are_refused_where_it_matters(tmp_path: Path) -> None:
    header = read_header(put(tmp_path, "image,grade,Grade\na,1,2\n"))
    assert header is not None and header.find(["image"]) == ["image"]
    with pytest.raises(KerasDrError, match=r"'grade' and 'Grade' of .* same name"):
        header.find(["grade"])


@pytest.mark.parametrize("value", ["", " ", "nan", "NaN", "NA", "n/a", "null", "#N/A"])
def test_missing_values(value: str) -> None:
    assert is_missing(value) and is_unknown(value)


def test_none_may_be_a_grade_but_no_patient() -> None:
    assert not is_missing("none") and is_unknown("none")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("12.0", "12"),
        ("12.00", "12"),
        ("-1.0", "-1"),
        ("0012", "0012"),
        ("2,0", "2"),
        ("1,000", "1,000"),
        ("1.5", "1.5"),
        ("a.0", "a.0"),
    ],
)
def test_a_whole_number_is_written_plainly(value: str, plain: str) -> None:
    assert plain_number(value) == plain


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,grade\né,1\n".encode("latin-1"), "neither UTF-8 nor UTF-16"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "old format"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"image,grade\n" + b"a" * 140_000 + b",1\n", "cannot be read as a table"),
        (b"image,grade\na,1,9\n", "Line 2 .* has 3 cells, .* 2 columns"),
        (b"image,grade\n", "no row with values"),
        (b"", "no row with values"),
    ],
)
def test_what_is_no_table_is_refused_with_the_cause(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(KerasDrError, match=message):
        read_table(put(tmp_path, content))


def test_a_fault_far_down_is_found_too(tmp_path: Path) -> None:
    file = put(tmp_path, b"image,grade\n" + b"a,1\n" * 50_000 + b"\xe9,1\n")
    with pytest.raises(KerasDrError, match="byte 0xe9"), open_table(file) as (_, rows):
        assert sum(1 for _ in rows) == 50_000


NOTES = "image,grade,note\n" + "".join(f"{name}.jpg,{place % 5},ok\n" for place, name in enumerate("abcdefgh"))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("c.jpg,2,ok", 'c.jpg,2,"blurred', "line 4 .* up to 9"),  # to the end of the file
        ("c.jpg,2,ok\nd.jpg,3,ok", 'c.jpg,2,"blurred\nd.jpg,3,dark"', "line 4 .* up to 5"),
        ("c.jpg,2,ok\nd.jpg,3,ok\ne.jpg,4,ok", 'c.jpg,2,"a\nd.jpg,3,ok\ne.jpg,4,b"', "line 4 .* up to 6"),
        ("c.jpg,2,ok\nd.jpg,3", 'c.jpg,"2,ok\nd.jpg,3"', "line 4 .* up to 5"),
        ("c.jpg,2,ok\nd.jpg", '"c.jpg,2,ok\nd.jpg"', "line 4 .* up to 5"),
        ("c.jpg,2,ok\nd.jpg,3,ok", 'c.jpg,2,"blurred\nd.jpg,3,"ok, fine"', "line 4 .* up to 5"),
        ("c.jpg,2,ok\nd.jpg,3,ok", '"c.jpg","2","blurred\n"d.jpg","3","ok"', "line 4 .* up to 5"),
        ("note\na.jpg,0,ok", '"note\na.jpg,0,ok"', "line 1 .* up to 2"),
        ("c.jpg,2,ok\nd.jpg,3,ok", 'c.jpg,2,"x\nd.jpg,3"', "line 4 .* up to 5"),  # a row without its empty last cell
        ("h.jpg,2,ok", 'h.jpg,"2,ok', "line 9"),
        ("c.jpg,2,ok", '"c.jpg","2,"ok"', "line 4"),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_quotation_mark_that_is_not_closed_swallows_no_row(
    tmp_path: Path, old: str, new: str, lines: str, ends: str
) -> None:
    assert old in NOTES
    with pytest.raises(KerasDrError, match=f"A quotation mark in {lines}"):
        read_table(put(tmp_path, NOTES.replace(old, new).replace("\n", ends).encode()))


def test_a_cell_longer_than_python_reads_names_its_quotation_mark(tmp_path: Path) -> None:
    swallowed = "".join(f"{number}.jpg,0\n" for number in range(20_000))
    with pytest.raises(KerasDrError, match="A quotation mark in line 2"):
        read_table(put(tmp_path, f'image,grade\n"a.jpg,0\n{swallowed}'))


@pytest.mark.parametrize(
    ("note", "read"),
    [
        ('"two\nlines"', "two\nlines"),
        ('"first, second\nthird"', "first, second\nthird"),
        ('"a ""word"",\nand more\n\nthe end"', 'a "word",\nand more\n\nthe end'),
        ('5" wide', '5" wide'),
        ('"drusen\nMA, haem, exudates"', "drusen\nMA, haem, exudates"),
        ('"No DR.\nDr. Smith, MD, FRCS"', "No DR.\nDr. Smith, MD, FRCS"),
        ('"two\nlines" ', "two\nlines"),
    ],
)
def test_a_note_may_have_several_lines(tmp_path: Path, note: str, read: str) -> None:
    _, rows = read_table(put(tmp_path, NOTES.replace("c.jpg,2,ok", f"c.jpg,2,{note}")))
    assert len(rows) == 8 and rows[2]["note"] == read


def test_a_name_may_have_a_line_break(tmp_path: Path) -> None:
    _, rows = read_table(put(tmp_path, 'image,grade\n"a\nb.jpg",1\n"c\nd.jpg",2\n'))
    assert [row["image"] for row in rows] == ["a\nb.jpg", "c\nd.jpg"]


@pytest.mark.parametrize(
    "table",
    [
        'image,grade\na,"1,\nb,2,\nc,3",\nd,4,\n',  # rows end with a delimiter, the header does not
        'image,grade,,\na,"1\nb,2\nc,3"\nd,4\n',  # the header does
        ',,,\nimage,grade,,\na,"1\nb,2\nc,3"\nd,4\n',
    ],
)
def test_delimiters_at_the_ends_of_lines_do_not_hide_a_swallowed_row(tmp_path: Path, table: str) -> None:
    with pytest.raises(KerasDrError, match="A quotation mark in line"):
        read_table(put(tmp_path, table))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ('image,"grade\n(ICDR, 0-4)"\na,1\n', ("image", "grade\n(ICDR, 0-4)")),
        ('note,image,grade\n"x, y, z\nend",a,1\n', ("note", "image", "grade")),
        ('"image" ,"grade"\n"a" ,1\n', ("image", "grade")),
    ],
)
def test_line_breaks_and_spaces_that_are_no_fault(tmp_path: Path, table: str, columns: tuple[str, ...]) -> None:
    header, rows = read_table(put(tmp_path, table))
    assert header.columns == columns and len(rows) == 1


def test_a_comment_above_the_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"the header, line 1, names 1 column\..*delete line 1"):
        read_table(put(tmp_path, "# exported 2024\nimage,grade\na.jpg,2\n"))


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="No such file"):
        read_table(tmp_path / "none.csv")
    assert read_header(tmp_path / "none.csv") is None


def workbook(folder: Path, *sheets: list[list[object]], name: str = "labels.xlsx") -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(folder / name)
    return folder / name


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.csv"])
def test_a_workbook_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    file = workbook(tmp_path, [["Image", "Grade", None], [12, 3.0, None], [], ["b", None, None]], [], name=name)
    header, rows = read_table(file)
    assert header.named == ("Image", "Grade")
    assert [dict(row) for row in rows] == [{"Image": "12", "Grade": "3"}, {"Image": "b", "Grade": ""}]
    assert rows[1].place.startswith("row 4 of ")


def test_two_sheets_with_data_are_refused_by_name(tmp_path: Path) -> None:
    file = workbook(tmp_path, [["image"], ["a"]], [["image"], ["b"]])
    with pytest.raises(KerasDrError, match="2 sheets with data: Sheet, Sheet1"):
        read_table(file)


def test_a_broken_workbook_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    with pytest.raises(KerasDrError, match="cannot be read as an Excel workbook"):
        read_table(put(tmp_path, b"PK\x03\x04 broken", "labels.xlsx"))


def edited(file: Path, old: bytes, new: bytes) -> Path:
    """The workbook with another text in the XML of its first sheet."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert old in members[sheet]
    members[sheet] = members[sheet].replace(old, new)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def test_a_workbook_that_is_broken_in_a_later_row_is_refused(tmp_path: Path) -> None:
    file = edited(workbook(tmp_path, [["image"], ["a"], ["b"]]), b'<row r="3"', b'</v><row r="3"')
    with pytest.raises(KerasDrError, match="cannot be read as an Excel workbook"):
        read_table(file)


def test_a_sheet_that_is_larger_than_it_says_is_read_whole(tmp_path: Path) -> None:
    file = edited(workbook(tmp_path, [["image", "grade"], ["a", 1], ["b", 2]]), b'ref="A1:B3"', b'ref="A1"')
    assert [(row["image"], row["grade"]) for row in read_table(file)[1]] == [("a", "1"), ("b", "2")]


def test_a_row_beyond_what_excel_can_hold_is_refused(tmp_path: Path) -> None:
    file = edited(workbook(tmp_path, [["image"], ["a"]]), b'<row r="2"', b'<row r="99999999"')
    with pytest.raises(KerasDrError, match="a row has a number above 1048576"):
        read_table(file)
