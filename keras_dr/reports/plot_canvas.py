"""The figure, the colours and the file of a plot, which is drawn without a display."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

matplotlib.rcParams["text.parse_math"] = False  # a class may be called "$x$"
BLUE = "#1f5fa8"
ORANGE = "#d1670c"
GREY = "#8a8a8a"
INK = "#1a1a1a"
RED = "#b03a00"
# of the runs that are compared
COLOURS = (BLUE, ORANGE, "#2b8a3e", "#8e44ad", RED, "#0a8f8f", "#7a6a00", "#555555")


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Any]]:
    """Return a figure of a width and height in inches, and its panels from left to right."""
    figure = Figure((width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes


def save(figure: Figure, file: Path) -> None:
    """Write the figure under a temporary name, then rename it, so that no half-written file is left."""
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, format="png", metadata={"Software": None})
    temporary.replace(file)
