"""Folders as results, such as Prepared sets, Runs and Bundles. A folder is complete or absent, and has a manifest.

The manifest is one JSON file (schema version, package versions, sha256 of the other files). A folder is written under a
temporary name next to its own and renamed when it is complete; an interrupted one is found there and resumed. One
process at a time writes it.
"""

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
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
    "site": "site.json",
    "gradability": "gradability.json",
}
# results that are not deleted with the folder around them; evaluations and explanations belong to their run
_KEPT = ("prepared", "run", "bundle", "cross-validation", "predictions", "site")
# kind of result -> pattern of the folders in it that the same command writes and replaces
_PARTS = {"run": "litert", "site": "bundle", "cross-validation": "fold-*"}
_DIGITS = 19  # the most digits of a 64-bit integer
_MADE_BY = {
    "prepared": "keras-dr prepare",
    "run": "keras-dr train",
    "bundle": "keras-dr export",
    "cross-validation": "keras-dr train --folds",
    "site": "keras-dr web",
}
_BACKENDS = ("tensorflow", "jax")
_PACKAGES = ("keras", "tf-keras-vis", "ai-edge-litert", "opencv-python-headless", "simplejpeg", "scikit-learn", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of Python and of each package that affects results."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and not needed for grading

    installed = {"python": platform.python_version()}
    for package in (*_BACKENDS, *_PACKAGES):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def sha256_of(file: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(file: Path, data: bytes) -> None:
    """Write a file so that it is either complete or unchanged: temporary name, flush to disk, rename.

    The file that a link leads to is written, not the link. A file that exists keeps its permissions.
    """
    target = Path(os.path.realpath(file))
    temporary = temporary_name(target)
    try:
        with temporary.open("wb") as stream:
            if target.exists():
                shutil.copymode(target, temporary)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:  # the error of a full disk does not name the file
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(file: Path) -> Path:
    """Return the hidden name beside a file under which this process writes it before it is renamed."""
    return file.with_name(f".{file.name}.{os.getpid()}.tmp")


def check_writable(file: Path) -> None:
    """Check before long work that a file can be written after it; raises the error that writing would raise."""
    trial = temporary_name(Path(os.path.realpath(file)))
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def write_json(file: Path, value: Any) -> None:
    """Write a value atomically as the JSON of `to_json`."""
    write_bytes(file, to_json(value))


def to_json(value: Any) -> bytes:
    """Return indented JSON in UTF-8; NaN and infinity raise a ValueError."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(file: Path) -> Any:
    """Return the JSON value in a file, as `to_json` writes it.

    Raises:
        OSError: there is no such file.
        KerasDrError: the file is not JSON, or holds values that no file of ours has and that break other code: NaN and
            infinity, integers of more than 64 bits, halves of surrogate pairs, nesting deeper than Python can read.
    """
    try:
        value = json.loads(file.read_bytes(), parse_constant=_finite, parse_int=_integer, parse_float=_finite)
        to_json(value)
    except (ValueError, RecursionError) as error:
        message = f"{file} cannot be read as JSON ({type(error).__name__}: {error})."
        raise KerasDrError(message, "Copy it again, or create it again.") from error
    return value


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]}, which is not finite")
    return value


def remove_folder(folder: Path) -> None:
    """Remove a folder with its content, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Return the JSON manifest of a result folder.

    Args:
        folder: the folder.
        kind: "prepared", "run", "bundle" or "cross-validation".

    Raises:
        KerasDrError: the folder or its manifest does not exist, is not valid JSON, or has another schema version.
    """
    file = folder / MANIFESTS[kind]
    remedy = f"Create it with {_MADE_BY[kind]}."
    if not folder.is_dir() or not file.is_file():
        raise _is_no(kind, folder)
    try:
        manifest = read_json(file)
        schema = manifest["schema_version"]
    except KerasDrError as error:
        raise KerasDrError(error.message, remedy) from error
    except (LookupError, TypeError) as error:
        message = f"{file} is not a manifest with a schema version ({type(error).__name__}: {error})."
        raise KerasDrError(message, remedy) from error
    if schema != SCHEMA_VERSION:
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            remedy = "Update keras_dr: a newer version wrote this folder."
        raise KerasDrError(
            f"{file} has schema version {brief(schema)}; this keras_dr reads schema version {SCHEMA_VERSION}.", remedy
        )
    return manifest


def _is_no(kind: str, folder: Path) -> KerasDrError:
    """Return the error for a folder that is missing, or a file or another kind of folder in its place."""
    if not folder.exists():
        return KerasDrError(f"The {kind} folder {folder} does not exist.", f"Create it with {_MADE_BY[kind]}.")
    name_it = f"Name the folder that {_MADE_BY[kind]} wrote; --help shows the order of the arguments."
    if not folder.is_dir():
        return KerasDrError(f"{folder} is a file, but a {kind} folder is needed here.", name_it)
    for other, maker in _MADE_BY.items():
        if (folder / MANIFESTS[other]).is_file():
            what_it_is = f"{folder} is a folder that {maker} wrote, but a {kind} folder is needed here."
            return KerasDrError(what_it_is, name_it)
    message = f"{folder} is not a {kind} folder: it has no {MANIFESTS[kind]}."
    return KerasDrError(message, f"Create it with {_MADE_BY[kind]}.")


def write_manifest(folder: Path, kind: str, **content: Any) -> None:
    """Write the JSON manifest of a result folder; schema version and package versions are added."""
    write_json(folder / MANIFESTS[kind], {"schema_version": SCHEMA_VERSION, "versions": versions(), **content})


def check_target(target: Path, kind: str, overwrite: bool) -> None:
    """Refuse to overwrite an existing folder; with `overwrite`, refuse all but results of the same kind.

    Raises:
        KerasDrError: `target` is a file, it exists and `overwrite` is false, it is another kind of folder, or another
            result, such as a run, lies in it or in one of its folders.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise KerasDrError(f"{target} is a file, so no folder can be written there.", "Choose another name.")
    if not overwrite:
        raise KerasDrError(f"The folder {target} already exists.", "Choose another name, or pass --overwrite.")
    if any(target.iterdir()) and not (target / MANIFESTS[kind]).is_file():
        raise KerasDrError(
            f"{target} is not an older {kind} that may be overwritten: it has no {MANIFESTS[kind]}.",
            "Choose another name.",
        )
    other = _other_result(target, _PARTS.get(kind, ""))
    if other:
        message = f"{target} holds another result, {other.relative_to(target)}, which would be deleted."
        raise KerasDrError(message, "Move that folder to another place first, or choose another name.")


def check_named_once(named: Iterable[Path]) -> None:
    """Refuse a folder that is named more than once, also under different paths.

    Args:
        named: the folders that a command was given.
    """
    places = set()
    for folder in named:
        place = folder.resolve()
        if place in places:
            raise KerasDrError(f"The folder {folder} is named more than once.", "Name each folder once.")
        places.add(place)


def is_prepared_set(folder: Path) -> bool:
    """Whether a folder is a Prepared set, by the names of its files."""
    return (folder / MANIFESTS["prepared"]).is_file() and (folder / "manifest.csv").is_file()


def _other_result(folder: Path, own: str) -> Path | None:
    """Return a result in one of two levels of folders below this one, except in folders whose names fit a pattern."""
    above = [path for path in _folders_in(folder) if not path.match(own or "\0")]
    for path in [*above, *(inner for outer in above for inner in _folders_in(outer))]:
        if any((path / MANIFESTS[kind]).is_file() for kind in _KEPT):
            return path
    return None


def _folders_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin a write that does not fit on the disk.

    Raises:
        KerasDrError: less than `needed_bytes` is free there.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        free = f"{free_bytes / 2**20:.1f} MiB free"
        raise KerasDrError(
            f"The disk of {folder} has {free}, but {needed_bytes / 2**20:.1f} MiB are needed.",
            "Free some space; the same command then continues from here.",
        )


def interrupted_plan(target: Path) -> Any:
    """Return the plan of an interrupted call that was writing `target`; None if there is no such call."""
    growing = partial_folder(target)
    try:
        return json.loads(growing.with_name(f"{growing.name}.json").read_bytes()) if growing.is_dir() else None
    except (OSError, ValueError, RecursionError):
        return None


def partial_folder(target: Path) -> Path:
    """Return the temporary name under which `target` is written."""
    target = target.resolve()
    return target.with_name(f".{target.name}.partial")


@contextmanager
def growing_folder(
    target: Path, kind: str, plan: Any, overwrite: bool = False, precious: bool = False
) -> Iterator[Path]:
    """Yield a folder with a temporary name, which becomes `target` when the block ends without an exception.

    The files of an interrupted call are kept and yielded again if its plan was the same, and removed otherwise. If they
    are precious, they are removed only with `overwrite`.

    Args:
        target: the final folder.
        kind: key of `MANIFESTS`; the block writes that file.
        plan: JSON value that determines the result (hashes of inputs, settings).
        overwrite: replace an existing `target` at the end.
        precious: the files of an interrupted call took hours to make.

    Raises:
        KerasDrError: as for `check_target`; or another process is writing the folder; or an interrupted call with
            another plan left precious files.
    """
    check_target(target, kind, overwrite)
    target = target.resolve()
    growing = partial_folder(target)
    growing.parent.mkdir(parents=True, exist_ok=True)
    plan_file = growing.with_name(
        f"{growing.name}.json"
    )  # next to it, so that the renamed folder holds only the result
    text = json.dumps(plan, indent=1, sort_keys=True)
    with _locked(growing, target):
        check_target(target, kind, overwrite)  # another process may have written it in the meantime
        if not (growing.is_dir() and plan_file.is_file() and plan_file.read_text("utf-8") == text):
            if precious and growing.is_dir() and plan_file.is_file() and not overwrite:
                raise KerasDrError(
                    f"The interrupted {kind} at {target} had other settings or data than this command.",
                    "Give the command as it was then, or pass --overwrite to start again.",
                )
            # the plan goes first: if the removal is killed, no plan is left for half a folder
            plan_file.unlink(missing_ok=True)
            if growing.exists():
                shutil.rmtree(growing)
            write_bytes(plan_file, text.encode())
            growing.mkdir()
        for unfinished in growing.rglob(".*.tmp"):  # left where `write_bytes` was killed
            unfinished.unlink(missing_ok=True)
        yield growing
        old = growing.with_name(f".{target.name}.old")
        remove_folder(old)  # left where a call was killed between these lines
        if target.exists():
            target.replace(old)
        growing.replace(target)
        remove_folder(old)
        plan_file.unlink()


@contextmanager
def _locked(growing: Path, target: Path) -> Iterator[None]:
    """Lock `growing` against other processes, if the system can; the lock ends with the process."""
    file = growing.with_name(f"{growing.name}.lock")
    if fcntl is None:
        yield
        return
    while True:
        with file.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # another process may have ended between the two lines above and removed this file
                ours = file.exists() and os.path.samestat(file.stat(), os.fstat(stream.fileno()))
            except BlockingIOError as error:
                remedy = "Wait until it ends, or choose another name."
                raise KerasDrError(f"Another command is writing {target}.", remedy) from error
            except OSError:  # a file system without locks
                ours = True
            if ours:
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)
                return
