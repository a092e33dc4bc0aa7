"""Plots of runs as PNG files: the training of one run, and several runs compared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.reports.plot_canvas import BLUE, COLOURS, GREY, INK, ORANGE, new_figure, save


def plot_curves(file: Path, history: Sequence[dict[str, Any]], monitor: str) -> None:
    """Plot loss, accuracy and the monitor by epoch, with both phases on one axis.

    Args:
        file: PNG to write.
        history: one row per epoch, as in history.csv.
        monitor: name of the figure in the third panel.
    """
    third = monitor if monitor not in ("val_loss", "val_accuracy") else "val_quadratic_kappa"
    figure, axes = new_figure(13, 4, 3)
    epochs = np.arange(1, len(history) + 1)
    frozen = sum(row["phase"] == "frozen" for row in history)
    figures_of_panels = (("loss", "val_loss"), ("accuracy", "val_accuracy"), (third,))
    for panel, names in zip(axes, figures_of_panels, strict=True):
        for name in names:
            on_validation = name.startswith("val_")
            panel.plot(
                epochs,
                np.array([row[name] for row in history], float),
                "o-",
                ms=3,
                color=ORANGE if on_validation else BLUE,
                label="validation" if on_validation else "training",
            )
        if 0 < frozen < len(history):
            panel.axvline(frozen + 0.5, color=GREY, ls="--", lw=1)
            panel.text(
                frozen + 0.6, 0.02, "fine-tuning", color=GREY, transform=panel.get_xaxis_transform(), va="bottom"
            )
        panel.set(xlabel="epoch", ylabel=names[0].removeprefix("val_").replace("_", " "))
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    save(figure, file)


def draw_intervals(
    file: Path,
    names: Sequence[str],
    figures: Sequence[Mapping[str, tuple[float | None, tuple[float, float] | None]]],
) -> None:
    """Plot figures of several runs with their 95 % intervals, one panel per figure, all panels on one scale.

    Args:
        file: PNG to write.
        names: names of the runs.
        figures: for each run, name of the figure -> value and interval.
    """
    titles = list(figures[0])
    ends = [end for values in figures for value, interval in values.values() for end in (value, *(interval or ()))]
    known = [end for end in ends if end is not None]
    scale = (min(known) - 0.03, max(known) + 0.03) if known else (0.0, 1.0)
    figure, axes = new_figure(2.3 * len(titles) + 1, 0.45 * len(names) + 1.4, len(titles))
    for column, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        for row, values in enumerate(figures):
            value, interval = values[title]
            colour = COLOURS[row % len(COLOURS)]
            if value is not None:
                panel.plot(value, row, "o", color=colour)
            if interval is not None:
                panel.plot(interval, (row, row), "-", color=colour, lw=2)
        panel.set(title=title, ylim=(len(names) - 0.5, -0.5), xlim=scale)
        panel.set_yticks(range(len(names)), names if column == 0 else [""] * len(names))
    figure.supxlabel("lines: 95 % intervals", size=9, color=INK)
    save(figure, file)


def draw_curves(
    file: Path,
    histories: Mapping[str, Sequence[Mapping[str, str]]],
    smooth: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """Plot training curves of several runs, raw and smoothed: loss, validation loss, validation accuracy.

    Args:
        file: PNG to write.
        histories: run -> rows of its history.csv.
        smooth: turns the values per epoch, float (n,), into the smoothed curve.
    """
    figure, axes = new_figure(14, 4.4, 3)
    for panel, key in zip(axes, ("loss", "val_loss", "val_accuracy"), strict=True):
        for number, (name, rows) in enumerate(histories.items()):
            values = np.array([row[key] or "nan" for row in rows], float)
            epochs = np.arange(1, len(values) + 1)
            colour = COLOURS[number % len(COLOURS)]
            panel.plot(epochs, values, color=colour, lw=1, alpha=0.3)
            panel.plot(epochs, smooth(values), color=colour, lw=2, label=name)
            frozen = sum(row["phase"] == "frozen" for row in rows)
            if 0 < frozen < len(rows):
                panel.axvline(frozen + 0.5, color=colour, ls="--", lw=0.8, alpha=0.6)
        panel.set(xlabel="epoch", ylabel=key.replace("val_", "validation "))
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Thick: smoothed over the epochs. Thin: as measured. Dashed: the fine-tuning begins", size=10)
    save(figure, file)
