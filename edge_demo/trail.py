"""The journal of watch as a trail that can be checked: each line carries a code over itself and the line before.

The code is HMAC-SHA-256 (RFC 2104) with the key of `core.privacy`, so that nobody without the key can change, remove,
add or exchange lines unnoticed. The number and the code of the last line, the head, are kept beside the key, so that a
journal that lost its end shows as well. A line that a power failure cut short stays; the line after it says so.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.image_files import printable
from keras_dr.core.privacy import Privacy, default_key_file

ROTATE_MIB = 64
_NOTHING = "0" * 64  # stands for the code of the line before the first one
_CODE = re.compile(rb', "code": "([0-9a-f]{64})"\}')
_CODE_BYTES = 77  # of the end of a line that holds its code
_EVENT = "event"
_REPAIRED = "repaired"
_BEGUN = "begun"


@dataclass(frozen=True)
class Head:
    """The last line of a trail.

    Attributes:
        line: its number, from 1; 0: there is none.
        code: its code.
    """

    line: int = 0
    code: str = _NOTHING


class Trail:
    """A journal to which lines are appended."""

    def __init__(self, journal: Path, privacy: Privacy, rotate_mib: float = ROTATE_MIB) -> None:
        """Open a journal, and repair it if its last line was cut short.

        Args:
            journal: the file; it is made with its first line.
            privacy: names the key.
            rotate_mib: a journal of at least this size is renamed before the next line, and a new file continues it.

        Raises:
            KerasDrError: the journal or the key cannot be read or written, or the journal has lost lines.
        """
        self.journal = journal
        self.repaired = ""
        self._key = privacy.key()
        self._head_file = head_file(journal, privacy)
        self._rotate_bytes = rotate_mib * 2**20
        with _writing(journal):
            self._head = self._open()

    def _open(self) -> Head:
        content = self.journal.read_bytes() if self.journal.is_file() else b""
        if not content.endswith(b"\n") and _split(content[content.rfind(b"\n") + 1 :]):  # only its end was not written
            with self.journal.open("ab") as stream:
                stream.write(b"\n")
            content += b"\n"
        last, loose = _last_coded(content)
        if not last.line:  # a new file: the process may have ended after it renamed a full one
            last = next((_last_coded(part.read_bytes())[0] for part in reversed(parts_of(self.journal))), last)
        stored = read_head(self._head_file, self._key) or Head()
        if last.line < stored.line - bool(loose):  # of the last line, a part is there
            message = (
                f"The journal {printable(self.journal)} ends with line {last.line}, but {stored.line} were written."
            )
            raise KerasDrError(message, "Check it with: keras-dr-edge trail verify. Then choose another --journal.")
        if not loose:
            return last
        ended = loose.endswith(b"\n")
        whole = loose if ended else loose + b"\n"
        event = _REPAIRED if last.line or not _is_older(loose) else _BEGUN
        if event == _REPAIRED:
            self.repaired = f"The journal's last line was cut short after {len(loose)} bytes. That is noted in it, and "
            self.repaired += "the photograph of that line is graded again."
        note = {_EVENT: event, "bytes": len(whole), "sha256": _sha256(whole)}
        return self._append(last, note, b"" if ended else b"\n")

    def append(self, line: dict[str, Any]) -> dict[str, Any]:
        """Append a line with its number and its code, and flush it to the disk.

        Args:
            line: what the line says.

        Returns:
            The line with its number.

        Raises:
            KerasDrError: the journal cannot be written.
        """
        with _writing(self.journal):
            if self.journal.is_file() and self.journal.stat().st_size >= self._rotate_bytes:
                self.journal.replace(_next_part(self.journal))
            self._head = self._append(self._head, line)
        return line | {"line": self._head.line}

    def _append(self, head: Head, line: dict[str, Any], before: bytes = b"") -> Head:
        body = json.dumps(line | {"line": head.line + 1}, ensure_ascii=False).encode()
        code = _code(self._key, head.code, body)
        with self.journal.open("ab") as stream:
            stream.write(before + body[:-1] + f', "code": "{code}"}}\n'.encode())
            stream.flush()
            os.fsync(stream.fileno())
        new_head = Head(head.line + 1, code)
        _write_head(self._head_file, self._key, new_head)
        return new_head


@contextmanager
def _writing(journal: Path) -> Iterator[None]:
    """Turn an OSError into a KerasDrError that names the journal."""
    try:
        yield
    except OSError as error:
        message = f"The journal {printable(journal)} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists, is writable and has free space.") from error


def head_file(journal: Path, privacy: Privacy) -> Path:
    """Return the file that keeps the head of a journal, in the folder `trails` beside the key."""
    name = hashlib.sha256(os.fsencode(journal.resolve())).hexdigest()[:16]
    return (privacy.key_file or default_key_file()).parent / "trails" / f"{name}.json"


def read_head(file: Path, key: bytes) -> Head | None:
    """Return the head of a journal; None if there is none.

    Raises:
        KerasDrError: the file is damaged, or was not written with this key.
    """
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_bytes())
        head = Head(int(content["line"]), str(content["code"]))
        genuine = hmac.compare_digest(str(content["seal"]), _seal(key, head))
    except (OSError, ValueError, LookupError, TypeError):
        genuine = False
    if not genuine:
        raise KerasDrError(f"The head {file} is damaged, or belongs to another key.", "Name the key with --key.")
    return head


def _write_head(file: Path, key: bytes, head: Head) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {"line": head.line, "code": head.code, "seal": _seal(key, head)}
    write_bytes(file, json.dumps(content).encode())


def _seal(key: bytes, head: Head) -> str:
    return hmac.new(key, f"head:{head.line}:{head.code}".encode(), hashlib.sha256).hexdigest()


def _code(key: bytes, before: str, body: bytes) -> str:
    return hmac.new(key, b"trail:" + before.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _split(text: bytes) -> tuple[bytes, str] | None:
    """Return the body and the code of a line; None for a line without a code."""
    found = _CODE.fullmatch(text[-_CODE_BYTES:])
    return (text[:-_CODE_BYTES] + b"}", found[1].decode()) if found else None


def _number(body: bytes) -> int:
    try:
        return int(json.loads(body)["line"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0


def _last_coded(content: bytes) -> tuple[Head, bytes]:
    """Return the number and the code of the last complete line that has a code, and what stands after it."""
    end = len(content)
    while end > 0:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        parts = _split(content[begin : end - 1]) if content[end - 1 : end] == b"\n" else None
        if parts:
            return Head(_number(parts[0]), parts[1]), content[end:]
        end = begin
    return Head(), content


def _is_older(content: bytes) -> bool:
    """Whether an older version, which wrote no codes, wrote these lines."""
    return content.startswith(b'{"file": ') and content.count(b"\n") > 0


def _next_part(journal: Path) -> Path:
    """Return the name that a full journal gets: gradings.000001.jsonl, gradings.000002.jsonl and so on."""
    return journal.with_name(f"{journal.stem}.{len(parts_of(journal)) + 1:06}{journal.suffix}")


def parts_of(journal: Path) -> list[Path]:
    """Return the earlier files of a journal, in their order; the journal itself is not among them."""
    name = re.compile(re.escape(journal.stem) + r"\.\d{6}" + re.escape(journal.suffix))
    folder = journal.parent
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []


@dataclass(frozen=True)
class Verification:
    """The result of checking a trail.

    Attributes:
        lines: how many lines are as they were written, up to the first fault.
        repaired: how many lines were cut short by a crash, and noted.
        fault: the first fault in a sentence; "" if there is none.
    """

    lines: int
    repaired: int
    fault: str


def verify(journal: Path, privacy: Privacy, head: Path | None = None) -> Verification:
    """Check every line of a journal, with its earlier files, and its end.

    Args:
        journal: the journal; its earlier files lie beside it.
        privacy: names the key.
        head: the file of the head, where the journal was moved; None: the one beside the key.

    Raises:
        KerasDrError: there is no journal, or the key or the head cannot be read.

    Example:
        >>> verify(Path("camera/gradings.jsonl"), Privacy()).fault
        ''
    """
    files = [*parts_of(journal), *([journal] if journal.is_file() else [])]
    if not files:
        raise KerasDrError(f"There is no journal {printable(journal)}.", "Name the file that watch wrote.")
    key = privacy.key()
    texts = list(_texts(files))
    last = Head()
    loose: list[bytes] = []  # lines without a code, which the next line must account for
    repaired = 0
    for index, (place, text) in enumerate(texts):
        parts = _split(text)
        if parts is None:
            loose.append(text)
            continue
        body, code = parts
        if not hmac.compare_digest(code, _code(key, last.code, body)):
            return Verification(last.line, repaired, _what_is_wrong(texts[index:], last.line + 1, place))
        if loose and not _accounts_for(json.loads(body), loose):
            return Verification(last.line, repaired, f"Before line {last.line + 1} ({place}), a line was added.")
        repaired += bool(loose) and json.loads(body)[_EVENT] == _REPAIRED
        loose = []
        last = Head(last.line + 1, code)
    if loose:
        return Verification(last.line, repaired, f"Line {last.line + 1} was cut short or added, and is not noted.")
    return Verification(last.line, repaired, _fault_of_end(last, read_head(head or head_file(journal, privacy), key)))


def _texts(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield the place and the text of each line of all files."""
    for file in files:
        for number, text in enumerate(file.read_bytes().split(b"\n"), start=1):
            if text:
                yield f"{printable(file.name)}, line {number} of the file", text


def _accounts_for(line: dict[str, Any], loose: list[bytes]) -> bool:
    """Whether a line notes the lines without a code before it: one that was cut short, or those of an older version."""
    whole = b"".join(text + b"\n" for text in loose)
    return line.get(_EVENT) in (_REPAIRED, _BEGUN) and line.get("sha256") == _sha256(whole)


def _what_is_wrong(texts: list[tuple[str, bytes]], expected: int, place: str) -> str:
    """Return the fault of the first of these lines, whose code does not follow from the line before."""
    numbers = [_number(parts[0]) if (parts := _split(text)) else 0 for _, text in texts]
    first = numbers[0]
    if first > expected:
        others = expected in numbers[1:]
        return f"Line {expected} is {'in another place' if others else 'missing'}: line {first} follows ({place})."
    if 0 < first < expected:
        return f"Line {first} is in another place, or there twice: line {expected} should follow ({place})."
    return f"Line {expected} was changed ({place}), or the key is another one."


def _fault_of_end(last: Head, head: Head | None) -> str:
    if head is None:
        return "There is no head beside the key, so that lines missing at the end would not show; name it with --head."
    if head.line > last.line:
        return f"Line {last.line + 1} is missing: the journal ends before it, but {head.line} lines were written."
    if head.line == last.line and head.code != last.code:
        return f"Line {last.line} was replaced."
    return ""
