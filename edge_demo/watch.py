"""Grades the photographs that a camera writes into a folder: each once, when it is complete, also across restarts.

The journal holds one line of JSON per photograph. A file that the journal lists with the same size and time of change
is not graded again. Each line is flushed to disk before the next photograph, and carries a code; see `trail`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import gmtime, perf_counter, sleep, strftime
from typing import Any

from edge_demo.grader import Grader
from edge_demo.photographs import grade_file
from edge_demo.trail import ROTATE_MIB, Trail, parts_of
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS, sha256_of
from keras_dr.core.frames import expand_frames, split_frame
from keras_dr.core.image_files import printable, walk_images
from keras_dr.core.privacy import Privacy, shown_error, shown_name

JOURNAL = "gradings.jsonl"
_BEGIN = (b'{"file": ', b'{"event": ')
Stamp = tuple[str, int, int]  # name relative to the folder, bytes, time of the last change in ns


def watch(
    grader: Grader,
    folder: Path,
    journal: Path,
    interval_s: float = 1.0,
    rounds: int | None = None,
    say: Callable[[dict[str, Any]], None] = lambda line: None,
    rotate_mib: float = ROTATE_MIB,
) -> None:
    """Grade the photographs in a folder, and new ones when they appear.

    The folder is searched again and again. A file counts as complete when its size and time of change are the same in
    two successive searches; the decoder refuses JPEG and PNG files that are cut short. A file that changes later is
    graded again.

    Args:
        grader: the grader.
        folder: the folder that the camera writes to; subfolders are searched as well.
        journal: the file to append to.
        interval_s: seconds between two searches.
        rounds: number of searches; None searches without end.
        say: called with each line of the journal; and with {"note": text} if the journal had to be repaired.
        rotate_mib: a journal of this size is renamed, and a new file continues it; see `trail.Trail`.

    Raises:
        KerasDrError: the folder does not exist, or the journal cannot be written.
    """
    if not folder.is_dir():
        raise KerasDrError(f"There is no folder {printable(folder)} to watch.", "Make it first.")
    trail = Trail(journal, grader.privacy, rotate_mib)
    if trail.repaired:
        say({"note": trail.repaired})
    done = set(_read_journal(journal))
    about = _about(grader)
    before: set[Stamp] = set()
    look = 0
    while rounds is None or look < rounds:
        if look:
            sleep(interval_s)
        look += 1
        now = dict(_stamps(folder, grader.privacy))
        for stamp in sorted((now.keys() & before) - done):
            line = trail.append(_grade(grader, now[stamp], stamp) | about)
            done.add(stamp)
            say(line)
        before = set(now)


def _stamps(folder: Path, privacy: Privacy) -> Iterator[tuple[Stamp, Path]]:
    """Each photograph's stamp and file: a name that is no UTF-8 does not lead back from its stamp to the file."""
    for file in walk_images(folder, skip_unreadable=True):
        try:
            status = file.stat()
        except OSError:  # gone since it was listed
            continue
        for photograph in expand_frames(file):
            name = shown_name(photograph, privacy, folder)
            yield (name, status.st_size, status.st_mtime_ns), photograph


def _grade(grader: Grader, file: Path, stamp: Stamp) -> dict[str, Any]:
    line: dict[str, Any] = dict(zip(("file", "bytes", "changed_ns"), stamp, strict=True))
    began = perf_counter()
    try:
        line |= grade_file(grader, file).to_dict()
    except KerasDrError as error:
        line["error"] = shown_error(error, file, grader.privacy)
    line["seconds"] = round(perf_counter() - began, 3)
    try:
        line["input_sha256"] = sha256_of(split_frame(file)[0])
    except OSError:  # the camera has removed it
        line["input_sha256"] = ""
    return line | {"time": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())}


def _about(grader: Grader) -> dict[str, Any]:
    """Return what the photographs are graded with, as each line of the journal holds it."""
    bundle = grader.bundle
    return {
        "bundle_sha256": sha256_of(bundle.folder / MANIFESTS["bundle"]),
        "model_sha256": bundle.models[grader.variant].sha256,
        "operating_point": bundle.point_name,
        "threshold": bundle.threshold,
    }


def check_journal(journal: Path) -> None:
    """Refuse to append to an existing file that is not a journal, such as a photograph or a table.

    Raises:
        KerasDrError: the file is not a journal.
    """
    content = journal.read_bytes() if journal.is_file() else b""
    begins_like_a_journal = any(mark.startswith(content[: len(mark)]) for mark in _BEGIN)  # also if it was cut short
    if not begins_like_a_journal and next(_stamps_of(content), None) is None:
        message = f"The file {printable(journal)} is not a journal of watch: none of its lines names a photograph."
        raise KerasDrError(message, "Choose another --journal.")


def _read_journal(journal: Path) -> Iterator[Stamp]:
    """Yield the stamps in a journal and in its earlier files."""
    for file in (*parts_of(journal), journal):
        if file.is_file():
            yield from _stamps_of(file.read_bytes())


def _stamps_of(content: bytes) -> Iterator[Stamp]:
    for text in content.splitlines():
        try:
            line = json.loads(text)
            yield str(line["file"]), int(line["bytes"]), int(line["changed_ns"])
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            continue
