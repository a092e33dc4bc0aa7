"""The journal of `watch`: one line of JSON per photograph, flushed to disk before the next photograph.

A line that a full disk cut short is replaced by the next one; one that a power failure cut short, by a line that says
so. Each line carries a code, so that the journal can be checked; see `trail`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_demo.results import ROTATE_MIB
from edge_demo.trail import Trail, missing_lines, next_part, parts_of
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import printable
from keras_dr.core.privacy import Privacy

_EVENT = b'{"event": '
_BEGIN = (b'{"file": ', _EVENT)
Stamp = tuple[str, int, int]  # name relative to the folder, bytes, time of the last change in ns


class Journal:
    """A journal that this process alone appends to, until `close`.

    Attributes:
        file: the journal's file.
        done: the stamps of the photographs in it.
        repaired: a sentence if the last line had been cut short; otherwise "".
        contents: name of a photograph -> SHA-256 of the content that was last noted; older journals hold none.
    """

    def __init__(
        self,
        file: Path,
        privacy: Privacy | None = None,
        rotate_mib: float = ROTATE_MIB,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Read a journal, or begin one.

        Args:
            file: the journal.
            privacy: names the key of the codes; None: lines carry no codes.
            rotate_mib: a journal with codes of at least this size is renamed before the next line, and a new file
                continues it.
            warn: called with a sentence when lines of the journal are no longer there.

        Raises:
            KerasDrError: another process appends to it, it cannot be read or written, or it has lost lines.
        """
        self.file = file
        self.repaired = ""
        self._trail = Trail(file, privacy) if privacy else None
        self._rotate_bytes = rotate_mib * 2**20
        self._warn = warn
        self.done: set[Stamp] = set()
        self.contents: dict[str, str] = {}
        self._names: dict[tuple[str, int | None], str] = {}  # SHA-256 and frame -> the latest name
        try:
            is_new = not file.exists()
            self._stream = file.open("a+b", buffering=0)
            if is_new:
                _flush_folder(file.parent)
            self._lock()
            self._stream.seek(0)
            content = self._stream.read()
        except OSError as error:
            raise _unwritable(file, error) from error
        self._end = content.rfind(b"\n") + 1  # what follows was cut short
        try:
            self._read(content)
        except KerasDrError:
            self._stream.close()
            raise

    def _read(self, content: bytes) -> None:
        event = self._trail.begin(content[: self._end], content[self._end :]) if self._trail else None
        earlier = [part.read_bytes() for part in parts_of(self.file)] if self._trail else []
        texts = (*earlier, content[: self._end])
        for text in texts:
            for line in _lines_of(text):
                self._take(line)
        if self._trail and (missing := missing_lines(texts)):
            self._warn(f"{missing} What only it noted is graded again.")
        was_cut = bool(content[self._end :])
        if event:
            self._put(event)
        if event and was_cut:
            self.repaired = (
                "The journal's last line had been cut short. The journal says so, and the photograph of that "
            )
            self.repaired += "line is graded again."

    def _lock(self) -> None:
        """Refuse a journal that another process holds; the system frees it when that process ends, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._stream.close()
            message = f"Another process already writes the journal {printable(self.file)}."
            raise KerasDrError(message, "Stop it first, or choose another --journal.") from error
        except OSError:  # a file system without locks
            return

    def _take(self, line: Mapping[str, Any]) -> None:
        self.done.add((line["file"], line["bytes"], line["changed_ns"]))
        sha256 = line.get("sha256")
        if isinstance(sha256, str):
            self.contents[line["file"]] = sha256
            if "error" not in line:
                self._names[sha256, line.get("frame")] = line["file"]

    def name_of(self, sha256: str, frame: int | None) -> str | None:
        """Return the name under which a photograph was last noted as graded.

        Args:
            sha256: of its file.
            frame: its frame in the file; None: the file holds this photograph alone.

        Returns:
            None if it has not been graded, or if something else has the name now.
        """
        name = self._names.get((sha256, frame))
        return name if name is not None and self.contents[name] == sha256 else None

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line and flush it to disk; if that fails, the next line replaces what was written of this one.

        Args:
            line: JSON values, among them the stamp as "file", "bytes" and "changed_ns".

        Raises:
            KerasDrError: the line cannot be written.
        """
        self._put(line)
        self._take(line)

    def _put(self, line: Mapping[str, Any]) -> None:
        try:
            if self._trail and self._end >= self._rotate_bytes:
                self.file.replace(next_part(self.file))
                self._reopen()
            elif not self.file.exists():  # removed, or its disk was taken out
                self._warn(f"The journal {printable(self.file)} was moved or deleted. A new file continues it.")
                self._reopen()
            self._end = min(self._end, os.fstat(self._stream.fileno()).st_size)  # another program may have emptied it
            self._stream.truncate(self._end)
            data = self._trail.seal(line) if self._trail else (json.dumps(line, ensure_ascii=False) + "\n").encode()
            written = self._stream.write(data)
            if written != len(data):
                raise OSError(f"only {written} of {len(data)} bytes fitted")
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _unwritable(self.file, error) from error
        if self._trail:
            self._trail.keep()
        self._end += len(data)

    def _reopen(self) -> None:
        self._stream.close()
        self._stream = self.file.open("a+b", buffering=0)
        self._end = 0
        self._lock()

    def close(self) -> None:
        """Let other processes append."""
        self._stream.close()

    def __enter__(self) -> "Journal":
        """Return the journal."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the journal."""
        self.close()


def check_journal(journal: Path) -> None:
    """Refuse to append to an existing file that is not a journal, such as a photograph or a table.

    Raises:
        KerasDrError: the file is not a journal.
    """
    content = journal.read_bytes() if journal.is_file() else b""
    if next(_lines_of(content), None) is None and not _begins_one(content):
        message = f"The file {printable(journal)} is not a journal of watch: none of its lines names a photograph."
        raise KerasDrError(message, "Choose another --journal.")


def _begins_one(content: bytes) -> bool:
    """Whether this is the beginning of a journal: nothing, a part of its first line, or an event."""
    first, end, _ = content.partition(b"\n")
    if not end:
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return any(mark.startswith(first[: len(mark)]) for mark in _BEGIN)
    return first.startswith(_EVENT)  # any other whole line is of another program


def _unwritable(journal: Path, error: OSError) -> KerasDrError:
    message = f"The journal {printable(journal)} cannot be written: {error.strerror or error}."
    return KerasDrError(message, "Choose a folder that exists, is writable and has free space.")


def _flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a new file in it also survives a power failure."""
    try:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError:  # Windows, and file systems that cannot
        return


def _lines_of(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines that name a photograph."""
    for text in content.splitlines():
        try:
            line = json.loads(text)
            yield {
                **line,
                "file": str(line["file"]),
                "bytes": int(line["bytes"]),
                "changed_ns": int(line["changed_ns"]),
            }
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            continue
