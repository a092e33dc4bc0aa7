"""Decodes image files as uint8 RGB, JPEG also at a reduced scale.

Refused are files whose picture is truncated or damaged, and those that `headers` refuses. Needs only NumPy, OpenCV
and simplejpeg, because `edge_demo` runs this module too.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import jpeg
from keras_dr.core.dicom import unwrap
from keras_dr.core.dicom_files import is_dicom
from keras_dr.core.endings import check_end
from keras_dr.core.file_kinds import not_a_photograph
from keras_dr.core.headers import Header, read_header
from keras_dr.core.samples import to_eight_bits

# A KerasDrError reports a broken file; OpenCV's own messages, which name lines of its source, do not help the user.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Image = NDArray[np.uint8]

_STRIP = 256  # rows that are blended at a time
# reduction -> mode; OpenCV names no reduced RGB modes, but accepts the bit of a reduction together with that of RGB
_RGB = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_rgb(data: bytes, reduction: int = 1, header: Header | None = None, bits: int | None = None) -> Image:
    """Decode an image file of 8 or 16 bits per sample that is grey, RGB, RGBA or, as a JPEG, CMYK.

    The EXIF orientation of a JPEG is applied. Transparent pixels are blended with black.

    Args:
        data: the bytes of the file.
        reduction: one of `read_header(data).reductions`; with r, every pixel is the mean of r x r pixels.
        header: `read_header(data)` if it is already known; None: it is read.
        bits: how samples of more than eight bits are converted; see `samples.to_eight_bits`.

    Returns:
        uint8 RGB (H, W, 3); with a reduction r, (ceil(H / r), ceil(W / r), 3).

    Raises:
        KerasDrError: the file is empty, has another format, is truncated or damaged within its picture, has more than
            `MAX_PIXELS` pixels, or its samples do not fit `bits`.
    """
    if is_dicom(data):
        data = unwrap(data)[0]
    header = header or read_header(data)
    if reduction not in header.reductions:
        raise ValueError(f"reduction {reduction} is not one of {header.reductions}")
    if data.startswith(jpeg.MAGIC):
        return _decode_jpeg(data, reduction, header)
    check_end(data, header.page)
    return _to_rgb(to_eight_bits(_decode(data, header), bits, header.sample_bits))


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Decode the picture of a mask. Every value above 0 counts, because masks may hold the numbers of lesion kinds.

    Args:
        data: the bytes of the file.

    Returns:
        bool (H, W), True where the picture is not black.

    Raises:
        KerasDrError: as for `decode_rgb`.
    """
    data = unwrap(data)[0]
    header = read_header(data)
    if not data.startswith(jpeg.MAGIC):
        samples = decode_samples(data, header)
        if samples.dtype != np.uint8:
            colours = samples[..., :3] if samples.ndim == 3 else samples[..., None]
            return np.asarray((colours > 0).any(axis=2))
    return decode_rgb(data, header=header).max(axis=2) > 0


def decode_samples(data: bytes, header: Header) -> NDArray[Any]:
    """Return the samples of a file other than a JPEG, as OpenCV decodes them.

    Args:
        data: the bytes of the file.
        header: `read_header(data)`.

    Returns:
        uint8, uint16, float32 or another dtype of the file, (H, W) or (H, W, C) in BGR order.

    Raises:
        KerasDrError: the file is truncated within its picture, or cannot be decoded.
    """
    if is_dicom(data):
        data = unwrap(data)[0]
    check_end(data, header.page)
    return _decode(data, header)


def _decode(data: bytes, header: Header) -> NDArray[Any]:
    stream = np.frombuffer(data, np.uint8)
    image = None
    try:
        if header.page:
            pages = cv2.imdecodemulti(stream, cv2.IMREAD_UNCHANGED, None, (header.page, header.page + 1))[1]
            image = pages[0] if pages else None
        else:
            image = cv2.imdecode(stream, cv2.IMREAD_UNCHANGED)  # only this keeps alpha and 16 bits
    except cv2.error:
        image = None
    if image is None:
        raise not_a_photograph(data)
    return image


def _decode_jpeg(data: bytes, reduction: int, header: Header) -> Image:
    """Decode with simplejpeg if the picture is upright and its layout common, else with OpenCV after the same check."""
    frame = jpeg.check_scans(data) if jpeg.has_several_scans(data, header.components) else None
    sideways = header.orientation >= 5
    width, height = (header.height, header.width) if sideways else (header.width, header.height)
    simple = header.orientation == 1 and header.components in (1, 3)
    scale = reduction if simple else max(_RGB)
    pixels = jpeg.decode_strictly(data, width, height, scale)
    if pixels is None:
        _check_by_filling(data, width, height, frame or jpeg.check_scans(data))
        pixels = jpeg.decode_loosely(data, width, height, scale)
    return pixels if pixels is not None and simple else _opencv_jpeg(data, reduction)


def _check_by_filling(data: bytes, width: int, height: int, frame: jpeg.Frame) -> None:
    """Refuse a picture that changes if meaningless data is appended to its own, because it lacked data there."""

    def decode(content: bytes) -> Image:
        pixels = jpeg.decode_loosely(content, width, height, 1)
        return _opencv_jpeg(content, 1) if pixels is None else pixels

    if jpeg.lacks_restarts(data, frame):
        raise jpeg.truncated(len(data))
    if not frame.arithmetic and not np.array_equal(decode(data), decode(jpeg.filled(data, frame))):
        raise jpeg.truncated(len(data))


def _opencv_jpeg(data: bytes, reduction: int) -> Image:
    """Return upright RGB of any JPEG; only OpenCV's "color" modes apply EXIF orientation and convert CMYK."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB[reduction])
    except cv2.error:
        image = None
    if image is None:
        raise not_a_photograph(data)
    return image


def _to_rgb(image: Image) -> Image:
    """Return uint8 RGB (H, W, 3) from any layout that cv2.imdecode returns: grey, BGR, BGRA."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        blended = np.empty((*image.shape[:2], 3), np.uint8)
        for top in range(0, len(image), _STRIP):  # the products take four times the picture's memory
            strip = image[top : top + _STRIP]
            blended[top : top + _STRIP] = (strip[..., :3] * strip[..., 3:].astype(np.uint16) + 127) // 255
        image = blended
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
