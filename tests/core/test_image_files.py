"""keras_dr.core.image_files: the images in folders and lists, and their order."""

import os
from pathlib import Path
from typing import Any

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import (
    APPLE_DOUBLE,
    SkippedFiles,
    check_any_exists,
    find_images,
    resolved,
    walk_files,
    walk_images,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("b.png", "a.jpg", "a/z.JPG", "a-b/c.tif", "a/deep/x.webp", ".hidden.png", ".trash/d.png", "note.txt")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


def test_images_in_a_folder_and_below_are_sorted(folder: Path) -> None:
    names = ["a.jpg", "a/z.JPG", "a/deep/x.webp", "a-b/c.tif", "b.png"]
    assert list(find_images([folder])) == sorted(folder / name for name in names)


def test_files_down_to_a_depth_in_the_folders_that_are_entered(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "a")
    names = [".hidden.png", "a/z.JPG", "a.jpg", "b.png", "link/z.JPG", "note.txt"]
    assert list(walk_files(folder, 1, enter=lambda name: name != "a-b")) == [folder / name for name in names]


def test_a_folder_that_cannot_be_read_is_refused_or_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(path: Path) -> Any:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(KerasDrError, match=r"in/a cannot be read: Permission denied"):
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


def test_what_is_passed_over_is_counted_and_named(folder: Path) -> None:
    for name in ("c.gif", "d.gif", "._a.jpg", "plain"):
        (folder / name).touch()
    (folder / "link").symlink_to(folder / "a")
    skipped = SkippedFiles()
    assert len(list(find_images([folder], skipped))) == 5
    assert skipped.counts == {
        "with the suffix .gif": 2,
        "with the suffix .txt": 1,
        APPLE_DOUBLE: 1,
        "hidden": 1,
        "without a suffix or the content of an image": 1,
        "linked and not followed (folders)": 1,
    }
    assert skipped.lines()[0] == "2 with the suffix .gif (c.gif, d.gif)"


def test_a_photograph_needs_no_suffix_and_may_have_a_rare_one(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.ppm", "c"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0")
    assert [path.name for path in find_images([tmp_path])] == ["a.jfif", "b.ppm", "c"]


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").touch()
    with pytest.raises(KerasDrError, match=r"no images .* passed over: 1 with the suffix .xyz"):
        list(find_images([tmp_path]))


def test_its_own_predictions_are_a_list(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in another folder, with paths relative to the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    file = tmp_path / "results" / "predictions.csv"
    file.write_text("image_id,path,prediction\na,in/a.jpg,mild\nb,in/b.png,mild\n")
    assert list(find_images([file])) == [Path("in/a.jpg"), Path("in/b.png")]


@pytest.mark.parametrize("text", ["Image Name;eye\na;left\nb;right\n", "sep=;\nimage_id;x\na.jpg;1\nb.png;2\n"])
def test_a_list_of_another_dialect_names_photographs_with_or_without_suffix(folder: Path, text: str) -> None:
    (folder / "list.csv").write_bytes(text.encode("utf-16"))
    assert list(find_images([folder / "list.csv"])) == [folder / "a.jpg", folder / "b.png"]


def test_a_list_without_a_header_is_told_so(folder: Path) -> None:
    (folder / "list.csv").write_text("a.jpg\nb.png\n")
    with pytest.raises(KerasDrError, match=r"first line .* names a photograph"):
        list(find_images([folder / "list.csv"]))


def test_paths_of_another_computer_are_told_with_their_line(folder: Path) -> None:
    (folder / "list.csv").write_text("image\na.jpg\nC:\\eyes\\b.png\n")
    with pytest.raises(KerasDrError, match=r"path of a Windows computer in line 3 of"):
        list(find_images([folder / "list.csv"]))


def test_names_of_which_none_exists_are_refused(tmp_path: Path) -> None:
    eye = tmp_path / "eye.jpg"
    with pytest.raises(
        KerasDrError, match=r"There is no file or folder .*CAM22, and none of the 2 that were named exists"
    ):
        check_any_exists([tmp_path / "CAM22", eye])
    eye.write_bytes(b"")
    check_any_exists([tmp_path / "gone.jpg", eye])


@pytest.fixture
def links(folder: Path) -> Path:
    """The folder, with links that lead nowhere, in a circle, and below a file."""
    (folder / "nowhere.jpg").symlink_to("none.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "below.jpg").symlink_to(next(walk_images(folder)) / "part")
    return folder


def test_links_that_lead_to_no_file_are_passed_over(links: Path) -> None:
    before = list(walk_images(links))
    skipped = SkippedFiles()
    assert list(walk_images(links, skipped=skipped)) == before
    assert skipped.names["links that lead to no file"] == ["below.jpg", "circle.jpg", "nowhere.jpg"]
    assert len(list(walk_files(links, 0))) >= 3  # whoever reads them says why they cannot be read


def test_what_may_not_be_looked_at_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_dir", refuse)
    monkeypatch.setattr(Path, "exists", refuse)
    assert list(find_images([folder / "locked" / "a.jpg"])) == [folder / "locked" / "a.jpg"]


@pytest.mark.parametrize("name", ["circle.jpg", "nowhere.jpg", "below.jpg"])
def test_a_link_that_leads_to_no_file_has_a_path(name: str, links: Path) -> None:
    assert resolved(links / name).is_absolute()


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(KerasDrError, match="neither a file nor a folder"):
        list(find_images([tmp_path / "pipe.jpg"]))
