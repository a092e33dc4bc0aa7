"""The board: photographs beside their heat maps, with what they are, what the grader said, and how sure it was."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_dr import runs
from keras_dr.errors import KerasDrError
from keras_dr.overlay import blend

COLUMNS = 3
SIDES_PX = (224, 320)  # least and most side of a photograph on the board
_DPI = 128  # a power of two, so that inches times it are whole pixels
_MARGIN, _GAP, _LINE, _HEADER, _FOOTER = 24, 4, 24, 64, 64  # pixels
_RIGHT, _WRONG, _QUIET = "#1a1a1a", "#b03a00", "#666666"


@dataclass(frozen=True)
class BoardRow:
    """One photograph on the board.

    Attributes:
        image: uint8 RGB (S, S, 3), as prepared.
        heatmap: float (h, w), >= 0, of any scale.
        true: name of its true class.
        predicted: name of the predicted class, which the map explains.
        confidence: probability 0..1 of the predicted class.
        correct: whether the two classes are one.
        name: the photograph's id, written below it.
    """

    image: NDArray[np.uint8]
    heatmap: NDArray[np.floating]
    true: str
    predicted: str
    confidence: float
    correct: bool
    name: str = ""


class _Page:
    """A figure with pixels as its unit, the origin in the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, text: str, size_px: float, colour: str = _RIGHT, **style: Any) -> None:
        """Write a line whose middle is at y."""
        points = size_px * 72 / _DPI
        style = {"va": "center_baseline"} | style
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=points, color=colour, **style)

    def image(self, x: int, y: int, image: NDArray[np.uint8]) -> None:
        """Put an image's pixels on the page's pixels, its upper left corner at (x, y)."""
        self.figure.figimage(image, x, self.height - y - image.shape[0], origin="upper")

    def colour_bar(self, x: float, y: float, width: float, label: str) -> None:
        """Viridis from 0 to 1, its upper left corner at (x, y)."""
        axes = self.figure.add_axes((x / self.width, 1 - (y + 12) / self.height, width / self.width, 12 / self.height))
        bar = self.figure.colorbar(ScalarMappable(cmap="viridis"), cax=axes, orientation="horizontal")
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", ".25", ".5", ".75", "1"])
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=11 * 72 / _DPI, length=3, colors=_QUIET)
        self.text(x + width + 14, y + 6, label, 12)

    def png(self) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png", dpi=_DPI)
        return stream.getvalue()


def write_board(file: Path, rows: Sequence[BoardRow], title: str = "", note: str = "") -> None:
    """Write the board as PNG, a pixel of the figure a pixel of the file.

    Args:
        file: the PNG to write.
        rows: photographs, drawn from left to right and from top to bottom; images of one size.
        title, note: lines above them.

    Raises:
        KerasDrError: no photographs.
    """
    if not rows:
        raise KerasDrError("photographs for a board", "none", "Choose a split that has some.")
    side = int(np.clip(rows[0].image.shape[0], *SIDES_PX))
    columns = min(COLUMNS, len(rows))
    cell_width, cell_height = 2 * side + _GAP, _LINE + side + _LINE
    width = columns * cell_width + (columns + 1) * _MARGIN
    page = _Page(width, _HEADER + math.ceil(len(rows) / columns) * cell_height + _FOOTER)
    page.text(_MARGIN, 20, title, 15, weight="bold")
    page.text(_MARGIN, 43, note, 12, _QUIET)
    for index, row in enumerate(rows):
        x = _MARGIN + index % columns * (cell_width + _MARGIN)
        _draw_cell(page, row, x, _HEADER + index // columns * cell_height, side)
    page.colour_bar(_MARGIN, page.height - _FOOTER + 16, 140, "evidence, share of the photograph's maximum")
    runs.write_bytes(file, page.png())


def _draw_cell(page: _Page, row: BoardRow, x: int, y: int, side: int) -> None:
    """Title, photograph, overlay and name, the upper left corner at (x, y)."""
    confidence = f"{row.confidence:.2f}".removeprefix("0")
    title = f"true: {row.true} / predicted: {row.predicted} {confidence}".replace("_", " ")
    if row.correct:
        page.text(x, y + _LINE / 2, title, 13)
    else:
        page.text(x, y + _LINE / 2, f"✗ {title}", 13, _WRONG, weight="bold")
    page.image(x, y + _LINE, _fit(row.image, side))
    page.image(x + side + _GAP, y + _LINE, _fit(blend(row.image, row.heatmap), side))
    page.text(x, y + _LINE + side + 9, row.name, 11, _QUIET)
    if not (row.heatmap > 0).any():
        page.text(x + side + _GAP, y + _LINE + side + 9, "no evidence for this class", 11, _QUIET)


def _fit(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 (S, S, 3) -> uint8 (side, side, 3)."""
    smaller = image.shape[0] > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
