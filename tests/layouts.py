"""Published layouts in miniature, and where the real ones lie."""

import os
from pathlib import Path

from conftest import encode

from keras_dr.synthetic import synthesise

SHARED = Path(os.environ.get("KERAS_DR_DATA", Path(__file__).parents[2] / "shared" / "data"))
PHOTOGRAPH = encode(synthesise(1, 2, size=(64, 80)).image, ".jpg")


def put(file: Path, data: bytes | str = PHOTOGRAPH) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file
