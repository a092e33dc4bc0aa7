"""A page drawn in pixels: text, images at their own resolution, and a colour bar."""

import io
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_demo.picture import COARSE
from keras_dr.core import overlay

_HEAT = LinearSegmentedColormap.from_list("heat", [tuple(value / 255 for value in stop) for stop in overlay.STOPS])
DPI = 128  # a power of two, so that inches times DPI give exact pixels
# In pixels:
MARGIN = 24
GAP = 4
LINE = 24
HEADER = 64
FOOTER = 64
# Colours of text:
INK = "#1a1a1a"
WRONG = "#b03a00"
QUIET = "#666666"


class Page:
    """A figure measured in pixels, with the origin in the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, text: str, size_px: float, colour: str = INK, **style: Any) -> None:
        """Write a line whose middle is at y."""
        points = size_px * 72 / DPI
        style = {"va": "center_baseline"} | style
        self.figure.text(
            x / self.width, 1 - y / self.height, text, fontsize=points, color=colour, parse_math=False, **style
        )

    def image(self, x: int, y: int, image: NDArray[np.uint8]) -> None:
        """Draw uint8 RGB (h, w, 3), one pixel per pixel of the page, with its upper left corner at (x, y)."""
        self.figure.figimage(image, x, self.height - y - image.shape[0], origin="upper")

    def colour_bar(self, x: float, y: float, width: float, label: str) -> None:
        """Draw a colour bar of the heat maps from 0 to 1, with its upper left corner at (x, y)."""
        axes = self.figure.add_axes((x / self.width, 1 - (y + 12) / self.height, width / self.width, 12 / self.height))
        bar = self.figure.colorbar(ScalarMappable(cmap=_HEAT), cax=axes, orientation="horizontal")
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", ".25", ".5", ".75", "1"])
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=11 * 72 / DPI, length=3, colors=QUIET)
        self.text(x + width + 14, y + 6, label, 12)

    def png(self) -> bytes:
        """The page as a PNG file."""
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png", dpi=DPI)
        return stream.getvalue()


def fit(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image at another size: uint8 (S, S, 3) -> uint8 (side, side, 3)."""
    smaller = image.shape[0] > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def coarse_note(maps: Mapping[str, NDArray[np.floating]]) -> str:
    """What a reader must know of maps with few places, method -> float (..., h, w); "" if none is coarse.

    Example:
        >>> coarse_note({"grad-cam": np.zeros((3, 3))})
        'coarse: grad-cam has 3 x 3 places, which cannot show single lesions'
    """
    sides = {method: heat.shape[-2:] for method, heat in maps.items()}
    coarse = [f"{method} has {h} x {w} places" for method, (h, w) in sides.items() if min(h, w) < COARSE]
    return f"coarse: {', '.join(coarse)}, which cannot show single lesions" if coarse else ""
