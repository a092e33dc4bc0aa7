"""The number of bits that the sixteen-bit photographs of a set use, measured once for all before they are prepared."""

from collections.abc import Sequence

import cv2

from keras_dr.core.decoding import decode_samples
from keras_dr.core.dicom import unwrap
from keras_dr.core.dicom_files import is_dicom, read_start
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import split_frame
from keras_dr.core.headers import read_header
from keras_dr.core.samples import UNDECIDED, used_bits
from keras_dr.datasets.records import Record, read_bytes
from keras_dr.preparation.journal import MapRecords
from keras_dr.preparation.photograph import Row

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def choose_bits(records: Sequence[Record], spread: MapRecords) -> int:
    """Return the smallest of `samples.DEPTHS` that holds the largest sample of a set; the files' metadata counts too.

    Only PNG files of sixteen bits, TIFF and DICOM files are read. They are read again when they are prepared.

    Args:
        records: the photographs.
        spread: calls a function with each record in other processes, as `map_surviving` does.

    Returns:
        The number of bits, or `samples.UNDECIDED` if no photograph has sixteen bits.
    """
    candidates = [record for record in records if record.member is None and _may_be_deep(record)]
    measured = spread(measure_bits, candidates) if candidates else ()
    return max((row["bits"] for _, row in measured if row), default=UNDECIDED)


def measure_bits(record: Record) -> Row:
    """Return the number of bits that the samples of a photograph use.

    Args:
        record: the photograph.

    Returns:
        Its image_id, and as "bits" one of `samples.DEPTHS`, or 0 if it has not sixteen bits or cannot be read.
    """
    bits = UNDECIDED
    try:
        data = unwrap(read_bytes(record))[0]
        header = read_header(data, "largest")
        if header.deep:
            bits = used_bits(decode_samples(data, header), header.sample_bits)
    except (OSError, ValueError, KerasDrError, MemoryError, cv2.error):  # reported when it is prepared
        pass
    return {"image_id": record.image_id, "bits": bits}


def _may_be_deep(record: Record) -> bool:
    head = read_start(split_frame(record.path)[0])
    return is_dicom(head) or head.startswith(_TIFF) or (head.startswith(_PNG) and head[24:25] == b"\x10")
