"""Samples of more than eight bits become eight by one shift for a whole set; no photograph is stretched by itself."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

DEPTHS = (8, 10, 12, 14, 16)
UNDECIDED = 0
_CONVERT = "Save it as 8 or 16 bits a sample first."


def depth_of(largest: int) -> int:
    """The smallest of `DEPTHS` that holds a value of 0 to 65535."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def used_bits(image: NDArray[Any], sample_bits: int) -> int:
    """Of what OpenCV decoded, which of `DEPTHS` its samples fill, by its metadata or its largest sample; 0: no uint16.

    Args:
        image: (H, W) or (H, W, C).
        sample_bits: see `decoding.Header`.
    """
    if image.dtype != np.uint16:
        return UNDECIDED
    largest = _largest(image)
    said = (1 << sample_bits) - 1 if sample_bits else 0
    return depth_of(max(largest, said))


def to_eight_bits(image: NDArray[Any], bits: int | None, sample_bits: int = 0) -> NDArray[np.uint8]:
    """What OpenCV decoded, in eight bits a sample.

    Args:
        image: (H, W) or (H, W, C), BGR or BGRA.
        bits: how many bits the samples of sixteen-bit files use, one of `DEPTHS`: they lose the lowest of these beyond
            eight. `UNDECIDED`: what the file's metadata says, or all sixteen where its largest sample needs them.
            None, as before there was this choice: the upper eight of sixteen; other kinds from least to most.
        sample_bits: see `decoding.Header`.

    Raises:
        KerasDrError: a sample exceeds these bits, nothing says how many bits are used, or the samples are negative or
            exceed 1 as floating-point numbers.
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
        raise KerasDrError(f"The file holds {image.dtype} samples, which are not read here.", _CONVERT)
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
            f"The file holds 16-bit samples of at most {largest}, which fit {depth_of(largest)} bits: nothing says "
            "whether it is dark or uses these bits alone, as no photograph of the training set had 16 bits."
        )
        raise KerasDrError(message, "Save it as 8 bits a sample first.")
    if largest >= 1 << bits:
        message = f"The file holds a sample of {largest}, more than the {bits} bits that the set's photographs use."
        raise KerasDrError(message, "Save it as 8 bits a sample first, or prepare the set again with such files.")
    return bits


def _largest(image: NDArray[Any]) -> int:
    """The largest sample of a colour; a transparent mask says nothing of the camera."""
    colours = image[..., :3] if image.ndim == 3 else image
    return int(colours.max())
