"""The kinds of file that results are made of, as bytes: CSV, PNG and NPZ."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def encode_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A table in UTF-8 with a header; what rows hold beside these columns is left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 (S, S) or RGB (S, S, 3)."""
    encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
    return encoded.tobytes()


def encode_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """NumPy's archive of named arrays, uncompressed; here heat maps float32 (classes, h, w)."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type] # NumPy's stub takes any keyword for its own
    return stream.getvalue()
