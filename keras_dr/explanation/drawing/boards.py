"""The board: photographs next to their heat maps, with the true class, the predicted class and its probability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.names import class_words
from keras_dr.core.overlay import blend
from keras_dr.explanation.drawing.canvas import FOOTER, GAP, HEADER, LINE, MARGIN, QUIET, WRONG, Page, fit

COLUMNS = 3
SIDES_PX = (224, 320)  # smallest and largest side of a photograph on the board


@dataclass(frozen=True)
class BoardRow:
    """One photograph on the board.

    Attributes:
        image: uint8 RGB (S, S, 3), as prepared.
        heatmap: float (h, w), >= 0, of any scale.
        true: name of its true class.
        predicted: name of the predicted class, which the map explains.
        confidence: probability 0..1 of the predicted class.
        correct: whether the two classes are the same.
        name: the id of the photograph, written below it.
    """

    image: NDArray[np.uint8]
    heatmap: NDArray[np.floating]
    true: str
    predicted: str
    confidence: float
    correct: bool
    name: str = ""


def write_board(file: Path, rows: Sequence[BoardRow], title: str = "", note: str = "") -> None:
    """Write the board as PNG; each pixel of the figure is one pixel of the file.

    Args:
        file: the PNG to write.
        rows: photographs of one size, drawn from left to right and from top to bottom.
        title: the first line above them.
        note: the second line above them.

    Raises:
        KerasDrError: there are no photographs.
    """
    if not rows:
        raise KerasDrError("There are no photographs for the board.", "Choose a split that has some.")
    side = int(np.clip(rows[0].image.shape[0], *SIDES_PX))
    columns = min(COLUMNS, len(rows))
    cell_width = 2 * side + GAP
    cell_height = LINE + side + LINE
    width = columns * cell_width + (columns + 1) * MARGIN
    page = Page(width, HEADER + math.ceil(len(rows) / columns) * cell_height + FOOTER)
    page.text(MARGIN, 20, title, 15, weight="bold")
    page.text(MARGIN, 43, note, 12, QUIET)
    for index, row in enumerate(rows):
        x = MARGIN + index % columns * (cell_width + MARGIN)
        _draw_cell(page, row, x, HEADER + index // columns * cell_height, side)
    page.colour_bar(MARGIN, page.height - FOOTER + 16, 140, "evidence, share of the photograph's maximum")
    folders.write_bytes(file, page.png())


def _draw_cell(page: Page, row: BoardRow, x: int, y: int, side: int) -> None:
    """Draw title, photograph, overlay and name, with the upper left corner at (x, y)."""
    confidence = f"{row.confidence:.2f}".removeprefix("0")
    title = class_words(f"true: {row.true} / predicted: {row.predicted} {confidence}")
    if row.correct:
        page.text(x, y + LINE / 2, title, 13)
    else:
        page.text(x, y + LINE / 2, f"✗ {title}", 13, WRONG, weight="bold")
    page.image(x, y + LINE, fit(row.image, side))
    page.image(x + side + GAP, y + LINE, fit(blend(row.image, row.heatmap), side))
    page.text(x, y + LINE + side + 9, row.name, 11, QUIET)
    if not (row.heatmap > 0).any():
        page.text(x + side + GAP, y + LINE + side + 9, "no evidence for this class", 11, QUIET)
