import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError


def test_folder_is_absent_until_it_is_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {}) as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_interrupted_folder_is_found_again_for_the_same_plan(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    with folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        assert (folder / "x").read_text() == "1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]


def test_a_file_cut_short_by_a_kill_does_not_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {}) as folder:
        (folder / ".x.png.77.tmp").write_text("1")
        raise RuntimeError
    with folders.growing_folder(tmp_path / "a", "run", {}):
        pass
    assert not list((tmp_path / "a").iterdir())


def test_interrupted_folder_of_another_plan_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    with folders.growing_folder(tmp_path / "a", "run", {"n": 2}) as folder:
        assert not (folder / "x").exists()


def test_existing_result_is_kept_unless_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("1")
    (tmp_path / "a" / "run.json").write_text("{}")
    with pytest.raises(KerasDrError, match="overwrite"), folders.growing_folder(tmp_path / "a", "run", {}):
        pass
    assert (tmp_path / "a" / "old").exists()
    with folders.growing_folder(tmp_path / "a", "run", {}, overwrite=True):
        assert (tmp_path / "a" / "old").exists()
    assert not (tmp_path / "a" / "old").exists()


@pytest.mark.parametrize("name", ["holiday.jpg", "prepared.json"])
def test_only_a_result_of_the_same_kind_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_text("1")
    with (
        pytest.raises(KerasDrError, match="older run"),
        folders.growing_folder(tmp_path / "a", "run", {}, overwrite=True),
    ):
        pass
    with pytest.raises(KerasDrError, match="a file"):
        folders.check_target(tmp_path / "a" / name, "run", overwrite=True)
    assert (tmp_path / "a" / name).read_text() == "1"


def folder_with(folder: Path, kind: str, place: str, manifest: str) -> Path:
    """A result of this kind, with a manifest in a folder inside it."""
    (folder / place).mkdir(parents=True)
    (folder / folders.MANIFESTS[kind]).write_text("{}")
    (folder / place / manifest).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("kind", "place", "manifest"),
    [
        ("prepared", "run", "run.json"),
        ("run", "work/bundle", "bundle.json"),
        ("cross-validation", "all/graded.csv", "_predictions.json"),
    ],
)
def test_another_result_inside_is_not_deleted(tmp_path: Path, kind: str, place: str, manifest: str) -> None:
    folder = folder_with(tmp_path / "a", kind, place, manifest)
    with pytest.raises(KerasDrError, match=f"holds another result, {place}"):
        folders.check_target(folder, kind, overwrite=True)


@pytest.mark.parametrize(
    ("kind", "place", "manifest"),
    [
        ("run", "litert", "bundle.json"),
        ("run", "evaluation/idrid-val", "metrics.json"),
        ("site", "bundle", "bundle.json"),
        ("cross-validation", "fold-2", "run.json"),
        ("cross-validation", "fold-2/litert", "bundle.json"),
    ],
)
def test_what_belongs_to_a_result_is_replaced_with_it(tmp_path: Path, kind: str, place: str, manifest: str) -> None:
    folders.check_target(folder_with(tmp_path / "a", kind, place, manifest), kind, overwrite=True)


def test_precious_work_of_another_plan_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        raise RuntimeError
    with (
        pytest.raises(KerasDrError, match="interrupted run"),
        folders.growing_folder(tmp_path / "a", "run", {"n": 2}, precious=True),
    ):
        pass
    assert folder.exists()


HOLDER = """
import sys, time
from pathlib import Path
from keras_dr.core import folders

with folders.growing_folder(Path(sys.argv[1]), "run", {}) as folder:
    (folder / "x").write_text("1")
    print("at work", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_writes_a_folder_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path / "a")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None and other.stdout.readline() == b"at work\n"
        with (
            pytest.raises(KerasDrError, match="Another command is writing"),
            folders.growing_folder(tmp_path / "a", "run", {}),
        ):
            pass
        assert (tmp_path / ".a.partial" / "x").exists()
        other.kill()
    with folders.growing_folder(tmp_path / "a", "run", {}) as folder:
        assert (folder / "x").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]


def test_without_locks_the_folder_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "fcntl", None)
    with folders.growing_folder(tmp_path / "a", "run", {}):
        pass
    assert (tmp_path / "a").is_dir()


def test_a_full_disk_is_told_before_the_write(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="MiB free"):
        folders.check_room(tmp_path, 1 << 60)


def test_what_a_kill_between_the_two_renames_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".a.old").mkdir()
    with folders.growing_folder(tmp_path / "a", "run", {}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_at_the_rename_the_folder_holds_the_result_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[list[str]] = []
    replace = Path.replace

    def looking(self: Path, target: Path) -> Path:
        if self.is_dir():
            held.append([path.name for path in self.iterdir()])
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", looking)
    with folders.growing_folder(tmp_path / "a", "run", {}) as folder:
        (folder / "x").write_text("1")
    assert held == [["x"]]


def test_a_half_removed_folder_has_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(RuntimeError), folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(folders.shutil, "rmtree", die)
        with folders.growing_folder(tmp_path / "a", "run", {"n": 2}):
            pass
    with folders.growing_folder(tmp_path / "a", "run", {"n": 1}) as folder:
        assert not (folder / "x").exists()


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.csv'$"):
        folders.write_bytes(tmp_path / "x.csv", b"1")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links as on POSIX")
def test_a_file_keeps_its_permissions_and_a_link_stays(tmp_path: Path) -> None:
    file, link = tmp_path / "private.csv", tmp_path / "link.csv"
    file.write_bytes(b"old")
    file.chmod(0o600)
    link.symlink_to(file.name)
    folders.check_writable(link)
    folders.write_bytes(link, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o600, True)
    folders.write_bytes(file, b"newer")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"newer", 0o600)
    assert sorted(tmp_path.iterdir()) == [link, file]


def test_a_name_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    folders.check_writable(tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"nowhere/x\.csv"):
        folders.check_writable(tmp_path / "nowhere" / "x.csv")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    folders.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError):
        folders.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert folders.read_json(tmp_path / "a.json") == {"x": 1}


@pytest.mark.parametrize("text", [None, "{", "[]", json.dumps({"schema_version": 99})])
def test_manifest_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(KerasDrError, match=r"run\.json"):
        folders.read_manifest(tmp_path, "run")


@pytest.mark.parametrize(
    ("made", "needed", "words"),
    [
        ("prepared", "run", "is a folder that keras-dr prepare wrote, but a run folder is needed here"),
        ("run", "bundle", "is a folder that keras-dr train wrote, but a bundle folder is needed here"),
        ("bundle", "prepared", "is a folder that keras-dr export wrote, but a prepared folder is needed here"),
    ],
)
def test_another_kind_of_folder_is_called_by_its_name(tmp_path: Path, made: str, needed: str, words: str) -> None:
    folders.write_manifest(tmp_path, made)
    with pytest.raises(KerasDrError, match=words):
        folders.read_manifest(tmp_path, needed)


def test_a_photograph_in_the_place_of_a_bundle_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(b"")
    with pytest.raises(KerasDrError, match=r"eye\.jpg is a file, but a bundle folder is needed here"):
        folders.read_manifest(tmp_path / "eye.jpg", "bundle")
