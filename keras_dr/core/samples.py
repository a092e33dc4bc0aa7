"""Converts samples of more than eight bits to eight bits, with the same shift for all photographs of a set."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

DEPTHS = (8, 10, 12, 14, 16)
UNDECIDED = 0
_CONVERT = "Save it with 8 or 16 bits per sample first."


def depth_of(largest: int) -> int:
    """Return the smallest of `DEPTHS` in which a value from 0 to 65535 can be stored."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def used_bits(image: NDArray[Any], sample_bits: int) -> int:
    """Return the number of bits that the samples of an image use, by its metadata and its largest sample.

    Args:
        image: (H, W) or (H, W, C), as OpenCV decoded it.
        sample_bits: see `headers.Header`.

    Returns:
        One of `DEPTHS`, or 0 if the samples are not uint16.
    """
    if image.dtype != np.uint16:
        return UNDECIDED
    largest = _largest(image)
    largest_by_metadata = (1 << sample_bits) - 1 if sample_bits else 0
    return depth_of(max(largest, largest_by_metadata))


def to_eight_bits(image: NDArray[Any], bits: int | None, sample_bits: int = 0) -> NDArray[np.uint8]:
    """Convert the samples of an image to eight bits.

    Args:
        image: (H, W) or (H, W, C), BGR or BGRA, as OpenCV decoded it.
        bits: how many bits the samples of sixteen-bit files use, one of `DEPTHS`; the upper eight of these are kept.
            `UNDECIDED`: as many as the file's metadata says, or sixteen if its largest sample needs them. None, as in
            older versions: the upper eight of sixteen are kept, and other types are scaled from their least value to
            their largest.
        sample_bits: see `headers.Header`.

    Returns:
        uint8 of the same shape.

    Raises:
        KerasDrError: a sample exceeds `bits`, it is unknown how many bits are used, or the samples are floating-point
            numbers that are negative or exceed 1.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        bits = 16 if bits is None else _bits(image, bits, sample_bits)
        if image.ndim == 3 and image.shape[2] == 4 and bits < 16:
            colours = (image[..., :3] >> (bits - 8)).astype(np.uint8)
            return np.dstack([colours, (image[..., 3] >> 8).astype(np.uint8)])
        return (image >> (bits - 8)).astype(np.uint8)
    if bits is None:
        return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    if not np.issubdtype(image.dtype, np.floating):
        raise KerasDrError(f"The file holds {image.dtype} samples, which cannot be read.", _CONVERT)
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        message = f"The file holds floating-point samples from {image.min():g} to {image.max():g}, not from 0 to 1."
        raise KerasDrError(message, _CONVERT)
    return np.rint(image * 255).astype(np.uint8)


def _bits(image: NDArray[Any], bits: int, sample_bits: int) -> int:
    largest = _largest(image)
    if sample_bits == 16:
        return 16
    if bits == UNDECIDED and (sample_bits or largest >= 1 << 14):
        return depth_of(max(largest, (1 << sample_bits) - 1))
    if bits == UNDECIDED:
        message = (
            f"The file holds 16-bit samples of at most {largest}, which fit {depth_of(largest)} bits. It may be dark "
            "or use only these bits; this is unknown, because no photograph of the training set had 16 bits."
        )
        raise KerasDrError(message, "Save it with 8 bits per sample first.")
    if largest >= 1 << bits:
        message = f"The file holds a sample of {largest}, more than the {bits} bits that the set's photographs use."
        raise KerasDrError(message, "Save it with 8 bits per sample first, or prepare the set again with such files.")
    return bits


def _largest(image: NDArray[Any]) -> int:
    """Return the largest sample of a colour; transparency does not depend on the camera."""
    colours = image[..., :3] if image.ndim == 3 else image
    return int(colours.max())
