"""Small pictures as files."""

import cv2
import numpy as np

SIZE = 32  # of the prepared photographs that tests share


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """File bytes of uint8 or uint16 grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4)."""
    if image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation tag (TIFF 6.0: one short, tag 0x0112)."""
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    body = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + tag + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]
