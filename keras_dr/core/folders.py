"""Folders as results: Prepared set, Run and Bundle. A folder is whole or absent, and says what it holds.

Each holds one JSON manifest (schema version, package versions, sha256 of its files). A folder grows under a temporary
name beside its own and is renamed when it is whole; an interrupted one is found there and resumed. One process at a
time writes it.
"""

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError, brief

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA_VERSION = 1
MANIFESTS = {
    "prepared": "prepared.json",
    "run": "run.json",
    "bundle": "bundle.json",
    "evaluation": "metrics.json",
    "explanation": "scores.json",
    "cross-validation": "cross_validation.json",
    "predictions": "_predictions.json",
}
_DIGITS = 19  # of a whole number of 64 bits
_MADE_BY = {
    "prepared": "cli.py prepare",
    "run": "cli.py train",
    "bundle": "cli.py export",
    "cross-validation": "cli.py train --folds",
}
_BACKENDS = ("tensorflow", "jax")
_PACKAGES = ("keras", "tf-keras-vis", "ai-edge-litert", "opencv-python-headless", "scikit-learn", "numpy")


def versions() -> dict[str, str]:
    """Version of Python and of each package that shapes a result."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and not needed to grade

    found = {"python": platform.python_version()}
    for package in (*_BACKENDS, *_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(file: Path, data: bytes) -> None:
    """Write a file so that it is either whole or as it was before: temporary name, flush to disk, rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:  # a full disk is told without a name
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(file: Path) -> None:
    """Find out before the work whether a file can be written there after it; raises what writing it would raise."""
    trial = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def write_json(file: Path, value: Any) -> None:
    """Write JSON atomically, as `to_json` makes it."""
    write_bytes(file, to_json(value))


def to_json(value: Any) -> bytes:
    """JSON, UTF-8, indented; NaN and infinity are refused with a ValueError."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(file: Path) -> Any:
    """The JSON value in a file, as `to_json` writes it.

    Raises:
        OSError: no such file.
        KerasDrError: no JSON, or what no file of ours holds and much code stumbles over: NaN and infinity, whole
            numbers of more than 64 bits, halves of surrogate pairs, nesting deeper than Python follows.
    """
    try:
        value = json.loads(file.read_bytes(), parse_constant=_finite, parse_int=_whole, parse_float=_finite)
        to_json(value)
    except (ValueError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"
        raise KerasDrError(f"JSON in {file}", found, "Copy it again, or make it anew.") from error
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]}, which is not finite")
    return value


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The JSON manifest of a result folder.

    Args:
        folder: the folder.
        kind: "prepared", "run", "bundle" or "cross-validation".

    Raises:
        KerasDrError: no such folder, no manifest in it, broken JSON, or another schema version.
    """
    file = folder / MANIFESTS[kind]
    remedy = f"Make it with {_MADE_BY[kind]}."
    if not file.is_file():
        found = "no such folder" if not folder.is_dir() else f"a folder without {file.name}"
        raise KerasDrError(f"a {kind} folder at {folder}", found, remedy)
    try:
        manifest = read_json(file)
        schema = manifest["schema_version"]
    except KerasDrError as error:
        raise KerasDrError(f"a JSON manifest in {file}", error.found, remedy) from error
    except (LookupError, TypeError) as error:
        raise KerasDrError(f"a JSON manifest in {file}", f"{type(error).__name__}: {error}", remedy) from error
    if schema != SCHEMA_VERSION:
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            remedy = "A newer keras_dr made it: update this one."
        raise KerasDrError(f"schema version {SCHEMA_VERSION} in {file}", brief(schema), remedy)
    return manifest


def write_manifest(folder: Path, kind: str, **content: Any) -> None:
    """Write a result folder's JSON manifest; schema and package versions are added."""
    write_json(folder / MANIFESTS[kind], {"schema_version": SCHEMA_VERSION, "versions": versions(), **content})


def check_target(target: Path, kind: str, overwrite: bool) -> None:
    """Refuse to write over what is there; with `overwrite`, over anything but a result of the same kind.

    Raises:
        KerasDrError: `target` is a file, exists and `overwrite` is false, or holds something else.
    """
    if target.exists() and not target.is_dir():
        raise KerasDrError(f"a folder to write at {target}", "a file", "Choose another name.")
    if target.exists() and not overwrite:
        raise KerasDrError(f"no folder yet at {target}", "one", "Choose another name, or pass --overwrite.")
    if target.exists() and any(target.iterdir()) and not (target / MANIFESTS[kind]).is_file():
        found = f"a folder without {MANIFESTS[kind]}"
        raise KerasDrError(f"an older {kind} to overwrite at {target}", found, "Choose another name.")


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin a write that the disk has no room for.

    Raises:
        KerasDrError: less than `needed_bytes` is free there.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        found = f"{free / 2**20:.1f} MiB"
        remedy = "Free some; the same command then goes on from here."
        raise KerasDrError(f"{needed_bytes / 2**20:.1f} MiB free on the disk of {folder}", found, remedy)


def partial_folder(target: Path) -> Path:
    """Where a folder grows that is to become `target`."""
    target = target.resolve()
    return target.with_name(f".{target.name}.partial")


@contextmanager
def growing_folder(
    target: Path, kind: str, plan: Any, overwrite: bool = False, precious: bool = False
) -> Iterator[Path]:
    """A folder to fill under a temporary name, which becomes `target` when the block ends without an exception.

    What an interrupted call left is kept and yielded again if its plan was the same, and dropped otherwise; if it is
    precious, only with `overwrite`.

    Args:
        target: the folder to be.
        kind: key of `MANIFESTS`; the block writes that file.
        plan: JSON value that determines the result (inputs' hashes, settings).
        overwrite: replace an existing `target` at the end.
        precious: what an interrupted call left took hours.

    Raises:
        KerasDrError: as `check_target`, another process is writing it, or an interrupted call with another plan left
            something precious.
    """
    check_target(target, kind, overwrite)
    growing, target = partial_folder(target), target.resolve()
    growing.parent.mkdir(parents=True, exist_ok=True)
    plan_file = growing.with_name(f"{growing.name}.json")  # beside it: what is renamed holds the result alone
    text = json.dumps(plan, indent=1, sort_keys=True)
    with _locked(growing, target):
        check_target(target, kind, overwrite)  # another process may have made it since
        if not (growing.is_dir() and plan_file.is_file() and plan_file.read_text("utf-8") == text):
            if precious and growing.is_dir() and plan_file.is_file() and not overwrite:
                remedy = "Give the command as it was then, or pass --overwrite to begin anew."
                raise KerasDrError(f"the settings and data of the interrupted {kind} at {target}", "others", remedy)
            plan_file.unlink(missing_ok=True)  # first: a kill amid the removal must not leave a plan of half a folder
            if growing.exists():
                shutil.rmtree(growing)
            write_bytes(plan_file, text.encode())
            growing.mkdir()
        for unfinished in growing.rglob(".*.tmp"):  # a kill in the midst of `write_bytes`
            unfinished.unlink(missing_ok=True)
        yield growing
        old = growing.with_name(f".{target.name}.old")
        remove_folder(old)  # of a call that was killed between these lines
        if target.exists():
            target.replace(old)
        growing.replace(target)
        remove_folder(old)
        plan_file.unlink()


@contextmanager
def _locked(growing: Path, target: Path) -> Iterator[None]:
    """Keep other processes off `growing`, where the system has such locks; it ends this one with the process."""
    file = growing.with_name(f"{growing.name}.lock")
    if fcntl is None:
        yield
        return
    while True:
        with file.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # another process may have ended between the two lines above, and taken this file with it
                ours = file.exists() and os.path.samestat(file.stat(), os.fstat(stream.fileno()))
            except BlockingIOError as error:
                remedy = "Wait until it ends, or choose another name."
                raise KerasDrError(
                    f"one command at a time that writes {target}", "another one at work", remedy
                ) from error
            except OSError:  # a file system without locks
                ours = True
            if ours:
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)
                return
