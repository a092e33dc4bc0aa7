"""Writes tensors as PyTorch's older format has them, see `keras_dr.models.torch_pickle`; no PyTorch is needed."""

import pickle
import struct
from collections.abc import Mapping

import numpy as np

MACHINE = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
STORAGES = {"f2": "Half", "f4": "Float", "f8": "Double", "i4": "Int", "i8": "Long"}
BEGIN = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, MACHINE))
DICTIONARY = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, kind: str, count: int) -> bytes:
    return (
        b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key) + text("cpu") + number(count) + b"NtQ"
    )


def tensor(stored: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    arguments = stored + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + DICTIONARY
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def file_of(items: Mapping[str, bytes], storages: Mapping[str, np.ndarray]) -> bytes:
    """A file of a dictionary, name -> pickled value, and of its storages by key."""
    content = b"\x80\x02" + DICTIONARY + b"(" + b"".join(text(name) + value for name, value in items.items()) + b"u"
    content += b"}" + text("_metadata") + b"}sb."  # attributes that PyTorch sets on it
    ends = [struct.pack("<q", values.size) + values.tobytes() for values in storages.values()]
    return BEGIN + content + pickle.dumps(list(storages), 2) + b"".join(ends)


def torch_file(tensors: Mapping[str, np.ndarray]) -> bytes:
    """As torch.save(state_dict, FILE, _use_new_zipfile_serialization=False) writes these; each has a storage."""
    items, storages = {}, {}
    for place, (name, values) in enumerate(tensors.items()):
        kept = np.asfortranarray(values) if values.ndim == 4 else values  # as published kernels lie
        strides = tuple(step // kept.itemsize for step in kept.strides)
        stored = storage(str(place), STORAGES[kept.dtype.str[1:]], kept.size)
        items[name] = tensor(stored, 0, kept.shape, strides)
        storages[str(place)] = kept.ravel("K")
    return file_of(items, storages)
