"""The plot of the limits of gradability as a PNG file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_dr.reports.plot_canvas import BLUE, ORANGE, RED, save


def plot_gradability(file: Path, rows: Sequence[Mapping[str, Any]], photographs: int) -> None:
    """Plot the sensitivity and the share of unchanged grades at each strength of each fault, one panel per fault.

    Args:
        file: PNG to write.
        rows: from `metrics.gradability.step_rows`.
        photographs: the number of photographs.
    """
    faults = list(dict.fromkeys(row["fault"] for row in rows))
    figure = Figure((4.3 * min(3, len(faults)), 3.7 * math.ceil(len(faults) / 3)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for number, fault in enumerate(faults):
        axes = figure.add_subplot(math.ceil(len(faults) / 3), min(3, len(faults)), number + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        own = [row for row in rows if row["fault"] == fault]
        places = np.arange(len(own))
        curves = [("same grade", "same_grade", ORANGE, "s-", 0.06), ("sensitivity", "sensitivity", BLUE, "o-", -0.06)]
        for label, key, colour, style, shift in curves:
            _draw_steps(axes, places + shift, own, key, (label, colour, style))
        for place, row in zip(places, own, strict=True):
            if not row["holds"]:
                axes.axvspan(place - 0.5, place + 0.5, color=RED, alpha=0.10, lw=0)
        labels = [_step_label(row) for row in own]
        axes.set_xticks(places, labels, fontsize=8)
        axes.set(ylim=(0, 1.04), xlim=(-0.5, len(own) - 0.5))
        axes.set_title(f"{fault} (median {own[0]['measure']} below)", fontsize=10)
        if number == 0:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        f"Degraded step by step, n = {photographs}; bars: 95 % intervals; shaded: the grader does not hold", fontsize=11
    )
    save(figure, file)


def _draw_steps(
    axes: Any,
    places: NDArray[np.floating],
    rows: Sequence[Mapping[str, Any]],
    key: str,
    style: tuple[str, str, str],
) -> None:
    """Draw a figure of each row with its interval; the style is its label, its colour and its marker."""
    label, colour, marker = style
    values = np.array([np.nan if row[key] is None else row[key] for row in rows])
    axes.plot(places, values, marker, color=colour, ms=5, lw=1.5, label=label)
    for place, row in zip(places, rows, strict=True):
        if row[f"{key}_interval"] is not None:
            axes.plot((place, place), row[f"{key}_interval"], "-", color=colour, lw=1, alpha=0.6)


def _step_label(row: Mapping[str, Any]) -> str:
    """Return the strength in few words, and the measured value below it."""
    strength = row["strength"].split(",")[-1].strip()
    for words in (" of the longer side", " of white", "contrast ", " covered"):
        strength = strength.replace(words, "")
    return f"{strength}\nno fundus" if row["value"] is None else f"{strength}\n{row['value']:.3g}"
