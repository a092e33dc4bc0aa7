"""edge_demo.watch: each photograph once, when it is complete, also across restarts."""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import dicom_fixtures as made
import numpy as np
import pytest
from disks import Disk, small_disk
from edge_fixtures import change

from edge_demo import __main__ as command
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.grading import Grading
from edge_demo.journal import Journal
from edge_demo.watch import watch
from keras_dr.core.errors import KerasDrError, MissingPackageError


@pytest.fixture
def grader(bundle_folder: Path) -> Grader:
    return Grader(Bundle.load(bundle_folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that a camera may write to."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def lines(journal: Path) -> list[dict]:
    texts = [line for line in journal.read_text().splitlines() if line.startswith("{") and line[-1] == "}"]
    return [line for line in map(json.loads, texts) if "file" in line]


def test_each_photograph_once_also_after_a_restart(grader: Grader, camera: Path, journal: Path) -> None:
    for _ in range(2):
        watch(grader, camera, journal, 0.01, rounds=3)
    assert [line["file"] for line in lines(journal)] == ["a.jpg", "broken.png", "left/a.JPG"]
    assert "error" in lines(journal)[1] and lines(journal)[0]["action"] == "refer: by grade"
    assert (lines(journal)[0]["threshold"], lines(journal)[0]["margin"]) == (0.5, 0.05)


def test_a_file_that_still_grows_waits(grader: Grader, folder: Path, journal: Path, photograph: bytes) -> None:
    file = folder / "eye.jpg"
    file.write_bytes(photograph[:1000])
    waits = 0

    def grow(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits < 4:
            file.write_bytes(photograph[: len(photograph) * waits // 3])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_demo.watch.sleep", grow)
        watch(grader, folder, journal, rounds=7)
    (line,) = lines(journal)
    assert line["bytes"] == len(photograph) and "grade" in line


def test_a_journal_cut_by_a_power_failure_goes_on(grader: Grader, camera: Path, journal: Path) -> None:
    watch(grader, camera, journal, 0.01, rounds=2)
    journal.write_bytes(journal.read_bytes()[:-20])
    watch(grader, camera, journal, 0.01, rounds=2)
    assert [line["file"] for line in lines(journal)] == ["a.jpg", "broken.png", "left/a.JPG"]


def test_cli_watch_once(bundle_folder: Path, camera: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["watch", str(bundle_folder), str(camera), "--once", "--interval", "0.01"]) == 1
    out = capsys.readouterr().out
    assert "a.jpg: proliferative, action: refer" in out and "New photographs: 2 graded, 1 failed." in out
    assert len(lines(camera / "gradings.jsonl")) == 3
    assert command.main(["watch", str(bundle_folder), str(camera), "--once", "--interval", "0.01"]) == 0
    assert "New photographs: 0 graded, 0 failed." in capsys.readouterr().out


@pytest.mark.parametrize(("name", "words"), [("none", "There is no folder"), ("eye.jpg", "is a file, but watch needs")])
def test_cli_watch_refuses_before_it_says_that_it_watches(
    tmp_path: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eye.jpg").write_bytes(b"")
    assert command.main(["watch", "bundle", str(tmp_path / name)]) == 1
    out, error = capsys.readouterr()
    assert not out and words in error


@pytest.mark.parametrize("interval", ["-1", "nan", "inf", "1e300", "soon"])
def test_cli_watch_checks_its_interval(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["watch", "bundle", "folder", f"--interval={interval}"])
    assert "not a number of seconds from 0" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-5", "nan", "inf", "big"])
def test_cli_watch_checks_the_size_of_its_journal(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["watch", "bundle", "folder", f"--rotate-mib={size}"])
    assert f"{size!r} is not a number of MiB above 0" in capsys.readouterr().err


def test_no_folder_to_watch(grader: Grader, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"There is no folder .* to watch"):
        watch(grader, tmp_path / "none", tmp_path / "journal.jsonl", rounds=1)


def test_a_broken_link_stops_neither_watch_nor_grade(
    grader: Grader, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (camera / "circle.jpg").symlink_to("circle.jpg")
    warnings: list[str] = []
    watch(grader, camera, tmp_path / "journal.jsonl", 0.01, rounds=2, warn=warnings.append)
    assert [line["file"] for line in lines(tmp_path / "journal.jsonl")] == ["a.jpg", "broken.png", "left/a.JPG"]
    assert any("circle.jpg" in warning for warning in warnings)
    words = ["grade", str(grader.bundle.folder), str(camera / "circle.jpg"), str(camera / "a.jpg")]
    assert command.main([*words, "--csv", str(tmp_path / "t.csv"), "--heatmap", str(tmp_path / "maps")]) == 1
    assert "1 failed" in capsys.readouterr().out and "\na," in (tmp_path / "t.csv").read_text()


def test_a_renamed_photograph_is_not_graded_again(
    grader: Grader, folder: Path, journal: Path, photograph: bytes
) -> None:
    (folder / "a.jpg").write_bytes(photograph)
    watch(grader, folder, journal, 0.01, rounds=2)
    (folder / "a.jpg").rename(folder / "b.jpg")
    for _ in range(2):
        watch(grader, folder, journal, 0.01, rounds=2)
    first, second = lines(journal)
    assert "grade" in first and "grade" not in second
    assert (second["file"], second["renamed_from"]) == ("b.jpg", "a.jpg")


def test_the_frames_of_a_renamed_file_keep_their_own_results(grader: Grader, folder: Path, journal: Path) -> None:
    frames = np.stack([made.colours(), np.flip(made.colours(), axis=1)])
    made.save(made.dataset(frames, made.TRUE_COLOUR, number=2), folder / "a.dcm")
    watch(grader, folder, journal, 0.01, rounds=2)
    (folder / "a.dcm").rename(folder / "b.dcm")
    watch(grader, folder, journal, 0.01, rounds=2)
    assert [(line["file"], line.get("renamed_from")) for line in lines(journal)] == [
        ("a.dcm/frame-1", None),
        ("a.dcm/frame-2", None),
        ("b.dcm/frame-1", "a.dcm/frame-1"),
        ("b.dcm/frame-2", "a.dcm/frame-2"),
    ]


def test_a_photograph_that_failed_fails_again_under_another_name(
    grader: Grader, folder: Path, journal: Path, photograph: bytes
) -> None:
    (folder / "a.jpg").write_bytes(photograph[: len(photograph) // 2])
    watch(grader, folder, journal, 0.01, rounds=2)
    (folder / "a.jpg").rename(folder / "b.jpg")
    watch(grader, folder, journal, 0.01, rounds=2)
    assert [(line["file"], "error" in line) for line in lines(journal)] == [("a.jpg", True), ("b.jpg", True)]


def test_a_file_rewritten_with_the_same_content_is_not_graded_again(
    grader: Grader, folder: Path, journal: Path, photograph: bytes
) -> None:
    file = folder / "a.jpg"
    file.write_bytes(photograph)
    watch(grader, folder, journal, 0.01, rounds=2)
    for year in (1971, 2100):  # the camera's clock may be anywhere
        os.utime(file, (3e7 * (year - 1970), 3e7 * (year - 1970)))
        watch(grader, folder, journal, 0.01, rounds=3)
    assert len(lines(journal)) == 1
    file.write_bytes(photograph[:2000])
    watch(grader, folder, journal, 0.01, rounds=2)
    assert "error" in lines(journal)[1]
    file.write_bytes(photograph)
    watch(grader, folder, journal, 0.01, rounds=2)
    assert "grade" in lines(journal)[2]


def test_a_photograph_that_changes_while_it_is_graded_is_graded_later(
    grader: Grader, folder: Path, journal: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.jpg").write_bytes(photograph[:3000])
    plainly = Grader.grade

    def rewritten(self: Grader, content: bytes, name: str, frame: int | None) -> Grading:
        if len(content) == 3000:
            (folder / "a.jpg").write_bytes(photograph)
        return plainly(self, content, name, frame)

    monkeypatch.setattr(Grader, "grade", rewritten)
    watch(grader, folder, journal, 0.01, rounds=4)
    (line,) = lines(journal)
    assert line["bytes"] == len(photograph) and "grade" in line


def test_watch_waits_while_the_disk_is_full(
    grader: Grader, camera: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    warnings: list[str] = []

    def synchronise(number: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def wait(seconds: float) -> None:
        nonlocal full
        looks.append(seconds)
        full = len(looks) < 5
        if len(looks) > 8:
            raise KeyboardInterrupt

    looks: list[float] = []
    graded: list[str] = []
    plainly = Grader.grade

    def counted(self: Grader, content: bytes, name: str, frame: int | None) -> Grading:
        graded.append(name)
        return plainly(self, content, name, frame)

    grader.privacy.key()  # if there is none yet, it is made, which needs a disk with space
    monkeypatch.setattr(Grader, "grade", counted)
    monkeypatch.setattr("edge_demo.watch.sleep", wait)
    monkeypatch.setattr("edge_demo.journal.os.fsync", synchronise)
    with pytest.raises(KeyboardInterrupt):
        watch(grader, camera, journal, warn=warnings.append)
    assert [line["file"] for line in lines(journal)] == ["a.jpg", "broken.png", "left/a.JPG"]
    assert len(graded) == 3
    passed_over, full_disk, goes_on = warnings
    assert "note.txt" in passed_over and "No space left" in full_disk and goes_on == "Going on."


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk, or limits the size of files")
def test_watch_waits_while_a_real_disk_is_full(
    grader: Grader, tmp_path: Path, folder: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:02}.jpg" for number in range(20)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(photograph + bytes([number]))
    warnings: list[str] = []
    looks: list[int] = []  # number of lines in the journal at each look
    with small_disk(tmp_path / "disk") as disk, full_at(disk, 8192):
        journal = disk.at / "journal.jsonl"

        def wait(seconds: float) -> None:
            looks.append(len(lines(journal)))
            if len(looks) == 5:
                unlimit(disk)
            if len(looks) == 8:
                raise KeyboardInterrupt

        monkeypatch.setattr("edge_demo.watch.sleep", wait)
        with pytest.raises(KeyboardInterrupt):
            watch(grader, folder, journal, warn=warnings.append)
        assert 0 < looks[2] == looks[4] < 20  # it was full, and then for some looks
        assert [line["file"] for line in lines(journal)] == names
        assert command.main(["trail", "verify", str(journal)]) == 0
    assert len(warnings) == 2 and "cannot be written" in warnings[0] and warnings[1] == "Going on."


class FullDisk(io.StringIO):
    """A stream on a disk that is full, or a pipe whose reader is gone."""

    def __init__(self, code: int = errno.ENOSPC) -> None:
        super().__init__()
        self.code = code

    def write(self, text: str) -> int:
        if not text:
            return 0
        raise OSError(self.code, os.strerror(self.code))


def test_cli_watch_goes_on_while_the_disk_of_its_messages_is_full(
    bundle_folder: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither lines, nor warnings, nor a bundle that is loaded again end it."""
    looks: list[int] = []

    def wait(seconds: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            change(bundle_folder, versions={"keras_dr": "another"})
            (camera / "b.jpg").write_bytes((camera / "a.jpg").read_bytes())
        if len(looks) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr("edge_demo.watch.sleep", wait)
    monkeypatch.setattr(Bundle, "model_doubt", lambda *_: "The model failed its comparison.")
    monkeypatch.setattr(sys, "stdout", FullDisk())
    monkeypatch.setattr(sys, "stderr", FullDisk())
    assert command.main(["watch", str(bundle_folder), str(camera)]) == 130
    noted = lines(camera / "gradings.jsonl")
    assert [line["file"] for line in noted] == ["a.jpg", "broken.png", "left/a.JPG", "b.jpg"]
    assert noted[0]["bundle_sha256"] != noted[3]["bundle_sha256"]


def test_cli_watch_once_says_that_messages_are_missing(
    bundle_folder: Path, camera: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", FullDisk())
    words = ["watch", str(bundle_folder), str(camera / "left"), "--once", "--interval", "0.01"]
    assert command.main(words) == 1
    assert "Not all messages could be written: No space left on device." in capsys.readouterr().err
    assert len(lines(camera / "left" / "gradings.jsonl")) == 1


def test_cli_watch_ends_when_the_reader_of_its_messages_is_gone(
    bundle_folder: Path, camera: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_demo.watch.sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "stdout", FullDisk(errno.EPIPE))
    assert command.main(["watch", str(bundle_folder), str(camera)]) == 1


@contextmanager
def full_at(disk: Disk, size_bytes: int) -> Iterator[None]:
    """Make a disk full at this size; if it could not be mounted, limit the size of this process's files."""
    import resource

    disk.limit(size_bytes)
    if not disk.mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        unlimit(disk)


def unlimit(disk: Disk) -> None:
    """Give a disk its full size again."""
    import resource

    if disk.mounted:
        disk.restore()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_two_processes_do_not_write_one_journal(grader: Grader, camera: Path, journal: Path) -> None:
    with Journal(journal), pytest.raises(KerasDrError, match="Another process already writes the journal"):
        watch(grader, camera, journal, rounds=1)


def test_a_photograph_that_cannot_be_read_yet_is_tried_again(
    grader: Grader, folder: Path, journal: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("locked.jpg", "package.jpg"):
        (folder / name).write_bytes(photograph + name.encode())
    read = Path.read_bytes
    grade = Grader.grade

    def refuse(file: Path) -> bytes:
        if file.name == "locked.jpg":
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(file)

    def lack(self: Grader, data: bytes, *words: object) -> Grading:
        if data.endswith(b"package.jpg"):
            raise MissingPackageError("pydicom is not installed.", "Install it.")
        return grade(self, data, *words)  # type: ignore[arg-type]

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        patch.setattr(Grader, "grade", lack)
        assert watch(grader, folder, journal, 0.01, rounds=4, warn=said.append) == 2
    assert not lines(journal)
    assert said == [
        "The photograph locked.jpg cannot be read: Permission denied. It is tried again.",
        "package.jpg: pydicom is not installed. Install it. It is tried again.",
    ]
    assert watch(grader, folder, journal, 0.01, rounds=2) == 0
    assert [line["file"] for line in lines(journal)] == ["locked.jpg", "package.jpg"]


def test_what_is_passed_over_and_a_folder_that_is_gone_are_said(grader: Grader, tmp_path: Path, folder: Path) -> None:
    for name in ("a.heic", "b.heic", ".c.part"):
        (folder / name).write_bytes(b"x")
    said: list[str] = []

    def remove(seconds: float) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StopIteration):
        steps = iter([None, None, None])
        patch.setattr("edge_demo.watch.sleep", lambda seconds: (next(steps), remove(seconds)))
        watch(grader, folder, tmp_path / "journal.jsonl", warn=said.append)
    assert said == [
        "Passed over: 2 with the suffix .heic (a.heic, b.heic).",
        f"There is no folder {folder} any more. Waiting.",
    ]


def test_a_journal_that_is_removed_or_emptied_goes_on(grader: Grader, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    line = {"file": "a.jpg", "bytes": 1, "changed_ns": 2}
    said: list[str] = []
    with Journal(file, warn=said.append) as journal:
        journal.append(line)
        file.write_bytes(b"")
        journal.append({**line, "file": "b.jpg"})
        assert [entry["file"] for entry in lines(file)] == ["b.jpg"]
        file.unlink()
        journal.append({**line, "file": "c.jpg"})
    assert [entry["file"] for entry in lines(file)] == ["c.jpg"]
    assert said == [f"The journal {file} was moved or deleted. A new file continues it."]


def test_a_bundle_that_is_replaced_is_loaded_again(
    bundle_folder: Path, folder: Path, journal: Path, photograph: bytes, models: dict[str, bytes]
) -> None:
    (folder / "a.jpg").write_bytes(photograph)
    warnings: list[str] = []
    steps: list[str] = []

    def next_step(seconds: float) -> None:
        steps.append("")
        if len(steps) == 3:  # a model was copied, but its manifest not yet
            (bundle_folder / "int8.tflite").write_bytes(models["float32"])
            (folder / "b.jpg").write_bytes(photograph + b"\0")
        if len(steps) == 6:
            (bundle_folder / "float32.tflite").write_bytes(models["float32"])
            manifest = json.loads((bundle_folder / "bundle.json").read_text())
            manifest["models"]["int8"] |= {
                "sha256": hashlib.sha256(models["float32"]).hexdigest(),
                "size_bytes": len(models["float32"]),
            }
            (bundle_folder / "bundle.json").write_text(json.dumps(manifest))

    def load() -> Grader:
        return Grader(Bundle.load(bundle_folder))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_demo.watch.sleep", next_step)
        watch(load(), folder, journal, rounds=10, reload=load, warn=warnings.append)
    first, second = lines(journal)
    assert (first["file"], second["file"]) == ("a.jpg", "b.jpg")
    assert first["model_sha256"] == hashlib.sha256(models["int8"]).hexdigest()
    assert second["model_sha256"] == hashlib.sha256(models["float32"]).hexdigest()
    assert first["grade"] != second["grade"]
    assert "cannot be loaded" in warnings[0] and warnings[1] == "The bundle has changed and was loaded again."


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
def test_none_is_lost_or_graded_twice_when_the_process_is_killed_at_random(
    grader: Grader, folder: Path, journal: Path, photograph: bytes
) -> None:
    names = [f"{number:03}.jpg" for number in range(120)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(photograph + bytes([number]))
    rng = random.Random(1)
    kills = 0
    while len(lines(journal) if journal.exists() else []) < len(names) and kills < 200:
        child = os.fork()
        if child == 0:
            watch(grader, folder, journal, 0, rounds=2)
            os._exit(0)
        sleep(rng.uniform(0.01, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    watch(grader, folder, journal, 0, rounds=2)
    assert kills > 3
    assert [line["file"] for line in lines(journal)] == names


@pytest.mark.slow
def test_ten_thousand_photographs(grader: Grader, folder: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10_000):
        (folder / f"{number:05}.jpg").write_bytes(b"no photograph %d" % number)
    monkeypatch.setattr("edge_demo.journal.os.fsync", lambda number: None)  # ten thousand take minutes on some disks
    watch(grader, folder, journal, 0, rounds=2)
    read = []
    read_bytes = Path.read_bytes

    def note_and_read(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", note_and_read)
    watch(grader, folder, journal, 0, rounds=3)
    assert read  # the head of the journal
    assert not [path for path in read if path.parent == folder]  # it only searches: no photograph is read again
    assert [line["file"] for line in lines(journal)] == [f"{number:05}.jpg" for number in range(10_000)]
