"""keras_dr.models.torch_pickle: it reads tensors and nothing else."""

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
TENSOR = tensor(STORED, 0, (2, 3), (3, 1))


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    (folder / "some.pth").write_bytes(content)
    return read_tensors(folder / "some.pth")


def test_tensors_of_every_type_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {name: (rng.normal(size=(2, 3)) * 9).astype(name) for name in ("f2", "f4", "f8", "i4", "i8")}
    tensors |= {"kernel": rng.normal(size=(4, 3, 5, 5)).astype("f4"), "counter": np.array(7)}
    arrays = read(tmp_path, torch_files.torch_file(tensors))
    assert list(arrays) == list(tensors)
    for name, values in tensors.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values)


def test_tensors_share_a_storage_and_lie_in_any_order(tmp_path: Path) -> None:
    items = {"turned": tensor(STORED, 0, (3, 2), (1, 3)), "part": tensor(STORED, 4, (2,), (1,))}
    arrays = read(tmp_path, file_of(items, {"0": NUMBERS}))
    assert arrays["turned"].tolist() == [[0, 3], [1, 4], [2, 5]] and arrays["part"].tolist() == [4, 5]


def file_with(value: bytes) -> bytes:
    """Return a file of one value under the name "a"."""
    return file_of({"a": value}, {"0": NUMBERS})


WHOLE = file_with(TENSOR)
HOSTILE = {
    "empty": (b"", ""),
    "another pickle": (pickle.dumps([1, 2], 2), "magic number"),
    "a later protocol": (pickle.dumps([1, 2], 4), r"\(FRAME\)"),
    "text": (b"what is this", ""),
    "another version": (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1002, 2), "version"),
    "big-endian": (WHOLE.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "little-endian"),
    "a program": (file_with(b"cos\nsystem\n" + text("touch out") + b"\x85R"), r"calls 'os system'"),
    "a program as an object": (file_with(b"(" + text("touch out") + b"ios\nsystem\n"), r"\(INST\)"),
    "a newer pickle": (file_with(text("os") + text("system") + b"\x93"), r"\(STACK_GLOBAL\)"),
    "an import alone": (file_with(b"cos\nsystem\n"), "does not hold a dictionary of tensors"),
    "a class with arguments": (
        file_with(b"ccollections\nOrderedDict\n" + TENSOR + b"\x85R"),
        "calls 'collections OrderedDict'",
    ),
    "attributes": (file_with(TENSOR + b"}b"), "sets attributes"),
    "a text": (file_with(text("weights")), "does not hold a dictionary of tensors"),
    "no dictionary": (BEGIN + b"\x80\x02" + TENSOR + b"." + pickle.dumps(["0"], 2), "does not hold a dictionary"),
    "a tuple as a key": (BEGIN + b"\x80\x02" + DICTIONARY + b")" + TENSOR + b"s.", "keys are not texts"),
    "other numbers": (file_with(TENSOR.replace(b"FloatStorage", b"QInt8Storage")), "type that is not supported"),
    "a part of a storage": (file_with(TENSOR.replace(b"NtQ", b")tQ")), "not a whole storage"),
    "a tensor beyond its storage": (file_with(tensor(STORED, 0, (7,), (1,))), "beyond its storage"),
    "a far corner": (file_with(tensor(STORED, 1, (2, 3), (3, 1))), "beyond its storage"),
    "more elements than numbers": (file_with(tensor(STORED, 0, (2**30, 2**30), (0, 0))), "beyond its storage"),
    "a negative stride": (
        file_with(tensor(STORED, 5, (2,), (1,)).replace(b"(K\x01t\x89", b"(J\xff\xff\xff\xfft\x89")),
        "-1",
    ),
    "an empty tensor": (file_with(tensor(STORED, 0, (0, 2**40 % 2**31), (1, 1))), "is empty"),
    "fewer strides": (file_with(tensor(STORED, 0, (2, 3), (1,))), ""),
    "another storage": (file_of({"a": TENSOR}, {"1": NUMBERS}), "list of storages"),
    "a storage too many": (file_of({"a": TENSOR}, {"0": NUMBERS, "1": NUMBERS}), "list of storages"),
    "a storage of two lengths": (
        file_of({"a": TENSOR, "b": tensor(storage("0", "Float", 5), 0, (2,), (1,))}, {"0": NUMBERS}),
        "described in two ways",
    ),
    "a shorter storage": (file_of({"a": TENSOR}, {"0": NUMBERS[:5]}), "5 elements instead of 6"),
    "a cut": (WHOLE[:-1], ""),
    "a cut pickle": (WHOLE[: len(BEGIN) + 40], ""),
    "something behind": (WHOLE + b"\0", "continues after"),
    "a memo from nowhere": (file_with(b"h\x63"), ""),
    "a stack too short": (file_with(b"R"), ""),
    "tuples in tuples": (file_with(b")" + b"2\x86" * 9), r"\(DUP\)"),
    "a length of gigabytes": (file_with(b"X" + struct.pack("<I", 2**32 - 1)), ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[case]
    with pytest.raises(KerasDrError, match=rf"some\.pth cannot be read as a PyTorch file.*{message}"):
        read(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_deep_nesting_is_refused_fast(tmp_path: Path) -> None:
    """Each tuple holds the previous tuple twice, so the last has 2 ** 200 members in all."""
    doubled = b")" + b"q\x00h\x00\x86" * 200
    with pytest.raises(KerasDrError, match="does not hold a dictionary of tensors"):
        read(tmp_path, file_with(doubled))
    with pytest.raises(KerasDrError, match="does not hold a dictionary of tensors"):
        read(tmp_path, file_with(b")" + b"\x85" * 100_000))


def test_the_newer_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"ZIP format of PyTorch 1\.6.*_use_new_zipfile_serialization=False"):
        read(tmp_path, b"PK\x03\x04" + bytes(40))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="There is no file"):
        read_tensors(tmp_path / "none.pth")


def test_the_arrays_are_read_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read(tmp_path, WHOLE)["a"][0] = 1
