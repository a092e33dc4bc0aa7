"""Plots of an evaluation as PNG files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from keras_dr.core.names import class_words
from keras_dr.datasets.grades import Task
from keras_dr.metrics.intervals import wilson
from keras_dr.reports.plot_canvas import BLUE, GREY, INK, ORANGE, RED, new_figure, save

_FEW_PHOTOGRAPHS = 10  # a share of fewer is drawn hollow


def plot_confusion(file: Path, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Plot a confusion matrix with counts; the shading shows the share of the true class.

    Args:
        file: PNG to write.
        matrix: int (C, C), rows true, columns predicted.
        classes: C names.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = new_figure(5.6, 4.8)
    axes.grid(False)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [class_words(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    edges = np.arange(len(names) + 1) - 0.5
    axes.hlines(edges, -0.5, len(names) - 0.5, color=GREY, lw=0.5)
    axes.vlines(edges, -0.5, len(names) - 0.5, color=GREY, lw=0.5)
    figure.colorbar(shown, ax=axes, label="share of the true class")
    save(figure, file)


def plot_roc_pr(
    file: Path,
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    points: Mapping[str, dict[str, Any]],
    task: Task,
) -> None:
    """Plot ROC and precision-recall curves of the positive classes, with the operating points chosen on validation.

    The curves are those of the probability alone. The points are those of the final action, which also refers by the
    grade, so that they need not lie on the curves.

    Args:
        file: PNG to write.
        positive: bool (n,), whether the true class is positive; there are positive and negative photographs.
        scores: float (n,), p_referable.
        points: name -> "sensitivity", "specificity" and "ppv" of the final action; the first is the one in use.
        task: the label space, for the title.
    """
    figure, (left, right) = new_figure(10, 5.4, 2)
    false_alarms, sensitivity, _ = roc_curve(positive, scores)
    left.plot(false_alarms, sensitivity, color=BLUE, lw=2)
    left.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1)
    title = f"ROC of the probability, {task.positive} (n = {len(positive)})"
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title=title)
    precision, recall, _ = precision_recall_curve(positive, scores)
    right.plot(recall, precision, color=BLUE, lw=2)
    right.axhline(positive.mean(), color=GREY, ls=":", lw=1)
    marks = {"ms": 8, "ls": "", "clip_on": False, "zorder": 4}
    for number, ((label, point), marker) in enumerate(zip(_named_points(points), "osD^vP*X", strict=False)):
        colours = {"color": BLUE, "mfc": "white"} if number else {"color": ORANGE}
        left.plot(1 - point["specificity"], point["sensitivity"], marker, label=label, **marks, **colours)
        if point["ppv"] is not None:  # somebody is referred
            right.plot(point["sensitivity"], point["ppv"], marker, **marks, **colours)
    right.set(xlabel="recall (sensitivity)", ylabel="precision", title=f"Precision-recall, task {task.name}")
    for axes in (left, right):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside lower center", frameon=False, title="operating points: the final action")
    save(figure, file)


def _named_points(points: Mapping[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the operating points with their names; those that do the same have one entry with all their names."""
    groups: dict[tuple[float, float], list[str]] = {}
    for name, point in points.items():
        groups.setdefault((point["sensitivity"], point["specificity"]), []).append(name)
    return [(", ".join(names), points[names[0]]) for names in groups.values()]


def plot_reliability(
    file: Path, before: Sequence[dict[str, float]], after: Sequence[dict[str, float]], errors: tuple[float, float]
) -> None:
    """Plot reliability diagrams of the predicted class's probability, before and after temperature scaling.

    Args:
        file: PNG to write.
        before: points from `calibration.reliability` before scaling.
        after: points from `calibration.reliability` after scaling.
        errors: expected calibration error before and after, 0..1.
    """
    figure, axes = new_figure(10, 4.6, 2)
    for panel, points, title, error in zip(axes, (before, after), ("before", "after"), errors, strict=True):
        panel.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1)
        confidence = [point["confidence"] for point in points]
        frequency = [point["frequency"] for point in points]
        panel.plot(confidence, frequency, "-", color=BLUE, lw=1, alpha=0.5)
        for point in points:
            _draw_reliability(panel, point)
        panel.set(
            xlim=(-0.01, 1.01),
            ylim=(-0.03, 1.05),
            xlabel="predicted probability",
            ylabel="share of correct predictions",
        )
        panel.set_title(f"{title} temperature scaling, ECE {error:.3f}")
    figure.supxlabel(
        f"bars: 95 % intervals; small numbers: photographs; hollow: fewer than {_FEW_PHOTOGRAPHS}", size=9, color=INK
    )
    save(figure, file)


def _draw_reliability(panel: Any, point: Mapping[str, float]) -> None:
    """Draw a point of `calibration.reliability` with its interval and its number of photographs."""
    count = round(point["photographs"])
    interval = wilson(point["frequency"] * count, count)
    x, y = point["confidence"], point["frequency"]
    if interval is not None:
        panel.plot((x, x), interval, "-", color=BLUE, lw=1)
    face = "white" if count < _FEW_PHOTOGRAPHS else BLUE
    panel.plot(x, y, "o", color=BLUE, mfc=face, ms=7, zorder=3)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    label = panel.annotate(str(count), (x, y), (6, -11), textcoords="offset points", color=INK, size=8, zorder=4)
    label.set_path_effects(halo)


def plot_coverage(
    file: Path, curves: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], shares: Sequence[tuple[float, float]]
) -> None:
    """Plot how many decisions are wrong if the least certain photographs are left to a human.

    Args:
        file: PNG to write.
        curves: kind of error -> coverage (share graded without a human) and error, float (n,) each, from
            `referral.coverage_curve`.
        shares: (coverage, error) at each limit that was fixed on validation; marked on the last curve.
    """
    figure, (axes,) = new_figure(6.4, 4.8)
    for colour, (name, (coverage, error)) in zip((BLUE, ORANGE), curves.items(), strict=False):
        shown = coverage >= 0.05  # the error of a few photographs is erratic
        axes.plot(100 * (1 - coverage[shown]), 100 * error[shown], color=colour, lw=2, label=name)
    if shares:
        left = [100 * (1 - coverage) for coverage, _ in shares]
        errors = [100 * error for _, error in shares]
        axes.plot(left, errors, "o", color=INK, ms=5, clip_on=False, zorder=4, label="limits fixed on validation")
    axes.set(xlim=(-1, 100), ylim=(0, None))
    axes.set(xlabel="photographs left to a human, of 100", ylabel="wrong decisions, of 100 that the grader makes")
    count = len(next(iter(curves.values()))[0])
    axes.set_title(f"The least certain of {count} photographs are left to a human first", size=11)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    save(figure, file)


@dataclass(frozen=True)
class Sample:
    """A photograph, uint8 RGB (S, S, 3), its title, and whether its predicted class is the true one."""

    image: NDArray[np.uint8]
    title: str
    right: bool


def plot_samples(file: Path, samples: Sequence[Sample]) -> None:
    """Plot photographs, four per row, with their true and predicted classes; wrong ones have a red frame.

    Args:
        file: PNG to write.
        samples: one or more photographs.
    """
    columns = min(4, len(samples))
    rows = math.ceil(len(samples) / columns)
    figure = Figure((2.7 * columns, 3.05 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for number, sample in enumerate(samples):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(sample.image, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.set_title(sample.title, fontsize=8.5, color=INK if sample.right else RED)
        axes.spines[:].set(color=GREY if sample.right else RED, linewidth=0.5 if sample.right else 2.5)
    save(figure, file)
