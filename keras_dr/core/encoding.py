"""Encoding of the files that results consist of as bytes: CSV, PNG and NPZ."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def encode_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a table in UTF-8 with a header; further keys of the rows are left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return PNG bytes of an image, uint8 grey (S, S) or RGB (S, S, 3)."""
    encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
    return encoded.tobytes()


def encode_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an uncompressed NumPy archive of named arrays, such as heat maps float32 (classes, h, w)."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type] # NumPy's stub takes every keyword for its own argument
    return stream.getvalue()
