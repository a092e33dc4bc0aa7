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

SPLITS = ("train", "val", "test")
_SMALL, _RATIO = 64 << 20, 100  # bytes that an array may always unpack to, and how many times its packed size beyond
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Record:
    """One photograph.

    Attributes:
        image_id: unique in its data set, safe as a file name (letters, digits, ".", "_", "-").
        path: the photograph's file, or the .npz file that holds it.
        grade: ICDR grade 0..4, 5 (`grades.UNGRADABLE`), or None where the data set gives none.
        patient_id: photographs of one patient share it; the image_id where the data set does not tell.
        eye: "left", "right" or "" where unknown.
        split: "train", "val", "test", or "" where the data set has no official split.
        masks: lesion kind -> mask file.
        label: the class in the data set's own words, "" where it gives a grade alone, or nothing.
        member: of an .npz file, the array's name and the photograph's row in it.
        neighbours: photographs with the same text may be of one patient, though nobody says so: no cut divides them.
        origin: where the data set says so, for messages: "line 3 of labels.csv"; the photograph is the same without it.
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
    origin: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.patient_id:
            object.__setattr__(self, "patient_id", self.image_id)
        if self.split and self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS} or empty, not {self.split!r}")


def safe_id(text: str) -> str:
    """A file name made of letters, digits, ".", "_" and "-" alone; other characters become "-"."""
    return re.sub(r"[^\w.-]", "-", text).lstrip(".") or "-"


def read_bytes(record: Record) -> bytes:
    """The photograph's bytes, as `decoding.decode_rgb` takes them.

    One out of an .npz file comes as a binary PGM (grey) or PPM (RGB): a header and the array's own bytes, so that
    nothing is encoded and the same pixels always have the same hash.

    Raises:
        OSError: no such file.
        KerasDrError: the .npz file or its array cannot be read.
    """
    if record.member is None:
        return record.path.read_bytes()
    name, row = record.member
    image = read_array(record.path, name)[row]
    kind = "P5" if image.ndim == 2 else "P6"
    return f"{kind}\n{image.shape[1]} {image.shape[0]}\n255\n".encode() + image.tobytes()


def read_array(path: Path, name: str) -> NDArray[np.generic]:
    """An array out of an .npz file, pickled objects refused; the last one read is kept, as photographs come in turn.

    Of MedMNIST: uint8 (n, S, S) grey or (n, S, S, 3) RGB images, uint8 (n, 1) labels.

    Raises:
        OSError: no such file.
        KerasDrError: no .npz file, or no such array in it.
    """
    return _read_array(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read_array(path: Path, name: str, changed_ns: int) -> NDArray[np.generic]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            _check_size(archive.zip, f"{name}.npy")
            return archive[name]
    except Exception as error:  # whatever a broken archive makes of zipfile, its decompressors and NumPy
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        message = f"The array {name} in {path} cannot be read: {reason}."
        raise KerasDrError(message, "Download the file again.") from error


def _check_size(archive: ZipFile, name: str) -> None:
    """Refuse what would fill the memory: an array larger than its file, or one that unpacks to a hundred times as much.

    The ratio is that of Apache POI's ZipSecureFile; photographs do not reach a tenth of it.

    Raises:
        ValueError: it would.
    """
    member = archive.getinfo(name)
    if member.file_size > max(_SMALL, _RATIO * member.compress_size):
        raise ValueError(f"{member.compress_size} bytes that unpack to {member.file_size}")
    with archive.open(member) as stream:
        read_header = _HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"an array of {shape} {dtype} in {member.file_size} bytes")
