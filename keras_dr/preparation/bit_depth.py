"""How many bits the sixteen-bit photographs of a set use, found once for all of them before they are prepared."""

from collections.abc import Sequence

import cv2

from keras_dr.core.decoding import decode_samples, read_header
from keras_dr.core.errors import KerasDrError
from keras_dr.core.samples import UNDECIDED, used_bits
from keras_dr.datasets.records import Record, read_bytes
from keras_dr.preparation.journal import MapRecords
from keras_dr.preparation.photograph import Row

_HEAD = 32  # bytes of a PNG that hold the number of bits
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def choose_bits(records: Sequence[Record], spread: MapRecords) -> int:
    """The smallest of `samples.DEPTHS` that holds the largest sample of a set, or what the files' metadata says.

    Only PNG files of sixteen bits and TIFF files are read, each a first time.

    Args:
        records: the photographs.
        spread: calls a function with each record, elsewhere, as `map_surviving` does in other processes.

    Returns:
        `samples.UNDECIDED` where no photograph has sixteen bits.
    """
    candidates = [record for record in records if record.member is None and _may_be_deep(record)]
    found = spread(measure_bits, candidates) if candidates else ()
    return max((row["bits"] for _, row in found if row), default=UNDECIDED)


def measure_bits(record: Record) -> Row:
    """The bits that a photograph's samples use, of `samples.DEPTHS`; 0 where it has not sixteen, or cannot be read."""
    bits = UNDECIDED
    try:
        data = read_bytes(record)
        header = read_header(data, "largest")
        if header.deep:
            bits = used_bits(decode_samples(data, header), header.sample_bits)
    except (OSError, ValueError, KerasDrError, MemoryError, cv2.error):  # told when it is prepared
        pass
    return {"image_id": record.image_id, "bits": bits}


def _may_be_deep(record: Record) -> bool:
    try:
        with record.path.open("rb") as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return False
    return head.startswith(_TIFF) or (head.startswith(_PNG) and head[24:25] == b"\x10")
