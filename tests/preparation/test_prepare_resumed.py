import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from drawn import SIZE
from places import ROOT
from preparation import content, copied, prepare

from keras_dr.core.errors import KerasDrError


def test_interrupted_prepare_goes_on_and_ends_with_the_same_bytes(
    prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(photographs, tmp_path / "again", progress=stop)
    assert not (tmp_path / "again").exists()
    counts: list[int] = []
    prepare(photographs, tmp_path / "again", progress=lambda done, total: counts.append(done))
    assert counts[0] == 26
    assert content(tmp_path / "again") == content(prepared_folder)


def test_a_photograph_that_changed_since_the_interruption_is_read_again(photographs: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    source = copied(photographs, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "again", progress=stop)
    images = sorted((source / "images").iterdir())
    image = cv2.imread(str(images[3]))
    cv2.imwrite(str(images[3]), image[:, ::-1])
    counts: list[int] = []
    prepare(source, tmp_path / "again", progress=lambda done, total: counts.append(done))
    assert counts[0] == 25
    prepare(source, tmp_path / "fresh")
    assert content(tmp_path / "again") == content(tmp_path / "fresh")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from keras_dr.core import folders
from keras_dr.datasets import read_records
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.preparation.prepare import prepare_records

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

def write_and_die(file, data, write=folders.write_bytes):
    write(file, data)
    file.name == moment and die()

if __name__ == "__main__":
    source, target, size, moment = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    folders.write_bytes = write_and_die
    name, records = read_records(source)
    progress = lambda done, total: str(done) == moment and die()
    spec = Preprocessing(size)
    prepare_records(records, source, target, spec, dataset=name, workers=2, progress=progress)
"""


@pytest.mark.parametrize("moment", ["1", "35", "60", "manifest.csv", "prepared.json"])
def test_a_killed_prepare_goes_on_and_ends_with_the_same_bytes(
    moment: str, prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [tmp_path / "script.py", photographs, tmp_path / "again", SIZE, moment]
    root = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *map(str, words)], env=os.environ | root, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "again").exists() and (tmp_path / ".again.partial").is_dir()
    prepare(photographs, tmp_path / "again")
    assert content(tmp_path / "again") == content(prepared_folder)


def test_a_full_disk_is_told_and_prepare_goes_on_once_there_is_room(
    prepared_folder: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def fsync(handle: int) -> None:
        written.append(handle)
        if len(written) > 70:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KerasDrError, match=r"room on the disk.*continues from here"):
        prepare(photographs, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    monkeypatch.undo()
    prepare(photographs, tmp_path / "again")
    assert content(tmp_path / "again") == content(prepared_folder)
