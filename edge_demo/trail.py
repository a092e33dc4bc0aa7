"""The journal of watch as a trail that can be checked: each line carries a code over itself and the line before.

The code is HMAC-SHA-256 (RFC 2104) with the key of `core.privacy`, so that nobody without the key can change, remove,
add or exchange lines unnoticed. The number and the code of the last line, the head, are kept beside the key, so that a
journal that lost its end shows as well. A line that a power failure cut short is replaced by one that says so.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.image_files import printable, resolved
from keras_dr.core.privacy import Privacy, default_key_file

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


class _Coded(NamedTuple):
    """A line of a journal that has a code: its number, its bytes without the code, and the code."""

    number: int
    body: bytes
    code: str


class Trail:
    """The codes of a journal's lines; the journal itself is written by `journal.Journal`."""

    def __init__(self, journal: Path, privacy: Privacy) -> None:
        """Read the key and the head of a journal.

        Args:
            journal: the journal's file.
            privacy: names the key.

        Raises:
            KerasDrError: the key or the head cannot be read.
        """
        self._journal = journal
        self._key = privacy.key()
        self._file = head_file(journal, privacy)
        self._stored = read_head(self._file, self._key) or Head()
        self._head = self._stored
        self._next = self._head

    def begin(self, content: bytes, cut: bytes) -> dict[str, Any] | None:
        """Go on after the lines of a journal.

        Args:
            content: the complete lines of the journal.
            cut: the beginning of a line that was cut short, which the journal drops.

        Returns:
            An event that must be the next line: that a line was cut short, or that an older version wrote the lines
            before; None if nothing happened.

        Raises:
            KerasDrError: the journal has lost lines, or its last line was not written with this key.
        """
        earlier = (part.read_bytes() for part in reversed(parts_of(self._journal)))
        coded = (line for text in chain([content], earlier) for line in _coded_from_end(text))
        last = self._checked(next(coded, None), next(coded, None))
        if last.line < self._stored.line - bool(cut):  # of the last line, a part may be there
            journal = printable(self._journal)
            message = f"The journal {journal} ends with line {last.line}, but {self._stored.line} were written."
            raise KerasDrError(message, "Check it with: keras-dr-edge trail verify. Then choose another --journal.")
        self._head = last
        if cut:
            return {_EVENT: _REPAIRED, "bytes": len(cut), "sha256": _sha256(cut)}
        if content and not last.line:
            return {_EVENT: _BEGUN, "bytes": len(content), "sha256": _sha256(content)}
        return None

    def _checked(self, last: "_Coded | None", before: "_Coded | None") -> Head:
        """Return the last line as a head, after a check of its code; an earlier file may lack the line before it."""
        if last is None:
            return Head()
        code_before = before.code if before and before.number == last.number - 1 else None
        if last.number == 1:
            code_before = _NOTHING
        if code_before is not None and not hmac.compare_digest(last.code, _code(self._key, code_before, last.body)):
            message = f"The last line of the journal {printable(self._journal)} was changed, or the key is another one."
            raise KerasDrError(message, "Name the key that it was begun with as --key, or choose another --journal.")
        return Head(last.number, last.code)

    def seal(self, line: Mapping[str, Any]) -> bytes:
        """Return a line as it is written, with its number and its code."""
        number = self._head.line + 1
        body = json.dumps({**line, "line": number}, ensure_ascii=False).encode()
        self._next = Head(number, _code(self._key, self._head.code, body))
        return body[:-1] + f', "code": "{self._next.code}"}}\n'.encode()

    def keep(self) -> None:
        """Note that the last sealed line is on the disk.

        Raises:
            KerasDrError: the head cannot be written.
        """
        try:
            _write_head(self._file, self._key, self._next)
        except OSError as error:
            message = f"The head of the journal, {printable(self._file)}, cannot be written: {error.strerror or error}."
            raise KerasDrError(message, "Name a --key whose folder is writable and has free space.") from error
        self._head = self._next


def head_file(journal: Path, privacy: Privacy) -> Path:
    """Return the file that keeps the head of a journal, in the folder `trails` beside the key."""
    name = hashlib.sha256(os.fsencode(resolved(journal))).hexdigest()[:16]
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


def _coded_from_end(content: bytes) -> Iterator[_Coded]:
    """Yield the complete lines that have a code, the last one first."""
    end = len(content)
    while end > 0:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        if parts := _split(content[begin : end - 1]):
            yield _Coded(_number(parts[0]), *parts)
        end = begin


def next_part(journal: Path) -> Path:
    """Return the name that a full journal gets: gradings.000001.jsonl, gradings.000002.jsonl and so on.

    The number is above those of all earlier files, of which somebody may have moved some away.
    """
    parts = parts_of(journal)
    last = int(parts[-1].name.removesuffix(journal.suffix)[-6:]) if parts else 0
    return journal.with_name(f"{journal.stem}.{last + 1:06}{journal.suffix}")


def missing_lines(texts: Iterable[bytes]) -> str:
    """Return a sentence on the first lines that are missing between or before files of a journal; "" if none are.

    Args:
        texts: the content of each file, in their order.
    """
    last = 0
    for text in texts:
        first = next((_number(parts[0]) for line in text.splitlines() if (parts := _split(line))), None)
        if first is None:
            continue
        if first > last + 1:
            missing = f"Lines {last + 1} to {first - 1}" if first > last + 2 else f"Line {last + 1}"
            return f"{missing} of the journal cannot be found: an earlier file of it was moved or deleted."
        last = next((line.number for line in _coded_from_end(text)), 0)
    return ""


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
        KerasDrError: there is no journal, the file is none, or the key or the head cannot be read.

    Example:
        >>> verify(Path("camera/gradings.jsonl"), Privacy()).fault
        ''
    """
    files = [*parts_of(journal), *([journal] if journal.is_file() else [])]
    if not files:
        raise KerasDrError(f"There is no journal {printable(journal)}.", "Name the file that watch wrote.")
    texts = list(_texts(files))
    if texts and all(not text.startswith(b"{") for _, text in texts):
        message = f"{printable(journal)} is no journal: none of its lines is a line of JSON."
        raise KerasDrError(message, "Name the file that watch wrote.")
    key = privacy.key(make=False)
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
        repaired += json.loads(body).get(_EVENT) == _REPAIRED
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
    """Whether a line notes the lines without a code before it, which an older version wrote."""
    whole = b"".join(text + b"\n" for text in loose)
    return line.get(_EVENT) == _BEGUN and line.get("sha256") == _sha256(whole)


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
