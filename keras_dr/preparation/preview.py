"""Pictures of a Prepared set: a contact sheet of its classes, and a photograph next to its prepared image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import read_file
from keras_dr.core.headers import read_header
from keras_dr.core.names import class_words
from keras_dr.core.preprocessing import stretch
from keras_dr.preparation.prepared_set import PreparedSet

Image = NDArray[np.uint8]
_PREVIEWED = 6  # photographs per class
_TITLE = 28  # height in pixels of the line above a panel
_LEAST_SIDE = 320  # in pixels, of a panel, so that its title can be read
_WHITE = (255, 255, 255)
# RGB colours that can be distinguished on orange and on black; the lesions take them in turn.
_COLOURS = ((0, 114, 255), (0, 230, 118), (255, 64, 200), (255, 235, 59), (0, 229, 255), (255, 255, 255))


def draw_preview(folder: Path, rows: Sequence[Mapping[str, Any]], classes: Sequence[str], size: int) -> Image:
    """Draw one line per class: its name and some of its photographs.

    Args:
        folder: the folder whose images/ holds the photographs.
        rows: the rows of the manifest.
        classes: the names of the classes.
        size: side of the prepared photographs in pixels.

    Returns:
        uint8 RGB (H, W, 3).
    """
    side = min(max(size, 96), 160)  # large enough to read the names
    lines = []
    for name in classes:
        label = np.zeros((side, side, 3), np.uint8)
        words = _class_words(name)
        cv2.putText(label, words, (6, side // 2), cv2.FONT_HERSHEY_SIMPLEX, side / 320, _WHITE, 1, cv2.LINE_AA)
        chosen = [row for row in rows if row["label"] == name][:_PREVIEWED]
        files = [folder / "images" / f"{row['image_id']}.png" for row in chosen]
        images = [decode_rgb(file.read_bytes()) for file in files]
        interpolation = cv2.INTER_AREA if size > side else cv2.INTER_NEAREST
        tiles = [cv2.resize(image, (side, side), interpolation=interpolation) for image in images]
        tiles += [np.zeros_like(label)] * (_PREVIEWED - len(tiles))
        lines.append(np.hstack([label, *tiles]))
    return np.vstack(lines)


def _class_words(name: str) -> str:
    """Return the name of a class as words; a photograph without a class is not graded."""
    return class_words(name) or "not graded"


def draw_photograph(data: PreparedSet, image_id: str) -> tuple[Image, str]:
    """Draw a photograph with its fundus circle, the prepared image and its masks, side by side.

    Args:
        data: the Prepared set.
        image_id: the id of the photograph.

    Returns:
        uint8 RGB (H, W, 3), and a sentence that says why the original photograph is missing ("" if it is not).

    Raises:
        KerasDrError: the set has no photograph with this id.
    """
    index = data.index_of(image_id)
    row = data.rows[index]
    image = data.image(index)
    masks = data.masks(index)
    side = max(_LEAST_SIDE, image.shape[0])
    panels = {}
    missing = ""
    try:
        panels[f"{image_id}: original"] = _original(data, row, side)
    except (OSError, KerasDrError) as error:
        missing = f"The original {data.source / row['source']} is not shown: {error}"
    title = f"prepared: {_class_words(row['label'])}, {row['split']}"
    if row["reasons"]:
        title += f", {row['reasons']}"
    panels[title] = _enlarge(image, side)
    if masks:
        panels["masks"] = _draw_masks(image, masks, side)
    return _side_by_side(panels), missing


def _original(data: PreparedSet, row: Mapping[str, str], height: int) -> Image:
    """Return the original photograph, `height` pixels high, with the fundus circle."""
    content = read_file(data.source / row["source"])
    spec = data.preprocessing
    photograph = decode_rgb(content, header=read_header(content, spec.page), bits=spec.bits)
    if row.get("stretched"):
        width, height = map(int, row["stretched"].split("x"))
        photograph = stretch(photograph, (height, width))
    scale = height / photograph.shape[0]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(photograph, (max(1, round(photograph.shape[1] * scale)), height), interpolation=interpolation)
    circle = [float(row[key]) for key in ("fundus_x", "fundus_y", "fundus_radius") if row[key]]
    if len(circle) == 3:
        x, y = (round((place + 0.5) * scale - 0.5) for place in circle[:2])
        cv2.circle(shown, (x, y), round(circle[2] * scale), _COLOURS[1], 2, cv2.LINE_AA)
    return shown


def _enlarge(image: NDArray[Any], side: int) -> NDArray[Any]:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST) if image.shape[0] < side else image


def _draw_masks(image: Image, masks: Mapping[str, NDArray[np.float32]], side: int) -> Image:
    """Draw the prepared image in dim grey, each lesion in its colour, and a legend."""
    grey = cv2.cvtColor(cv2.cvtColor(_enlarge(image, side), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = grey.astype(np.float32) * np.float32(0.5)
    colours = {lesion: _COLOURS[number % len(_COLOURS)] for number, lesion in enumerate(masks)}
    for lesion, mask in masks.items():
        cover = _enlarge(mask, side)[..., None]
        shown = shown * (1 - cover) + cover * np.array(colours[lesion], np.float32)
    drawn = np.rint(shown).astype(np.uint8)
    for number, (lesion, colour) in enumerate(colours.items()):
        place = (6, side - 8 - 16 * (len(colours) - 1 - number))
        cv2.putText(drawn, lesion.replace("_", " "), place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return drawn


def _side_by_side(pictures: Mapping[str, Image]) -> Image:
    """Put pictures of one height, uint8 RGB (S, W, 3), side by side, with their titles above: uint8 RGB (H, W, 3)."""
    return np.hstack([_panel(title, picture) for title, picture in pictures.items()])


def _panel(title: str, image: Image) -> Image:
    """Return the image with its title above and a small black margin on the right."""
    bar = np.zeros((_TITLE, image.shape[1], 3), np.uint8)
    cv2.putText(bar, title, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _WHITE, 1, cv2.LINE_AA)
    return np.pad(np.vstack([bar, image]), ((0, 0), (0, 6), (0, 0)))
