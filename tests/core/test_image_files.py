"""keras_dr.core.image_files: which images are found, and in which order."""

import os
from pathlib import Path
from typing import Any

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import find_images, walk_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("b.png", "a.jpg", "a/z.JPG", "a-b/c.tif", "a/deep/x.webp", ".hidden.png", ".trash/d.png", "note.txt")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


def test_a_folder_gives_what_lies_in_it_and_below_sorted(folder: Path) -> None:
    names = ["a.jpg", "a/z.JPG", "a/deep/x.webp", "a-b/c.tif", "b.png"]
    assert list(find_images([folder])) == sorted(folder / name for name in names)


def test_a_folder_that_cannot_be_read_is_told_or_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(path: Path) -> Any:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(KerasDrError, match=r"in/a; found Permission denied"):
        list(find_images([folder]))
    assert [path.name for path in walk_images(folder, skip_unreadable=True)] == ["c.tif", "a.jpg", "b.png"]


def test_a_manifest_names_photographs_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('\ufeffeye, Image \nleft,in/a.jpg\nright,"in/b, c.jpg"\nleft,\nleft,/far/d.jpg\n', "utf-8")
    assert list(find_images([file])) == [tmp_path / "in/a.jpg", tmp_path / "in/b, c.jpg", Path("/far/d.jpg")]


@pytest.mark.parametrize("content", ["eye\nleft\n", "", "image\n\n"])
def test_a_manifest_without_photographs_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(KerasDrError, match=r"list\.csv"):
        list(find_images([tmp_path / "list.csv"]))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="images"):
        list(find_images([tmp_path]))
