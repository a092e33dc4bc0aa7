"""A table's names lead to photographs; ambiguous or changed names are refused."""

import unicodedata
from pathlib import Path

import pytest
from layouts import put
from sources import inspect_with, text_of, write_table

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.inspection import inspect


@pytest.fixture
def same_numbers_in_two_folders(tmp_path: Path) -> Path:
    """One table next to two folders, both of which number their photographs from 1."""
    put(tmp_path / "set" / "testing.csv", "Image name,Retinopathy grade\nIDRiD_001,4\nIDRiD_002,0\n")
    for folder in ("a. Training Set", "b. Testing Set"):
        for number in (1, 2):
            put(tmp_path / "elsewhere" / folder / f"IDRiD_{number:03d}.jpg")
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / folder).symlink_to(tmp_path / "elsewhere" / folder)
    return tmp_path / "set"


def test_a_name_that_two_folders_have(same_numbers_in_two_folders: Path) -> None:
    message = r"'IDRiD_001' may be a. Training Set/.* or b. Testing Set/.*--images"
    with pytest.raises(KerasDrError, match=message):
        inspect(same_numbers_in_two_folders)
    inspection = inspect_with(same_numbers_in_two_folders, images=Path("b. Testing Set"))
    assert {record.path.parent.name for record in inspection.records} == {"b. Testing Set"}


def test_two_suffixes_of_one_name(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0", "b,4")
    put(tmp_path / "images" / "b.png")
    with pytest.raises(KerasDrError, match=r"'b' may be images/b\.jpg or images/b\.png"):
        inspect(tmp_path)
    put(tmp_path / "labels.csv", "image,grade\na,0\nb.png,4\n")
    assert inspect(tmp_path).records[1].path.name == "b.png"


def test_lost_zeros_of_a_spreadsheet(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,grade\n12,0\n")
    put(tmp_path / "images" / "0012.jpg")
    with pytest.raises(
        KerasDrError, match=r"'12' does not exist, but 0012.jpg does: leading zeros were lost in line 2"
    ):
        inspect(tmp_path)


def test_whole_numbers_with_a_fraction(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,grade\n12.0,0.0\n13.0,4.0\n")
    for name in ("12", "13"):
        put(tmp_path / "images" / f"{name}.jpg")
    assert [(r.image_id, r.path.name, r.grade) for r in inspect(tmp_path).records] == [
        ("12", "12.jpg", 0),
        ("13", "13.jpg", 4),
    ]


def test_windows_paths(tmp_path: Path) -> None:
    write_table(tmp_path, "image,grade", "a,0")
    put(tmp_path / "labels.csv", "image,grade\nC:\\eyes\\a.jpg,0\n")
    with pytest.raises(KerasDrError, match="path of a Windows computer"):
        inspect(tmp_path)


def test_unicode_forms(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "ojo_é")
    put(tmp_path / "labels.csv", "image,grade\najo,0\nojo_é,4\n")
    put(tmp_path / "ajo.jpg")
    put(tmp_path / f"{name}.jpg")
    inspection = inspect(tmp_path)
    assert (
        inspection.missing == ()
        and "they are written in another Unicode form (NFC, NFD) than the files: 1." in text_of(inspection)
    )


def test_photographs_that_do_not_exist(tmp_path: Path) -> None:
    put(tmp_path / "labels.csv", "image,grade\na,0\nb,4\n")
    with pytest.raises(KerasDrError, match=r"None of the 2 photographs .* one of them is a\..*--images"):
        inspect(tmp_path)
    put(tmp_path / "b.jpg")
    assert "Photographs that are named but do not exist: 1 (a)" in text_of(inspect(tmp_path))
