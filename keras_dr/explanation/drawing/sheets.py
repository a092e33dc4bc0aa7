"""Sheets of pictures: before and after fine-tuning, lesions and heat, and the explanation of one photograph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.names import class_words
from keras_dr.core.overlay import OPACITY, blend, enlarge
from keras_dr.explanation.drawing.canvas import FOOTER, GAP, HEADER, INK, LINE, MARGIN, QUIET, WRONG, Page, fit

SIDE = 320  # of a picture on a sheet, in pixels
FOR = (64, 224, 255)  # RGB of positive values of a signed map
AGAINST = (255, 64, 200)  # RGB of negative values of a signed map
# RGB; distinguishable on the orange of a fundus and on the blue of a heat map. Kinds of lesion take them in
# alphabetical order.
_CONTOURS = ((255, 64, 200), (255, 255, 255), (255, 140, 0), (255, 235, 60), (255, 40, 40), (140, 255, 140))
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Cell:
    """A picture, uint8 RGB (S, S, 3), and the line above it, which is red if the cell is `wrong`."""

    image: Image
    title: str
    wrong: bool = False


def write_sheet(
    file: Path,
    rows: Sequence[Sequence[Cell]],
    title: str,
    note: str = "",
    legend: Mapping[str, tuple[int, int, int]] | None = None,
) -> None:
    """Write rows of pictures as PNG; each pixel of the sheet is one pixel of the file.

    Args:
        file: the PNG to write.
        rows: pictures from left to right.
        title: the first line above them.
        note: the second line above them.
        legend: name -> RGB, drawn next to the colour bar.

    Raises:
        KerasDrError: there are no pictures.
    """
    if not rows:
        raise KerasDrError("There are no photographs for the sheet.", "Choose a split that has some.")
    columns = max(len(row) for row in rows)
    row_height = LINE + SIDE + GAP
    page = Page(2 * MARGIN + columns * (SIDE + GAP) - GAP, HEADER + len(rows) * row_height + FOOTER)
    page.text(MARGIN, 20, title, 15, weight="bold")
    page.text(MARGIN, 43, note, 12, QUIET)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            x = MARGIN + column * (SIDE + GAP)
            y = HEADER + number * row_height
            page.text(x, y + LINE / 2, class_words(cell.title), 13, WRONG if cell.wrong else INK)
            page.image(x, y + LINE, fit(cell.image, SIDE))
    page.colour_bar(MARGIN, page.height - FOOTER + 16, 140, "share of the map's maximum")
    _draw_legend(page, legend or {}, MARGIN + 360)
    folders.write_bytes(file, page.png())


def _draw_legend(page: Page, legend: Mapping[str, tuple[int, int, int]], x: float) -> None:
    """Draw a colour swatch and the name for each entry, from x rightwards."""
    for name, colour in legend.items():
        swatch = np.full((14, 14, 3), colour, np.uint8)
        swatch[[0, -1]] = swatch[:, [0, -1]] = 60  # a grey rim, because one of the colours is white
        page.image(round(x), page.height - FOOTER + 15, swatch)
        page.text(x + 20, page.height - FOOTER + 22, class_words(name), 12)
        x += 36 + 7 * len(name)


def verdict(name: str, probability: float) -> str:
    """A class and its probability as text, such as "mild .62"."""
    return f"{name} {probability:.2f}".replace(" 0.", " .")


def lesion_colours(kinds: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """The RGB colour of the contours of each kind of lesion or landmark."""
    return {kind: _CONTOURS[number % len(_CONTOURS)] for number, kind in enumerate(sorted(kinds))}


def with_contours(
    image: Image, masks: Mapping[str, NDArray[np.floating]], colours: Mapping[str, tuple[int, int, int]]
) -> Image:
    """The picture at a sheet's size with the outlines of its masks float (S, S), 0..1: uint8 RGB (SIDE, SIDE, 3)."""
    drawn = fit(image, SIDE).copy()
    for kind, mask in masks.items():
        inside = (cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0.25).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, colours[kind], 1)
    return drawn


def blend_signed(image: Image, signed: NDArray[np.floating]) -> Image:
    """Lay a signed map over a photograph: `FOR` where it is positive, `AGAINST` where it is negative.

    The colour is more opaque where the map is further from 0.

    Args:
        image: uint8 RGB (S, S, 3).
        signed: float (h, w), of any scale.

    Returns:
        uint8 RGB (S, S, 3); the black surround stays black.
    """
    peak = np.abs(signed).max()
    heat = enlarge(signed / peak if peak > 0 else signed, image.shape[0])[..., None]
    colours = np.where(heat > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    opacity = OPACITY * np.abs(heat) * (image.max(axis=2, keepdims=True) > 0)
    return np.rint(image * (1 - opacity) + colours * opacity).astype(np.uint8)


def overlaid(image: Image, heatmap: NDArray[np.floating], title: str, wrong: bool = False) -> Cell:
    """A cell with the map float (h, w) laid over uint8 RGB (S, S, 3); its title says if the map has no heat."""
    if not (heatmap > 0).any():
        title = f"{title}: no evidence"
    return Cell(blend(image, heatmap), title, wrong)
