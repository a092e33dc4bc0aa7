"""Published layouts in miniature, and where the real ones lie: in the folder that KERAS_DR_DATA names.

Without it, in shared/data beside the checkout; tests that need a data set which is not there are skipped.
"""

from pathlib import Path

from drawn import encode

from keras_dr.synthetic.photographs import synthesise

PHOTOGRAPH = encode(synthesise(1, 2, size=(64, 80)).image, ".jpg")


def put(file: Path, data: bytes | str = PHOTOGRAPH) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file
