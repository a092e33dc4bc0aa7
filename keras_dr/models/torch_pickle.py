"""Read tensors from a .pth file in PyTorch's older format, without PyTorch and without running code from the file.

Up to version 1.5, `torch.save` wrote one file of several pickles (torch/serialization.py calls the format "legacy"):
a magic number, the format's version, facts about the machine, the object itself, and the list of its storages' keys.
Then each storage follows, in the order of this list, as its number of elements (int64) and its elements.

A pickle is a program that can call anything that Python can import, so the module `pickle` is not used. `_Reader`
executes only the opcodes that a dictionary of tensors needs, and accepts only the names in `_ITEM_TYPES`, `_DICTIONARY`
and `_TENSOR`. It can make texts, integers, tuples, lists, dictionaries and descriptions of tensors, and nothing else.
"""

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError, brief

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
_ITEM_TYPES = {
    "torch HalfStorage": "<f2",
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch IntStorage": "<i4",
    "torch LongStorage": "<i8",
}
_DICTIONARY = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_LARGEST = 1 << 30  # largest number of bytes of a file; EfficientNet-Lite4 has 52 million
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class _Global:
    """A function or class that the pickle names, as "module name"."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A block of numbers after the pickles in the file."""

    key: str
    item_type: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A part of a storage: its first element, and the step of each axis in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()  # marks on the stack where a group of values begins


def read_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict (`torch.save(model.state_dict(), file)`), by name.

    Args:
        file: .pth in the format of PyTorch before version 1.6.

    Returns:
        Name -> array of the tensor's shape and its own type (float16, float32, float64, int32 or int64); not writable.

    Raises:
        KerasDrError: the file does not exist, has another format, or holds something other than a dictionary of
            tensors.
        OSError: the file cannot be read.
    """
    if not file.is_file():
        raise KerasDrError(f"There is no file {file}.", "Correct its name.")
    if file.stat().st_size > _LARGEST:
        raise _refusal(file, f"it has more than {_LARGEST} bytes")
    data = file.read_bytes()
    if data.startswith(_ZIP):
        remedy = "Save it again with torch.save(state, FILE, _use_new_zipfile_serialization=False)."
        raise KerasDrError(f"{file} is in the ZIP format of PyTorch 1.6 and later, which is not supported.", remedy)
    try:
        return _read(data)
    except (ValueError, LookupError, TypeError, struct.error) as error:
        raise _refusal(file, str(error) or type(error).__name__) from error


def _refusal(file: Path, reason: str) -> KerasDrError:
    remedy = "Download the published file again, and check that the download is complete."
    return KerasDrError(f"{file} cannot be read as a PyTorch file of tensors: {reason}.", remedy)


def _read(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file's content.

    Raises:
        ValueError, LookupError, TypeError, struct.error: the content is damaged or has another format.
    """
    stream = io.BytesIO(data)
    magic = _Reader(stream).read()
    if magic != MAGIC or type(magic) is not int:
        raise ValueError("it does not begin with PyTorch's magic number")
    version = _Reader(stream).read()
    if version != VERSION or type(version) is not int:
        raise ValueError(f"its version is not {VERSION}")
    machine = _Reader(stream).read()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was not written by a little-endian machine")
    content = _Reader(stream).read()
    if not isinstance(content, dict) or not all(isinstance(value, _Tensor) for value in content.values()):
        raise ValueError("it does not hold a dictionary of tensors")
    storages = _read_storages(data, stream, content)
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in content.items()}


def _read_storages(data: bytes, stream: io.BytesIO, content: dict[str, _Tensor]) -> dict[str, NDArray[Any]]:
    """Return key -> numbers of each storage, as views of `data`."""
    described: dict[str, _Storage] = {}
    for tensor in content.values():
        storage = tensor.storage
        if described.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {brief(storage.key)} is described in two ways")
    keys = _Reader(stream).read()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(described):
        raise ValueError("its list of storages does not fit its tensors")
    storages = {}
    position = stream.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", data, position)
        if count != described[key].count:
            raise ValueError(f"storage {brief(key)} has {count} elements instead of {described[key].count}")
        storages[key] = np.frombuffer(data, described[key].item_type, count, position + 8)
        position += 8 + storages[key].nbytes
    if position != len(data):
        raise ValueError("it continues after its last storage")
    return storages


def _array(tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    """Return the tensor as a view of its storage, where its axes may have any order, as in published weights."""
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= len(storage) or prod(tensor.shape) > len(storage):  # elements would be used twice
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)


class _Reader:
    """Executes one pickle from a stream, with only the opcodes in `_OPCODES`.

    The keys of dictionaries must be texts, because the hash of nested tuples could take forever.
    """

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        """Return the value that the pickle builds; the stream is then at its end."""
        for opcode, argument, _ in pickletools.genops(self._stream):
            if opcode.name not in _OPCODES:
                raise ValueError(f"it has an opcode that no dictionary of tensors needs ({opcode.name})")
            _OPCODES[opcode.name](self, argument)
        (value,) = self._stack
        return value

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self, kind: type | tuple[type, ...] = object) -> Any:
        value = self._stack.pop()
        if value is _MARK or not isinstance(value, kind):
            raise TypeError(f"its pickle has a value of type {brief(type(value).__name__)} in the wrong place")
        return value

    def pop_group(self) -> list[Any]:
        """Remove and return the values above the last mark."""
        group: list[Any] = []
        value = self._stack.pop()
        while value is not _MARK:
            group.append(value)
            value = self._stack.pop()
        return group[::-1]

    def put(self, index: int) -> None:
        if self._stack[-1] is _MARK:
            raise TypeError("its pickle stores a mark")
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(values[::-1]))

    def append(self, values: list[Any]) -> None:
        target = self.pop(list)
        target += values
        self.push(target)

    def set_items(self, pairs: list[Any]) -> None:
        target = self.pop(dict)
        if len(pairs) % 2 or not all(isinstance(name, str) for name in pairs[::2]):
            raise TypeError("it has a dictionary whose keys are not texts")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))
        self.push(target)

    def set_item(self) -> None:
        value = self.pop()
        name = self.pop()
        self.set_items([name, value])

    def load_storage(self) -> None:
        """Replace an id by its storage: kind, type, key, device, number of elements, part of another storage."""
        kind, item_type, key, _, count, part = self.pop(tuple)
        if kind != "storage" or part is not None or not isinstance(item_type, _Global) or not isinstance(key, str):
            raise ValueError(f"it refers to something that is not a whole storage: {brief(kind)}")
        if item_type.name not in _ITEM_TYPES:
            raise ValueError(f"its numbers have a type that is not supported: {brief(item_type.name)}")
        self.push(_Storage(key, _ITEM_TYPES[item_type.name], _natural(count)))

    def call(self) -> None:
        """Make an empty dictionary or a tensor; refuse any other call."""
        arguments = self.pop(tuple)
        function = self.pop(_Global)
        if function.name == _DICTIONARY and not arguments:
            self.push({})
        elif function.name == _TENSOR:
            storage, offset, shape, strides, _, _ = arguments
            self.push(_tensor(storage, offset, shape, strides))
        else:
            raise ValueError(f"it calls {brief(function.name)}")

    def set_state(self) -> None:
        """Drop the attributes of a dictionary, which are versions of PyTorch's modules and not needed."""
        self.pop()
        if not isinstance(self._stack[-1], dict):
            raise TypeError("it sets attributes of a value that is not a dictionary")


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"a number of elements is {brief(value)}")
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise TypeError("a tensor has no storage or no shape")
    if 0 in shape:
        raise ValueError("a tensor is empty")
    checked_shape = tuple(_natural(side) for side in shape)
    checked_strides = tuple(_natural(stride) for stride in strides)
    return _Tensor(storage, _natural(offset), checked_shape, checked_strides)


_Operation = Callable[[_Reader, Any], None]


def _push(value: Callable[[Any], Any]) -> _Operation:
    """Return an operation that pushes what `value` makes of the opcode's argument."""
    return lambda reader, argument: reader.push(value(argument))


_push_argument = _push(lambda argument: argument)
_OPCODES: dict[str, _Operation] = {
    **dict.fromkeys(("PROTO", "STOP"), lambda reader, argument: None),
    **dict.fromkeys(("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"), _push_argument),
    "NONE": _push(lambda argument: None),
    "NEWTRUE": _push(lambda argument: True),
    "NEWFALSE": _push(lambda argument: False),
    "EMPTY_TUPLE": _push(lambda argument: ()),
    "EMPTY_LIST": _push(lambda argument: []),
    "EMPTY_DICT": _push(lambda argument: {}),
    "GLOBAL": _push(_Global),
    "MARK": lambda reader, argument: reader.push(_MARK),
    "TUPLE": lambda reader, argument: reader.push(tuple(reader.pop_group())),
    "TUPLE1": lambda reader, argument: reader.tuple_of(1),
    "TUPLE2": lambda reader, argument: reader.tuple_of(2),
    "TUPLE3": lambda reader, argument: reader.tuple_of(3),
    "APPEND": lambda reader, argument: reader.append([reader.pop()]),
    "APPENDS": lambda reader, argument: reader.append(reader.pop_group()),
    "SETITEM": lambda reader, argument: reader.set_item(),
    "SETITEMS": lambda reader, argument: reader.set_items(reader.pop_group()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Reader.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Reader.get),
    "BINPERSID": lambda reader, argument: reader.load_storage(),
    "REDUCE": lambda reader, argument: reader.call(),
    "BUILD": lambda reader, argument: reader.set_state(),
}
