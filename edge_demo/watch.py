"""Grades the photographs that a camera writes into a folder: each once, when it is complete, also across restarts.

The journal holds one line of JSON per photograph (see `journal`). A file that it lists with the same size and time of
change is not graded again, nor one with the same content whose name or time of change is another. It runs unattended:
if the journal's disk is full, it waits; and if the bundle is replaced, it loads the new one.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from time import gmtime, perf_counter, sleep, strftime
from typing import Any

from edge_demo.grader import Grader
from edge_demo.journal import Journal, Stamp
from edge_demo.photographs import one_of_many
from edge_demo.results import ROTATE_MIB
from keras_dr.core.errors import KerasDrError, MissingPackageError
from keras_dr.core.folders import MANIFESTS, sha256_of
from keras_dr.core.frames import expand_frames, split_frame
from keras_dr.core.image_files import APPLE_DOUBLE, SkippedFiles, printable, walk_images
from keras_dr.core.privacy import Privacy, shown_error, shown_name


def watch(
    grader: Grader,
    folder: Path,
    journal: Path,
    interval_s: float = 1.0,
    rounds: int | None = None,
    say: Callable[[dict[str, Any]], None] = lambda line: None,
    reload: Callable[[], Grader] | None = None,
    warn: Callable[[str], None] = lambda text: None,
    rotate_mib: float = ROTATE_MIB,
) -> int:
    """Grade the photographs in a folder, and new ones when they appear.

    The folder is searched again and again. A file counts as complete when its size and time of change are the same in
    two successive searches; the decoder refuses JPEG and PNG files that are cut short. A file whose content changes
    later is graded again. A file that was renamed gets a line that names its earlier name. A file that cannot be read
    for a reason outside itself, such as its permissions, a failing disk or a missing package, gets no line: it is tried
    again in each search.

    Args:
        grader: the grader.
        folder: the folder that the camera writes to; subfolders are searched as well.
        journal: the file to append to.
        interval_s: seconds between two searches.
        rounds: number of searches; None searches without end, and waits when the journal cannot be written.
        say: called with each line of the journal; and with {"note": text} if the journal had to be repaired.
        reload: returns the grader of a bundle that has changed since it was loaded; without it, the first grader
            stays.
        warn: called with a sentence when it begins to wait, and when it goes on; for files that are passed over or
            tried again; and for lines that the journal has lost.
        rotate_mib: a journal of this size is renamed, and a new file continues it; see `journal.Journal`.

    Returns:
        The number of photographs that could not be read in the last search.

    Raises:
        KerasDrError: the folder does not exist, another process writes the journal, or, if the number of searches is
            limited, the journal cannot be written.
    """
    check_folder(folder)
    with Journal(journal, grader.privacy, rotate_mib, warn) as kept:
        if kept.repaired:
            say({"note": kept.repaired})
        watcher = _Watcher(grader, folder, kept, reload, warn)
        look = 0
        while rounds is None or look < rounds:
            if look:
                sleep(interval_s)
            look += 1
            for line in watcher.search(waits=rounds is None):
                say(line)
        return len(watcher.unread)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be watched.

    Raises:
        KerasDrError: it does not exist, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{printable(folder)} is a file, but watch needs the folder that the camera writes to."
        raise KerasDrError(message, "Name the folder; the command grade takes single photographs.")
    if not folder.is_dir():
        raise KerasDrError(f"There is no folder {printable(folder)} to watch.", "Make it first.")


class _Watcher:
    """One search after the other.

    Args:
        grader: the grader.
        folder: the folder that is watched.
        journal: the journal.
        reload: see `watch`.
        warn: see `watch`.
    """

    def __init__(
        self,
        grader: Grader,
        folder: Path,
        journal: Journal,
        reload: Callable[[], Grader] | None,
        warn: Callable[[str], None],
    ) -> None:
        self._grader = grader
        self._folder = folder
        self._journal = journal
        self._reload = reload
        self._warn = warn
        self._before: set[Stamp] = set()
        self._unchanged: set[Stamp] = set()  # rewritten with the content that the journal has under this name
        self.unread: set[Stamp] = set()  # in the latest search, for a reason outside the file
        self._postponed: dict[Stamp, str] = {}  # that were unread, with the reason that was said
        self._told: set[str] = {"hidden", APPLE_DOUBLE, f"with the suffix {journal.file.suffix}"}  # reasons
        self._files: dict[Stamp, Path] = {}
        self._pending: dict[str, Any] | None = None  # graded, but not yet written to the journal
        self._waiting_for = ""
        self._bundle_stamp = _bundle_stamp(grader)

    def search(self, waits: bool) -> Iterator[dict[str, Any]]:
        """Search once; yield each line that was written to the journal.

        Args:
            waits: whether it ends the search, instead of raising an error, if the journal cannot be written.
        """
        if not self._folder.is_dir():  # deleted, or its disk was taken out
            self._wait_for(f"There is no folder {printable(self._folder)} any more.")
            return
        skipped = SkippedFiles()
        self._files = dict(_stamps(self._folder, self._grader.privacy, skipped))
        self._tell_of(skipped)
        stamps = sorted((self._files.keys() & self._before) - self._journal.done - self._unchanged)
        self._before = set(self._files)
        self.unread.clear()
        try:
            if self._pending is not None:
                yield self._write(self._pending)
            for stamp in stamps:
                if stamp in self._journal.done:  # it was pending
                    continue
                if not self._bundle_is_ready():
                    return
                line = self._examine(stamp)
                if line is not None:
                    self._pending = line
                    yield self._write(line)
            self._go_on()
        except KerasDrError as error:
            if not waits:
                raise
            self._wait_for(str(error))

    def _write(self, line: dict[str, Any]) -> dict[str, Any]:
        self._journal.append(line)
        self._pending = None
        return line

    def _examine(self, stamp: Stamp) -> dict[str, Any] | None:
        """Return the line for a photograph; None if it needs none, or not yet."""
        path = self._files[stamp]
        file, frame = split_frame(path)
        line: dict[str, Any] = dict(zip(("file", "bytes", "changed_ns"), stamp, strict=True))
        try:
            content = file.read_bytes()
        except FileNotFoundError:  # renamed or removed since the search
            return None
        except OSError as error:  # its permissions, the network or the disk
            self._postpone(stamp, f"The photograph {stamp[0]} cannot be read: {error.strerror or error}.")
            return None
        line["sha256"] = hashlib.sha256(content).hexdigest()
        if frame is not None:
            line["frame"] = frame
        if self._journal.contents.get(stamp[0]) == line["sha256"]:
            self._unchanged.add(stamp)
            return None
        earlier = self._journal.name_of(line["sha256"], frame)
        if earlier is not None and all(name != earlier for name, _, _ in self._files):
            return line | {"renamed_from": earlier}
        line |= _graded_with(self._grader)
        began = perf_counter()
        try:
            with one_of_many():
                line |= self._grader.grade(content, printable(path), frame).to_dict()
        except MissingPackageError as error:
            self._postpone(stamp, f"{stamp[0]}: {error}")
            return None
        except KerasDrError as error:
            line["error"] = shown_error(error, path, self._grader.privacy)
        line |= {"seconds": round(perf_counter() - began, 3), "time": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())}
        if _stamp(self._folder, path, self._grader.privacy) != stamp or self._bundle_has_changed():
            return None  # the photograph or the model changed meanwhile: it is graded in a later search
        return line

    def _postpone(self, stamp: Stamp, reason: str) -> None:
        """Say once that a photograph is tried again in the next search."""
        if self._postponed.get(stamp) != reason:
            self._warn(f"{reason} It is tried again.")
        self._postponed[stamp] = reason
        self.unread.add(stamp)

    def _tell_of(self, skipped: SkippedFiles) -> None:
        """Say once for each reason that files of the folder are passed over."""
        for reason in skipped.counts.keys() - self._told:
            self._warn(f"Passed over: {skipped.line(reason)}.")
            self._told.add(reason)

    def _bundle_is_ready(self) -> bool:
        """Whether the grader is that of the bundle as it is now; a bundle that has changed is loaded again."""
        if self._reload is None or not self._bundle_has_changed():
            return True
        try:
            now = _bundle_stamp(self._grader)
            grader = self._reload()
        except (KerasDrError, OSError) as error:  # such as a bundle of which only a part has been copied
            self._wait_for(f"The bundle has changed and cannot be loaded: {error}")
            return False
        self._grader = grader
        self._bundle_stamp = now
        self._warn("The bundle has changed and was loaded again.")
        return True

    def _bundle_has_changed(self) -> bool:
        return self._reload is not None and _bundle_stamp(self._grader) != self._bundle_stamp

    def _wait_for(self, reason: str) -> None:
        if reason != self._waiting_for:
            self._warn(f"{reason} Waiting.")
        self._waiting_for = reason

    def _go_on(self) -> None:
        if self._waiting_for:
            self._warn("Going on.")
        self._waiting_for = ""


def _graded_with(grader: Grader) -> dict[str, Any]:
    """Return what a photograph is graded with, as its line holds it."""
    bundle = grader.bundle
    return {
        "model_sha256": bundle.models[grader.variant].sha256,
        "bundle_sha256": sha256_of(bundle.folder / MANIFESTS["bundle"]),
        "operating_point": bundle.point_name,
        "threshold": bundle.threshold,
        "margin": bundle.margin,
    }


def _stamps(folder: Path, privacy: Privacy, skipped: SkippedFiles) -> Iterator[tuple[Stamp, Path]]:
    """Each photograph's stamp and file: a name that is no UTF-8 does not lead back from its stamp to the file."""
    for file in walk_images(folder, skip_unreadable=True, skipped=skipped):
        for path in expand_frames(file):
            stamp = _stamp(folder, path, privacy)
            if stamp is not None:
                yield stamp, path


def _stamp(folder: Path, path: Path, privacy: Privacy) -> Stamp | None:
    """Return a photograph's stamp; None if it is gone."""
    try:
        status = split_frame(path)[0].stat()
    except OSError:
        return None
    return shown_name(path, privacy, folder), status.st_size, status.st_mtime_ns


def _bundle_stamp(grader: Grader) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when the bundle's manifest or the model is replaced: number, size and time of each file."""
    stamps = []
    for name in ("bundle.json", grader.bundle.models[grader.variant].file):
        try:
            status = (grader.bundle.folder / name).stat()
        except OSError:
            stamps.append((0, 0, 0))
            continue
        stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(stamps)
