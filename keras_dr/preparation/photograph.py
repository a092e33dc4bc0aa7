"""Reads, checks, prepares, measures and writes one photograph of a Prepared set, in a worker process."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders, preprocessing, quality
from keras_dr.core.decoding import decode_mask
from keras_dr.core.encoding import encode_png
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import split_frame
from keras_dr.core.image_files import printable
from keras_dr.core.preprocessing import Photograph, Preprocessing
from keras_dr.datasets.records import Record, read_bytes
from keras_dr.preparation.duplicates import copy_square, perceptual_hash

Row = dict[str, Any]
_LONGEST_ID = 230  # bytes; file systems allow 255 in a name, and "." and ".png.<pid>.tmp" are added while it is written


class _UnusableError(Exception):
    """A photograph cannot be used; the text says why."""


def write_photograph(record: Record, *, source: Path, folder: Path, spec: Preprocessing) -> Row:
    """Write one photograph's PNG and masks below `folder`.

    Args:
        record: the photograph.
        source: the folder to which the path in the row is relative.
        folder: the folder of the Prepared set.
        spec: the preprocessing.

    Returns:
        The photograph's row of the manifest and its "stamp", see `source_stamp`; or, if it cannot be used, its
        image_id, source and the reason.

    Raises:
        OSError: the result cannot be written.
    """
    row: Row = {"image_id": record.image_id, "source": source_name(record, source)}
    stamp = source_stamp(record)
    try:
        if len(os.fsencode(record.image_id)) > _LONGEST_ID:
            raise _UnusableError(f"Its name is longer than {_LONGEST_ID} bytes.")
        data, photograph = _read(record, spec)
        image, fundus = preprocessing.prepare_photograph(photograph, spec)
        masks = _prepare_masks(record, photograph, spec.size)
        plain = preprocessing.prepare_photograph(photograph, replace(spec, enhance="none"))[0]
    except (_UnusableError, MemoryError, cv2.error) as error:
        return row | {"reason": str(error) or type(error).__name__}
    folders.write_bytes(folder / "images" / f"{record.image_id}.png", encode_png(image))
    for lesion, mask in masks.items():
        (folder / "masks" / lesion).mkdir(parents=True, exist_ok=True)
        folders.write_bytes(folder / "masks" / lesion / f"{record.image_id}.png", encode_png(mask))
    pixels = hashlib.sha256(repr(photograph.shape).encode())
    pixels.update(np.ascontiguousarray(photograph.pixels).data)
    square = copy_square(photograph)
    inside = preprocessing.circle_mask(spec.size) if fundus else np.ones((spec.size, spec.size), bool)
    return row | {
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "pixels_sha256": pixels.hexdigest(),
        "perceptual_hash": "" if square is None else perceptual_hash(square),
        "fundus_x": f"{fundus.x:.2f}" if fundus else "",
        "fundus_y": f"{fundus.y:.2f}" if fundus else "",
        "fundus_radius": f"{fundus.radius:.2f}" if fundus else "",
        "stretched": "{1}x{0}".format(*photograph.stretched) if photograph.stretched else "",
        **quality.measure(plain, inside),
        "stamp": stamp,
    }


def read_copy_square(record: Record, spec: Preprocessing) -> NDArray[np.uint8]:
    """Read a photograph that has a perceptual hash again, and return its `duplicates.copy_square`.

    Args:
        record: the photograph.
        spec: the preprocessing.

    Returns:
        uint8 RGB (64, 64, 3).

    Raises:
        KerasDrError: the photograph can no longer be read.
    """
    try:
        image = copy_square(_read(record, spec)[1])
    except _UnusableError as error:
        image = None
        fault = str(error)
    else:
        fault = "It is smaller now."
    if image is None:
        message = f"The photograph {record.path} has changed since it was prepared. {fault.rstrip('.')}."
        raise KerasDrError(message, "Give the command again; it continues from here.")
    return image


def source_stamp(record: Record) -> list[list[int]]:
    """Return a stamp by which a changed file is noticed.

    Args:
        record: the photograph.

    Returns:
        [size in bytes, time of the last change in ns] of its file and of each mask; [] for a file that does not exist.
    """
    return [_stamp(file) for file in (record.path, *record.masks.values())]


def _stamp(file: Path) -> list[int]:
    try:
        status = split_frame(file)[0].stat()
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns]


def source_name(record: Record, source: Path) -> str:
    """Return a photograph's path relative to the data set's folder, or to the folder of its table, for the manifest.

    A name that is not UTF-8 does not lead back to its file, nor does one that would identify a patient; only `show` and
    the robustness figures open it, and report that.

    Args:
        record: the photograph.
        source: the data set's folder or table.
    """
    path = Path(record.shown_path) if record.shown_path else record.path
    return printable(Path(os.path.relpath(path, source if source.is_dir() else source.parent)).as_posix())


def _read(record: Record, spec: Preprocessing) -> tuple[bytes, Photograph]:
    """Return the bytes of the file and the decoded photograph."""
    try:
        data = read_bytes(record)
        photograph = preprocessing.read_photograph(data, spec)
    except IsADirectoryError as error:
        raise _UnusableError("It is a folder, not a photograph.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise _UnusableError(getattr(error, "strerror", None) or str(error)) from error
    except KerasDrError as error:
        raise _UnusableError(error.message) from error
    if photograph.several:
        raise _UnusableError("The picture shows two fundi, and it is unknown to which of them the grade belongs.")
    return data, photograph


def _prepare_masks(record: Record, photograph: Photograph, size: int) -> dict[str, NDArray[np.uint8]]:
    """Return lesion -> uint8 (S, S), 255 where the lesion covers the whole pixel."""
    masks = {}
    for lesion, file in record.masks.items():
        try:
            mask = decode_mask(file.read_bytes()).astype(np.uint8) * 255
        except OSError as error:
            raise _UnusableError(f"mask {printable(file.name)}: {error.strerror or error}") from error
        except KerasDrError as error:
            raise _UnusableError(f"mask {printable(file.name)}: {error.message}") from error
        if mask.shape != photograph.shape:
            sizes = f"{mask.shape}, the photograph {photograph.shape}"
            raise _UnusableError(f"mask {printable(file.name)} has the shape {sizes}")
        if photograph.stretched:
            mask = preprocessing.stretch(mask, photograph.stretched)
        masks[lesion] = preprocessing.crop_square(mask, photograph.fundus, size)
    return masks
