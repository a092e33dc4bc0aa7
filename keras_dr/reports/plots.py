"""Plots of training, evaluation and comparison as PNG files, drawn without a display."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from keras_dr.datasets.grades import Task
from keras_dr.metrics.intervals import wilson

matplotlib.rcParams["text.parse_math"] = False  # a class may be called "$x$"
_BLUE = "#1f5fa8"
_ORANGE = "#d1670c"
_GREY = "#8a8a8a"
_INK = "#1a1a1a"
_RED = "#b03a00"
_FEW_PHOTOGRAPHS = 10  # a share of fewer is drawn hollow
# of the runs that are compared
_COLOURS = (_BLUE, _ORANGE, "#2b8a3e", "#8e44ad", _RED, "#0a8f8f", "#7a6a00", "#555555")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Any]]:
    """Return a figure of a width and height in inches, and its panels from left to right."""
    figure = Figure((width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes


def _save(figure: Figure, file: Path) -> None:
    """Write the figure under a temporary name, then rename it, so that no half-written file is left."""
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, format="png", metadata={"Software": None})
    temporary.replace(file)


def plot_curves(file: Path, history: Sequence[dict[str, Any]], monitor: str) -> None:
    """Plot loss, accuracy and the monitor by epoch, with both phases on one axis.

    Args:
        file: PNG to write.
        history: one row per epoch, as in history.csv.
        monitor: name of the figure in the third panel.
    """
    third = monitor if monitor not in ("val_loss", "val_accuracy") else "val_quadratic_kappa"
    figure, axes = _figure(13, 4, 3)
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
                color=_ORANGE if on_validation else _BLUE,
                label="validation" if on_validation else "training",
            )
        if 0 < frozen < len(history):
            panel.axvline(frozen + 0.5, color=_GREY, ls="--", lw=1)
            panel.text(
                frozen + 0.6, 0.02, "fine-tuning", color=_GREY, transform=panel.get_xaxis_transform(), va="bottom"
            )
        panel.set(xlabel="epoch", ylabel=names[0].removeprefix("val_").replace("_", " "))
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    _save(figure, file)


def plot_confusion(file: Path, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Plot a confusion matrix with counts; the shading shows the share of the true class.

    Args:
        file: PNG to write.
        matrix: int (C, C), rows true, columns predicted.
        classes: C names.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _figure(5.6, 4.8)
    axes.grid(False)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    edges = np.arange(len(names) + 1) - 0.5
    axes.hlines(edges, -0.5, len(names) - 0.5, color=_GREY, lw=0.5)
    axes.vlines(edges, -0.5, len(names) - 0.5, color=_GREY, lw=0.5)
    figure.colorbar(shown, ax=axes, label="share of the true class")
    _save(figure, file)


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
    figure, (left, right) = _figure(10, 5.4, 2)
    false_alarms, sensitivity, _ = roc_curve(positive, scores)
    left.plot(false_alarms, sensitivity, color=_BLUE, lw=2)
    left.plot([0, 1], [0, 1], color=_GREY, ls=":", lw=1)
    title = f"ROC of the probability, {task.positive} (n = {len(positive)})"
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title=title)
    precision, recall, _ = precision_recall_curve(positive, scores)
    right.plot(recall, precision, color=_BLUE, lw=2)
    right.axhline(positive.mean(), color=_GREY, ls=":", lw=1)
    marks = {"ms": 8, "ls": "", "clip_on": False, "zorder": 4}
    for number, ((label, point), marker) in enumerate(zip(_named_points(points), "osD^vP*X", strict=False)):
        colours = {"color": _BLUE, "mfc": "white"} if number else {"color": _ORANGE}
        left.plot(1 - point["specificity"], point["sensitivity"], marker, label=label, **marks, **colours)
        if point["ppv"] is not None:  # somebody is referred
            right.plot(point["sensitivity"], point["ppv"], marker, **marks, **colours)
    right.set(xlabel="recall (sensitivity)", ylabel="precision", title=f"Precision-recall, task {task.name}")
    for axes in (left, right):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside lower center", frameon=False, title="operating points: the final action")
    _save(figure, file)


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
    figure, axes = _figure(10, 4.6, 2)
    for panel, points, title, error in zip(axes, (before, after), ("before", "after"), errors, strict=True):
        panel.plot([0, 1], [0, 1], color=_GREY, ls=":", lw=1)
        confidence = [point["confidence"] for point in points]
        frequency = [point["frequency"] for point in points]
        panel.plot(confidence, frequency, "-", color=_BLUE, lw=1, alpha=0.5)
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
        f"bars: 95 % intervals; small numbers: photographs; hollow: fewer than {_FEW_PHOTOGRAPHS}", size=9, color=_INK
    )
    _save(figure, file)


def _draw_reliability(panel: Any, point: Mapping[str, float]) -> None:
    """Draw a point of `calibration.reliability` with its interval and its number of photographs."""
    count = round(point["photographs"])
    interval = wilson(point["frequency"] * count, count)
    x, y = point["confidence"], point["frequency"]
    if interval is not None:
        panel.plot((x, x), interval, "-", color=_BLUE, lw=1)
    face = "white" if count < _FEW_PHOTOGRAPHS else _BLUE
    panel.plot(x, y, "o", color=_BLUE, mfc=face, ms=7, zorder=3)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    label = panel.annotate(str(count), (x, y), (6, -11), textcoords="offset points", color=_INK, size=8, zorder=4)
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
    figure, (axes,) = _figure(6.4, 4.8)
    for colour, (name, (coverage, error)) in zip((_BLUE, _ORANGE), curves.items(), strict=False):
        shown = coverage >= 0.05  # the error of a few photographs is erratic
        axes.plot(100 * (1 - coverage[shown]), 100 * error[shown], color=colour, lw=2, label=name)
    if shares:
        left = [100 * (1 - coverage) for coverage, _ in shares]
        errors = [100 * error for _, error in shares]
        axes.plot(left, errors, "o", color=_INK, ms=5, clip_on=False, zorder=4, label="limits fixed on validation")
    axes.set(xlim=(-1, 100), ylim=(0, None))
    axes.set(xlabel="photographs left to a human, of 100", ylabel="wrong decisions, of 100 that the grader makes")
    count = len(next(iter(curves.values()))[0])
    axes.set_title(f"The least certain of {count} photographs are left to a human first", size=11)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    _save(figure, file)


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
        curves = [("same grade", "same_grade", _ORANGE, "s-", 0.06), ("sensitivity", "sensitivity", _BLUE, "o-", -0.06)]
        for label, key, colour, style, shift in curves:
            _draw_steps(axes, places + shift, own, key, (label, colour, style))
        for place, row in zip(places, own, strict=True):
            if not row["holds"]:
                axes.axvspan(place - 0.5, place + 0.5, color=_RED, alpha=0.10, lw=0)
        labels = [_step_label(row) for row in own]
        axes.set_xticks(places, labels, fontsize=8)
        axes.set(ylim=(0, 1.04), xlim=(-0.5, len(own) - 0.5))
        axes.set_title(f"{fault} (median {own[0]['measure']} below)", fontsize=10)
        if number == 0:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        f"Degraded step by step, n = {photographs}; bars: 95 % intervals; shaded: the grader does not hold", fontsize=11
    )
    _save(figure, file)


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
        axes.set_title(sample.title, fontsize=8.5, color=_INK if sample.right else _RED)
        axes.spines[:].set(color=_GREY if sample.right else _RED, linewidth=0.5 if sample.right else 2.5)
    _save(figure, file)


def draw_intervals(
    file: Path,
    names: Sequence[str],
    figures: Sequence[Mapping[str, tuple[float | None, tuple[float, float] | None]]],
) -> None:
    """Plot figures of several runs with their intervals, one panel per figure.

    Args:
        file: PNG to write.
        names: names of the runs.
        figures: for each run, name of the figure -> value and interval.
    """
    titles = list(figures[0])
    figure, axes = _figure(2.3 * len(titles) + 1, 0.45 * len(names) + 1.4, len(titles))
    for column, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        for row, values in enumerate(figures):
            value, interval = values[title]
            colour = _COLOURS[row % len(_COLOURS)]
            if value is not None:
                panel.plot(value, row, "o", color=colour)
            if interval is not None:
                panel.plot(interval, (row, row), "-", color=colour, lw=2)
        panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
        panel.set_yticks(range(len(names)), names if column == 0 else [""] * len(names))
    _save(figure, file)


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
    figure, axes = _figure(14, 4.4, 3)
    for panel, key in zip(axes, ("loss", "val_loss", "val_accuracy"), strict=True):
        for number, (name, rows) in enumerate(histories.items()):
            values = np.array([row[key] or "nan" for row in rows], float)
            epochs = np.arange(1, len(values) + 1)
            colour = _COLOURS[number % len(_COLOURS)]
            panel.plot(epochs, values, color=colour, lw=1, alpha=0.3)
            panel.plot(epochs, smooth(values), color=colour, lw=2, label=name)
            frozen = sum(row["phase"] == "frozen" for row in rows)
            if 0 < frozen < len(rows):
                panel.axvline(frozen + 0.5, color=colour, ls="--", lw=0.8, alpha=0.6)
        panel.set(xlabel="epoch", ylabel=key.replace("val_", "validation "))
        panel.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False)
    _save(figure, file)


def plot_variants(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Plot quadratic kappa on validation against latency; each variant is a disc whose area is its file size.

    Args:
        file: PNG to write.
        rows: "variant", "latency_ms", "quality" (the kappa), "size_mib" and "threads" of each variant.
    """
    figure, (axes,) = _figure(7.2, 4.8)
    largest = max(row["size_mib"] for row in rows)
    largest_first = sorted(rows, key=lambda row: -row["size_mib"])  # so that small discs are drawn over large ones
    for number, row in enumerate(largest_first):
        label = f"{row['variant']}, {row['size_mib']:.1f} MiB"
        area = 1500 * row["size_mib"] / largest
        colour = f"C{number}"
        axes.scatter(row["latency_ms"], row["quality"], s=area, color=colour, alpha=0.4, edgecolors=colour)
        axes.plot(row["latency_ms"], row["quality"], ".", color=colour, label=label)
    middle = float(np.mean([row["quality"] for row in rows]))
    reach = max(
        0.05, *(1.3 * abs(row["quality"] - middle) for row in rows)
    )  # so that a difference of .001 does not look large
    times = [row["latency_ms"] for row in rows]
    axes.set(xscale="log", xlim=(min(times) / 1.6, 1.6 * max(times)), ylim=(middle - reach, middle + reach))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="median time per photograph, ms",
        ylabel="quadratic kappa on validation",
        title=f"On {_threads_words(rows)}. Area of each disc: size of the file",
    )
    axes.legend(frameon=False, loc="lower left")
    _save(figure, file)


def _threads_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return "1 thread" or "2 threads", or both numbers if the rows have several."""
    counts = sorted({row["threads"] for row in rows})
    return f"{' or '.join(map(str, counts))} thread{'' if counts == [1] else 's'}"


def plot_sustained(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Plot time per photograph, temperature and clock over the minutes that a device graded without a pause.

    Args:
        file: PNG to write.
        rows: one per model: "variant", "threads", "warm_up", "simulated", and "samples" with the fields of
            `edge_demo.sustained.Sample`.
    """
    panels = (
        ("p50_ms", "median time per photograph, ms"),
        ("temperature_c", "temperature, °C"),
        ("clock_mhz", "clock, MHz"),
    )
    figure, axes = _figure(13, 4, len(panels))
    for (key, label), panel in zip(panels, axes, strict=True):
        for row, colour in zip(rows, cycle(_COLOURS)):
            samples = [sample for sample in row["samples"] if sample[key] is not None]
            minutes = [sample["at_s"] / 60 for sample in samples]
            name = f"{row['variant']}, {_threads_words([row])}"
            panel.plot(minutes, [sample[key] for sample in samples], color=colour, label=name)
            slow = [sample for sample in samples if sample["throttled"]]
            slow_minutes = [sample["at_s"] / 60 for sample in slow]
            # Wide and below the line, so that the line keeps its colour.
            panel.plot(
                slow_minutes, [sample[key] for sample in slow], "o", color="#f0b8b0", markersize=9, mew=0, zorder=1
            )
        if not panel.lines or not any(len(line.get_xdata()) for line in panel.lines):
            panel.text(0.5, 0.5, "not reported here", transform=panel.transAxes, ha="center", color=_GREY)
        panel.set(xlabel="minutes", ylabel=label)
    axes[0].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rows), frameon=False)
    simulated = "SIMULATED sensors. " if any(row["simulated"] for row in rows) else ""
    figure.suptitle(
        f"{simulated}Grading without a pause, after {rows[0]['warm_up']} gradings of warm-up. Pale red: throttled"
    )
    _save(figure, file)
