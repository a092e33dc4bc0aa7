"""Record: one photograph of one eye of one patient, and its grade, as a data set publishes it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import read_file

SPLITS = ("train", "val", "test")
_SMALL = 64 << 20  # bytes; an array may always unpack to this size
_RATIO = 100  # a larger array may unpack to this many times its packed size
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Record:
    """One photograph.

    Attributes:
        image_id: unique in its data set, and safe as a file name (letters, digits, ".", "_", "-").
        path: the photograph's file, or the .npz file that holds it, or a frame of a DICOM file (`core.frames`).
        grade: ICDR grade 0..4, 5 (`grades.UNGRADABLE`), or None if the data set gives no grade.
        patient_id: shared by the photographs of one patient; the image_id if the patient is unknown.
        eye: "left" or "right"; "" if unknown.
        split: "train", "val" or "test"; "" if the data set has no official split.
        masks: lesion -> mask file.
        label: the class in the data set's own words; "" if it gives only a grade, or nothing.
        member: in an .npz file, the name of the array and the photograph's row in it; otherwise None.
        neighbours: photographs with the same text here may be of one patient, so they stay in one split; "": none.
        shown_path: the path that results name instead of `path`, because that one would identify the patient; "": the
            path itself.
        origin: the place of this record in the data set, such as "line 3 of labels.csv", for messages; it does not
            count when records are compared.
    """

    image_id: str
    path: Path
    grade: int | None
    patient_id: str = ""
    eye: str = ""
    split: str = ""
    masks: Mapping[str, Path] = field(default_factory=dict)
    label: str = ""
    member: tuple[str, int] | None = None
    neighbours: str = ""
    shown_path: str = field(default="", repr=False)
    origin: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.patient_id:
            object.__setattr__(self, "patient_id", self.image_id)
        if self.split and self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS} or empty, not {self.split!r}")


def safe_id(text: str) -> str:
    """Return a text as a file name of letters, digits, ".", "_" and "-"; other characters become "-"."""
    return re.sub(r"[^\w.-]", "-", text).lstrip(".") or "-"


def read_bytes(record: Record) -> bytes:
    """Return the bytes of a photograph's file, as `decoding.decode_rgb` takes them.

    A photograph in an .npz file is returned as a binary PGM (grey) or PPM (RGB) file. It consists of a header and the
    array's own bytes, so the same pixels always have the same hash.

    Args:
        record: the photograph.

    Raises:
        OSError: the file does not exist or cannot be read.
        KerasDrError: the .npz file or its array cannot be read.
    """
    if record.member is None:
        return read_file(record.path)
    name, row = record.member
    image = read_array(record.path, name)[row]
    kind = "P5" if image.ndim == 2 else "P6"
    return f"{kind}\n{image.shape[1]} {image.shape[0]}\n255\n".encode() + image.tobytes()


def read_array(path: Path, name: str) -> NDArray[np.generic]:
    """Return an array from an .npz file; the last array is kept in memory, as photographs are read one after another.

    In MedMNIST, images are uint8 (n, S, S) grey or (n, S, S, 3) RGB, and labels are uint8 (n, 1).

    Args:
        path: the .npz file.
        name: the name of the array.

    Raises:
        OSError: the file does not exist.
        KerasDrError: it is not an .npz file, or the array is missing, too large or holds pickled objects.
    """
    return _read_array(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read_array(path: Path, name: str, changed_ns: int) -> NDArray[np.generic]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            _check_size(archive.zip, f"{name}.npy")
            return archive[name]
    except Exception as error:  # zipfile, its decompressors and NumPy raise many kinds of errors for broken archives
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        message = f"The array {name} in {path} cannot be read: {reason}."
        raise KerasDrError(message, "Download the file again.") from error


def _check_size(archive: ZipFile, name: str) -> None:
    """Refuse an array that would fill the memory.

    That is an array that is larger than its file, or one that unpacks to more than a hundred times its packed size. The
    ratio is that of Apache POI's ZipSecureFile; photographs do not reach a tenth of it.

    Raises:
        ValueError: the array is too large.
    """
    member = archive.getinfo(name)
    if member.file_size > max(_SMALL, _RATIO * member.compress_size):
        raise ValueError(f"{member.compress_size} bytes that unpack to {member.file_size}")
    with archive.open(member) as stream:
        read_header = _HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"an array of {shape} {dtype} in {member.file_size} bytes")
