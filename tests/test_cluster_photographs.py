"""keras_dr.cluster.photographs: what is listed, in which order, and how it is cut."""

from pathlib import Path

import pytest

from edge_demo.files import find_images
from keras_dr.cluster.photographs import cut, freeze, list_photographs, read_part
from keras_dr.errors import KerasDrError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("b.png", "a.jpg", "a/z.JPG", "a-b/c.tif", "a/deep/x.webp", ".hidden.png", ".trash/d.png", "note.txt")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


def test_a_folder_gives_what_a_device_finds_in_it(folder: Path) -> None:
    found = list(list_photographs([folder]))
    assert found == find_images([folder]) and len(found) == 5


def test_a_manifest_names_photographs_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('\ufeffeye, Image \nleft,in/a.jpg\nright,"in/b, c.jpg"\nleft,\nleft,/far/d.jpg\n', "utf-8")
    assert list(list_photographs([file])) == [tmp_path / "in/a.jpg", tmp_path / "in/b, c.jpg", Path("/far/d.jpg")]


@pytest.mark.parametrize("content", ["eye\nleft\n", "", "image\n\n"])
def test_a_manifest_without_photographs_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(KerasDrError, match=r"list\.csv"):
        list(list_photographs([tmp_path / "list.csv"]))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="photographs"):
        list(list_photographs([tmp_path]))


def test_parts_hold_each_photograph_once_in_order(tmp_path: Path) -> None:
    photographs = [Path(f"{n}\n\udcff.jpg") for n in range(10)]
    freeze(photographs, tmp_path / "list")
    parts = cut(tmp_path / "list", 4)
    assert [part.count for part in parts] == [4, 4, 2]
    assert [path for part in parts for path in read_part(tmp_path / "list", part)] == photographs


def test_a_frozen_list_stays(tmp_path: Path) -> None:
    freeze([Path("a.jpg")], tmp_path / "list")
    freeze([Path("b.jpg")], tmp_path / "list")
    assert read_part(tmp_path / "list", cut(tmp_path / "list")[0]) == [Path("a.jpg")]


@pytest.mark.parametrize(("count", "size"), [(40, 32), (50_000, 50)])
def test_parts_are_a_thousandth_but_not_too_small(count: int, size: int, tmp_path: Path) -> None:
    freeze([Path("a.jpg")] * count, tmp_path / "list")
    assert cut(tmp_path / "list")[0].count == size
