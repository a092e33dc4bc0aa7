"""Folders as results: Prepared set, Run and Bundle. A folder is whole or absent, and says what it holds.

Each holds one JSON manifest (schema version, package versions, sha256 of its files). A folder grows under a temporary
name beside its own and is renamed when it is whole; an interrupted one is found there and resumed.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_dr.errors import KerasDrError

SCHEMA_VERSION = 1
MANIFESTS = {"prepared": "prepared.json", "run": "run.json", "bundle": "bundle.json"}
_MADE_BY = {"prepared": "cli.py prepare", "run": "cli.py train", "bundle": "cli.py export"}
_PACKAGES = ("tensorflow", "keras", "tf-keras-vis", "ai-edge-litert", "opencv-python-headless", "scikit-learn", "numpy")


def versions() -> dict[str, str]:
    """Version of Python and of each package that shapes a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
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
    finally:
        temporary.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Write JSON atomically, UTF-8, indented; NaN and infinity are refused with a ValueError."""
    write_bytes(file, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(file: Path) -> Any:
    """The JSON value in a file of our own making."""
    return json.loads(file.read_bytes())


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The JSON manifest of a result folder.

    Args:
        folder: the folder.
        kind: "prepared", "run" or "bundle".

    Raises:
        KerasDrError: no such folder, no manifest in it, broken JSON, or another schema version.
    """
    file = folder / MANIFESTS[kind]
    remedy = f"Make it with {_MADE_BY[kind]}."
    if not file.is_file():
        found = "no such folder" if not folder.is_dir() else f"a folder without {file.name}"
        raise KerasDrError(f"a {kind} folder at {folder}", found, remedy)
    try:
        manifest = json.loads(file.read_bytes())
        schema = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise KerasDrError(f"a JSON manifest in {file}", f"{type(error).__name__}: {error}", remedy) from error
    if schema != SCHEMA_VERSION:
        raise KerasDrError(f"schema version {SCHEMA_VERSION} in {file}", str(schema), remedy)
    return manifest


def write_manifest(folder: Path, kind: str, **content: Any) -> None:
    """Write a result folder's JSON manifest; schema and package versions are added."""
    write_json(folder / MANIFESTS[kind], {"schema_version": SCHEMA_VERSION, "versions": versions(), **content})


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse to write over an existing result.

    Raises:
        KerasDrError: `target` exists and `overwrite` is false.
    """
    if target.exists() and not overwrite:
        raise KerasDrError(f"no folder yet at {target}", "one", "Choose another name, or pass --overwrite.")


@contextmanager
def growing_folder(target: Path, plan: Any, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill under a temporary name, which becomes `target` when the block ends without an exception.

    What an interrupted call left is kept and yielded again if its plan was the same, and dropped otherwise.

    Args:
        target: the folder to be.
        plan: JSON value that determines the result (inputs' hashes, settings).
        overwrite: replace an existing `target` at the end.

    Raises:
        KerasDrError: `target` exists and `overwrite` is false.
    """
    check_target(target, overwrite)
    target = target.resolve()
    growing = target.with_name(f".{target.name}.partial")
    plan_file = growing / "plan.json"
    text = json.dumps(plan, indent=1, sort_keys=True)
    if growing.exists() and not (plan_file.is_file() and plan_file.read_text("utf-8") == text):
        shutil.rmtree(growing)
    growing.mkdir(parents=True, exist_ok=True)
    for unfinished in growing.rglob(".*.tmp"):  # a kill in the midst of `write_bytes`
        unfinished.unlink()
    if not plan_file.is_file():
        write_bytes(plan_file, text.encode())
    yield growing
    plan_file.unlink()
    if target.exists():
        shutil.rmtree(target)
    growing.replace(target)
