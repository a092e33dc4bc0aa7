"""keras_dr.models.torch_pickle: tensors are read, and nothing but tensors."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch_files
from torch_files import BEGIN, DICTIONARY, file_of, storage, tensor, text

from keras_dr.core.errors import KerasDrError
from keras_dr.models.torch_pickle import read_tensors

NUMBERS = np.arange(6, dtype=np.float32)
STORED = storage("0", "Float", 6)
ONE = tensor(STORED, 0, (2, 3), (3, 1))


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    (folder / "some.pth").write_bytes(content)
    return read_tensors(folder / "some.pth")


def test_tensors_of_every_type_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {name: (rng.normal(size=(2, 3)) * 9).astype(name) for name in ("f2", "f4", "f8", "i4", "i8")}
    tensors |= {"kernel": rng.normal(size=(4, 3, 5, 5)).astype("f4"), "counter": np.array(7)}
    found = read(tmp_path, torch_files.torch_file(tensors))
    assert list(found) == list(tensors)
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_tensors_share_a_storage_and_lie_in_any_order(tmp_path: Path) -> None:
    items = {"turned": tensor(STORED, 0, (3, 2), (1, 3)), "part": tensor(STORED, 4, (2,), (1,))}
    found = read(tmp_path, file_of(items, {"0": NUMBERS}))
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]] and found["part"].tolist() == [4, 5]


def one(value: bytes) -> bytes:
    """A file of one value under the name "a"."""
    return file_of({"a": value}, {"0": NUMBERS})


WHOLE = one(ONE)
HOSTILE = {
    "empty": (b"", ""),
    "another pickle": (pickle.dumps([1, 2], 2), "magic number"),
    "a later protocol": (pickle.dumps([1, 2], 4), r"\(FRAME\)"),
    "text": (b"what is this", ""),
    "another version": (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2), "version"),
    "big-endian": (WHOLE.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "little-endian"),
    "a program": (one(b"cos\nsystem\n" + text("touch out") + b"\x85R"), r"calls 'os system'"),
    "a program as an object": (one(b"(" + text("touch out") + b"ios\nsystem\n"), r"\(INST\)"),
    "a newer pickle": (one(text("os") + text("system") + b"\x93"), r"\(STACK_GLOBAL\)"),
    "an import alone": (one(b"cos\nsystem\n"), "something else than a dictionary of tensors"),
    "a class with arguments": (one(b"ccollections\nOrderedDict\n" + ONE + b"\x85R"), "calls 'collections OrderedDict'"),
    "attributes": (one(ONE + b"}b"), "sets attributes"),
    "a text": (one(text("weights")), "something else than a dictionary of tensors"),
    "no dictionary": (BEGIN + b"\x80\x02" + ONE + b"." + pickle.dumps(["0"], 2), "something else"),
    "a tuple as a key": (BEGIN + b"\x80\x02" + DICTIONARY + b")" + ONE + b"s.", "keys are no texts"),
    "other numbers": (one(ONE.replace(b"FloatStorage", b"QInt8Storage")), "type that is not read here"),
    "a part of a storage": (one(ONE.replace(b"NtQ", b")tQ")), "something else than a storage"),
    "a tensor beyond its storage": (one(tensor(STORED, 0, (7,), (1,))), "beyond its storage"),
    "a far corner": (one(tensor(STORED, 1, (2, 3), (3, 1))), "beyond its storage"),
    "more elements than numbers": (one(tensor(STORED, 0, (2**30, 2**30), (0, 0))), "beyond its storage"),
    "a negative stride": (one(tensor(STORED, 5, (2,), (1,)).replace(b"(K\x01t\x89", b"(J\xff\xff\xff\xfft\x89")), "-1"),
    "an empty tensor": (one(tensor(STORED, 0, (0, 2**40 % 2**31), (1, 1))), "is empty"),
    "fewer strides": (one(tensor(STORED, 0, (2, 3), (1,))), ""),
    "another storage": (file_of({"a": ONE}, {"1": NUMBERS}), "list of storages"),
    "a storage too many": (file_of({"a": ONE}, {"0": NUMBERS, "1": NUMBERS}), "list of storages"),
    "a storage of two lengths": (
        file_of({"a": ONE, "b": tensor(storage("0", "Float", 5), 0, (2,), (1,))}, {"0": NUMBERS}),
        "described in two ways",
    ),
    "a shorter storage": (file_of({"a": ONE}, {"0": NUMBERS[:5]}), "5 elements instead of 6"),
    "a cut": (WHOLE[:-1], ""),
    "a cut pickle": (WHOLE[: len(BEGIN) + 40], ""),
    "something behind": (WHOLE + b"\0", "goes on behind"),
    "a memo from nowhere": (one(b"h\x63"), ""),
    "a stack too short": (one(b"R"), ""),
    "tuples in tuples": (one(b")" + b"2\x86" * 9), r"\(DUP\)"),
    "a length of gigabytes": (one(b"X" + struct.pack("<I", 2**32 - 1)), ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[case]
    with pytest.raises(KerasDrError, match=rf"some\.pth is no PyTorch file.*{message}"):
        read(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_deep_nesting_is_refused_in_no_time(tmp_path: Path) -> None:
    """Each tuple holds the one before twice: spelled out it would have 2 ** 200 members."""
    doubled = b")" + b"q\x00h\x00\x86" * 200
    with pytest.raises(KerasDrError, match="something else than a dictionary of tensors"):
        read(tmp_path, one(doubled))
    with pytest.raises(KerasDrError, match="something else than a dictionary of tensors"):
        read(tmp_path, one(b")" + b"\x85" * 100_000))


def test_the_newer_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"ZIP format of PyTorch 1\.6.*_use_new_zipfile_serialization=False"):
        read(tmp_path, b"PK\x03\x04" + bytes(40))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="There is no file"):
        read_tensors(tmp_path / "none.pth")


def test_what_is_read_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read(tmp_path, WHOLE)["a"][0] = 1
