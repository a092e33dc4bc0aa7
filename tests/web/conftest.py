"""Fixtures of the tests of the web page."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_files import EYE, saved
from web_page import EXAMPLES

import keras_dr as dr
from keras_dr.synthetic.photographs import synthesise


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dr.export_web("idrid-lite", tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Published photographs, drawn ones with faults, and files that are refused."""
    folder = tmp_path_factory.mktemp("photographs")
    wide = synthesise(2, 1, "left", (712, 1072)).image
    drawn = {
        "drawn.jpg": wide,
        "dark.jpg": wide // 6,
        "blurred.jpg": cv2.GaussianBlur(wide, (0, 0), 12),
        "squashed.jpg": cv2.resize(wide, (712, 712)),
        "two.jpg": np.concatenate([wide[::2, ::2]] * 2, axis=1),
        'grey, "all" over.png': np.full((300, 400, 3), 128, np.uint8),
    }
    for name, image in drawn.items():
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, image[..., ::-1])[1].tobytes())
    jpeg = cv2.imencode(".jpg", EYE[..., ::-1])[1].tobytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no photograph")
    (folder / "gif.jpg").write_bytes(saved("GIF"))
    huge = bytearray(jpeg)
    frame = jpeg.index(b"\xff\xc0")
    huge[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"  # height and width
    (folder / "huge.jpg").write_bytes(huge)
    for example in EXAMPLES.glob("*.jpg"):
        shutil.copy(example, folder)
    return sorted(folder.iterdir())
