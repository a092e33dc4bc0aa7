"""Broken and hostile variants of valid files: bytes, JSON and ZIP archives."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

Mutate = Callable[[bytes, Random], bytes]

DEEP = 50_000  # nested brackets; Python's parsers recurse a thousand deep
_DEEP_MARK = "to be replaced by nested brackets"
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_NAMES = ("../../out", "/tmp/out", "..", "a\\..\\..\\out", "C:\\out", "x\0y", "config.json/../../out", "\u202eout")
EVIL: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", " ", -1, 0, 1, 2**31, 2**63, 10**4000, -0.0, 1e308, 5e-324),
    *(float("inf"), float("-inf"), float("nan"), "\ud800", "\0", "nan", "1" * 5000, "A" * 20000),
    *("../../../etc/passwd", "/etc/passwd", "..", "C:\\x", "a/b", "<script>alert(1)</script>", "=cmd|' /C calc'!A0"),
    *([[]], {"": None}, ["a"] * 2000, [0] * 2000, "$\\frac{", "\x1b[2J", "+".join(["clahe"] * 5000), _DEEP_MARK),
)


def mutate_bytes(data: bytes, rng: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """Make one to eight edits: change, remove, repeat or insert bytes, write extreme numbers, cut off the end."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data = _edit(data, rng, tokens)
    return data


def _edit(data: bytes, rng: Random, tokens: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    length = min(rng.choice((1, 2, 4, 16, 64, 1024)), len(data) - at)
    kind = rng.randrange(8 if tokens else 7)
    if kind == 0:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if kind == 1:
        return data[:at] + data[at + length :]
    if kind == 2:
        return data[: at + length] + data[at : at + length] * rng.choice((1, 1, 8, 100)) + data[at + length :]
    if kind == 3:
        number = rng.choice(_NUMBERS).to_bytes(8, rng.choice(("little", "big")))
        number = rng.choice((number[:1], number[:2], number[:4], number[-2:], number[-4:], number))
        return data[:at] + number + data[at + len(number) :]
    if kind == 4:
        return data[:at] if rng.random() < 0.3 else data[:at] + data[at + length :]
    if kind == 5:
        other = rng.randrange(len(data) + 1)
        return data[:at] + data[other : other + length] + data[at + length :]
    if kind == 6 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    return data[:at] + (rng.choice(tokens) if tokens else b"") + data[at:]


def mutate_json(data: bytes, rng: Random) -> bytes:
    """Replace values by hostile ones, or remove, swap or rename them; sometimes break the text itself."""
    if rng.random() < 0.15:
        return mutate_bytes(data, rng, (b"[" * DEEP, b'{"a":' * DEEP, b"NaN", b"1e999", b"\xff", b"9" * 5000))
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, rng)
    try:
        for _ in range(rng.choice((1, 1, 2, 4))):
            value = _change_json(value, rng)
        text = json.dumps(value)
    except (RecursionError, ValueError):  # an earlier mutant that Python can read but not write
        return mutate_bytes(data, rng)
    text = text.replace(f'"{_DEEP_MARK}"', "[" * DEEP + "]" * DEEP)
    return text.encode()


def _change_json(value: Any, rng: Random) -> Any:
    places = list(_places(value)) if isinstance(value, (dict, list)) else []
    if not places:
        return rng.choice(EVIL)
    holder, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(("", "x", "../x", str(key) * 2))] = holder.pop(key)
    elif kind == 2:
        other_holder, other_key = rng.choice(places)
        holder[key] = json.loads(json.dumps(other_holder[other_key]))
    elif isinstance(holder[key], (int, float)) and kind == 3:
        holder[key] = rng.choice((-holder[key], holder[key] * 1000003, [holder[key]], str(holder[key])))
    else:
        holder[key] = deepcopy(rng.choice(EVIL))  # a later change may modify it
    return value


def _places(value: Any) -> Any:
    """Yield (list or dictionary, index or key) of all nested values."""
    children = list(value.items()) if isinstance(value, dict) else list(enumerate(value))[:50]
    for key, child in children:
        yield value, key
        if isinstance(child, (dict, list)):
            yield from _places(child)


def mutate_zip(data: bytes, rng: Random, members: dict[str, Mutate] | None = None) -> bytes:
    """Change a member (by the mutation for its suffix), or rename, duplicate or drop it; or change the archive's bytes.

    Args:
        data: a ZIP archive.
        rng: the random generator.
        members: suffix -> mutation of members with this suffix; the others are changed by `mutate_bytes`.
    """
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # the archive is already broken by an earlier mutation
        return mutate_bytes(data, rng)
    if not content:
        return mutate_bytes(data, rng)
    at = rng.randrange(len(content))
    name, inner = content[at]
    kind = rng.randrange(10)
    if kind == 0:
        content[at] = (rng.choice(_NAMES), inner)
    elif kind == 1:
        content.append((rng.choice((name, *_NAMES)), inner))
    elif kind == 2:
        del content[at]
    elif kind == 3:
        content.append((rng.choice(_NAMES), b"\0" * 1_000_000))
    else:
        change = next((change for suffix, change in (members or {}).items() if name.endswith(suffix)), mutate_bytes)
        content[at] = (name, change(inner, rng))
    return _zipped(content, rng)


def _zipped(content: list[tuple[str, bytes]], rng: Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, inner in content:
            info = zipfile.ZipInfo(name.replace("\0", "_"))  # writestr would warn if a plain name occurred twice
            info.compress_type = archive.compression
            archive.NameToInfo.pop(info.filename, None)
            archive.writestr(info, inner)
    return stream.getvalue()


def mutate_npy(data: bytes, rng: Random) -> bytes:
    """Replace the header of a .npy member by huge shapes, objects or invalid text; or change any byte."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    evil = rng.choice(
        (
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 28, 28, 3), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f8', 'fortran_order': True, 'shape': (6, 28, 28, 3), }",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 0, 28), }",
            "{'descr': '|V1000000000', 'fortran_order': False, 'shape': (6,), }",
            "{'descr': [('a', '<U9999999')], 'fortran_order': False, 'shape': (9,), }",
            "(" * 9000,
            "-" * 9000 + "1",
            "__import__('os').system('touch out')",
            "{'descr': '|u1', 'fortran_order': 1, 'shape': 6}",
        )
    ).encode()
    body = data[data.find(b"\n") + 1 :]
    return b"\x93NUMPY\x01\0" + len(evil).to_bytes(2, "little") + evil + body
