"""Photographs for the comparison of processors: drawn ones, in each format that is read, and those of IDRiD."""

from pathlib import Path

import cv2
import numpy as np

from keras_dr.synthetic.photographs import synthesise

_SETTINGS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}


def draw(folder: Path) -> None:
    """Write drawn photographs to a folder: several grades and sizes as JPEG, and one in each other format."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [(712, 1072), (1424, 2144), (480, 640), (300, 300), (1000, 1500)]
    for number, shape in enumerate(sizes):
        _write(folder / f"grade-{number}.jpg", synthesise(number, number, "left", shape).image)
    eye = synthesise(7, 3, "right", (470, 703)).image
    for suffix in (".png", ".tif", ".bmp", ".webp", ".ppm"):
        _write(folder / f"format{suffix}", eye)
    _write(folder / "sixteen-bits.png", eye.astype(np.uint16) * 257)
    _write(folder / "sixteen-bits.tif", eye.astype(np.uint16) * 257)
    _write(folder / "squashed.jpg", cv2.resize(eye, (703, 620), interpolation=cv2.INTER_LINEAR_EXACT))
    _write(folder / "cut-off.jpg", eye[60:-60])
    _write(folder / "dark.jpg", eye // 5)
    _write(folder / "no-fundus.jpg", eye[180:300, 300:400])
    grey = cv2.cvtColor(eye, cv2.COLOR_RGB2GRAY)
    _write(folder / "grey.jpg", np.dstack([grey, grey, grey]))
    (folder / "grey.pgm").write_bytes(cv2.imencode(".pgm", grey)[1].tobytes())
    whole = (folder / "grade-0.jpg").read_bytes()
    (folder / "cut-short.jpg").write_bytes(whole[: len(whole) // 2])


def _write(file: Path, image: np.ndarray) -> None:
    """Write uint8 or uint16 RGB (H, W, 3)."""
    file.write_bytes(cv2.imencode(file.suffix, image[..., ::-1], _SETTINGS.get(file.suffix, []))[1].tobytes())
