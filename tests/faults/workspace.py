"""The commands that drills disturb, their input, and the comparison of their results."""

import hashlib
import io
import json
import math
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from victim import NONE, Fault, Process

from keras_dr.core import folders
from keras_dr.synthetic.photographs import write_dataset

PHOTOGRAPHS = 40
SIDE = 32
_TRAIN = (
    "--backbone=tiny",
    "--weights=none",
    "--save-every=1",
    "--set=frozen.epochs=1",
    "--set=finetune.epochs=2",
    "--set=batch_size=8",
)


@dataclass(frozen=True)
class Command:
    """A command of cli.py.

    Attributes:
        name: name for the table.
        words: function of (workspace, folder to write to) that returns the command's words.
        target: name of the result in that folder.
        fresh: whether it starts in a new Python; otherwise it is forked from a process that has imported TensorFlow.
        needs: name of a reference that is copied into the folder first, because the command changes it.
    """

    name: str
    words: Callable[[Path, Path], list[str | Path]]
    target: str
    fresh: bool
    needs: str = ""


def _many(work: Path) -> list[Path]:
    """Return the folder of photographs five times, so that grading takes longer."""
    return [work / "photographs"] * 5


COMMANDS = (
    Command(
        "prepare",
        lambda work, at: ["prepare", work / "photographs", at / "set", "--size", str(SIDE), "--workers", "2"],
        "set",
        fresh=True,
    ),
    Command("train", lambda work, at: ["train", work / "reference" / "set", at / "run", *_TRAIN], "run", fresh=False),
    Command(
        "export",
        lambda work, at: ["export", work / "reference" / "run", at / "bundle", "--allow-drift"],
        "bundle",
        fresh=False,
    ),
    Command(
        "predict BUNDLE",
        lambda work, at: ["predict", work / "reference" / "bundle", *_many(work), "--out", at / "by-bundle.csv"],
        "by-bundle.csv",
        fresh=True,
    ),
    Command(
        "predict RUN",
        lambda work, at: ["predict", at / "run", *_many(work), "--out", at / "by-run.csv"],
        "by-run.csv",
        fresh=False,
        needs="run",
    ),
)


@dataclass(frozen=True)
class Reference:
    """An undisturbed run of a command.

    Attributes:
        seconds: its duration.
        changes: number of its changes of files.
        bytes: size of its result on a disk.
        prints: see `fingerprint`.
    """

    seconds: float
    changes: int
    bytes: int
    prints: dict[str, str]


def make_photographs(work: Path) -> None:
    """Draw the photographs in other processes, because OpenCV's threads would be missing in forked commands."""
    write_dataset(work / "photographs", PHOTOGRAPHS, seed=3, size=(96, 128), workers=2)


def refer(command: Command, work: Path) -> Reference:
    """Run a command undisturbed; later commands work on its result."""
    at = work / "reference"
    at.mkdir(exist_ok=True)
    if command.needs:  # the reference itself must not change, because others are compared with it
        at = renew(work / "reference-of-change", command, work)
    changes_file = work / "changes"
    start_time = time.perf_counter()
    process = start(command, work, at, Fault(folder=str(at), count_to=str(changes_file)))
    if process.wait():
        raise SystemExit(f"{command.name} fails undisturbed:\n" + "\n".join(process.messages()))
    seconds = time.perf_counter() - start_time
    size = sum(math.ceil(file.stat().st_size / 4096) * 4096 for file in _files(at / command.target))
    return Reference(seconds, int(changes_file.read_text()), size, fingerprint(command, at))


def start(command: Command, work: Path, at: Path, fault: Fault = NONE) -> Process:
    """Start a command that writes to the folder `at`."""
    log = work / f"log-{time.monotonic_ns()}"
    return Process([str(word) for word in command.words(work, at)], log, fault, command.fresh)


def renew(at: Path, command: Command, work: Path) -> Path:
    """Return an emptied folder to write to, with a copy of the reference that the command needs."""
    at.mkdir(exist_ok=True)
    for entry in at.iterdir():  # the folder itself may be a mounted disk
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if command.needs:
        shutil.copytree(work / "reference" / command.needs, at / command.needs)
    return at


def left_over(command: Command, at: Path) -> bool:
    """Whether an interrupted command left work that can be continued."""
    target = at / "run" / "litert" if command.needs else at / command.target
    return folders.partial_folder(target).is_dir()


def fingerprint(command: Command, at: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a command has written; empty if there is no result.

    Keras writes the time into a trained run's model. Of a run, the fingerprint therefore covers the weights bit for
    bit, history.csv, curves.png, and run.json without the seconds, the model's hash and the path of its set;
    TensorBoard's logs are left out.
    """
    result = at / command.target
    if not result.exists():
        return {}
    files = _files(result) + (_files(at / "run" / "litert") if command.needs else [])
    prints = {}
    for file in files:
        name = file.relative_to(at).as_posix()
        if "/logs/" not in name:
            prints[name] = hashlib.sha256(_lasting(file)).hexdigest()
    return prints


def _files(place: Path) -> list[Path]:
    return sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]


def _lasting(file: Path) -> bytes:
    """Return the part of a file that is the same whenever the command runs."""
    if file.suffix == ".keras":
        with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            parts: list[bytes] = []

            def add(name: str, value: object) -> None:
                if isinstance(value, h5py.Dataset):
                    parts.append(f"{name} {value.dtype} {value.shape}".encode() + np.asarray(value).tobytes())

            weights.visititems(add)
            return b"\n".join(parts)
    if file.name == "run.json":
        about = json.loads(file.read_bytes())
        del about["model_sha256"], about["data"]["prepared"]
        for phase in about["phases"].values():
            del phase["seconds"]
        return json.dumps(about, sort_keys=True).encode()
    return file.read_bytes()


def age(place: Path) -> None:
    """Set the time of change of all files below a folder to the year 2001."""
    for file in place.rglob("*"):
        os.utime(file, (978_307_200, 978_307_200))
