"""Plots of a bundle's models on a device as PNG files: kappa against time, and time without a pause."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from edge_demo.cores import threads_in_words
from keras_dr.reports.plot_canvas import COLOURS, GREY, new_figure, save


def plot_variants(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Plot quadratic kappa on validation against latency; each variant is a disc whose area is its file size.

    Args:
        file: PNG to write.
        rows: "variant", "latency_ms", "quality" (the kappa), "size_mib" and "threads" of each variant.
    """
    figure, (axes,) = new_figure(7.2, 4.8)
    largest = max(row["size_mib"] for row in rows)
    largest_first = sorted(rows, key=lambda row: -row["size_mib"])  # so that small discs are drawn over large ones
    for number, row in enumerate(largest_first):
        label = f"{row['variant']}, {row['size_mib']:.1f} MiB"
        area = 1500 * row["size_mib"] / largest
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(row["latency_ms"], row["quality"], s=area, color=colour, alpha=0.4, edgecolors=colour)
        axes.plot(row["latency_ms"], row["quality"], ".", color=colour, label=label)
    middle = float(np.mean([row["quality"] for row in rows]))
    reach = max(
        0.05, *(1.3 * abs(row["quality"] - middle) for row in rows)
    )  # so that a difference of .001 does not look large
    times = [row["latency_ms"] for row in rows]
    threads = sorted({row["threads"] for row in rows})
    axes.set(xscale="log", xlim=(min(times) / 1.6, 1.6 * max(times)), ylim=(middle - reach, middle + reach))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="median time per photograph, ms",
        ylabel="quadratic kappa on validation",
        title=f"On {threads_in_words(*threads)}. Area of each disc: size of the file",
    )
    axes.legend(frameon=False, loc="lower left")
    save(figure, file)


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
    figure, axes = new_figure(13, 4, len(panels))
    for (key, label), panel in zip(panels, axes, strict=True):
        for row, colour in zip(rows, cycle(COLOURS)):
            samples = [sample for sample in row["samples"] if sample[key] is not None]
            minutes = [sample["at_s"] / 60 for sample in samples]
            name = f"{row['variant']}, {threads_in_words(row['threads'])}"
            panel.plot(minutes, [sample[key] for sample in samples], color=colour, label=name)
            slow = [sample for sample in samples if sample["throttled"]]
            slow_minutes = [sample["at_s"] / 60 for sample in slow]
            # Wide and below the line, so that the line keeps its colour.
            panel.plot(
                slow_minutes, [sample[key] for sample in slow], "o", color="#f0b8b0", markersize=9, mew=0, zorder=1
            )
        if not panel.lines or not any(len(line.get_xdata()) for line in panel.lines):
            panel.text(0.5, 0.5, "not reported here", transform=panel.transAxes, ha="center", color=GREY)
        panel.set(xlabel="minutes", ylabel=label)
    axes[0].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rows), frameon=False)
    simulated = "SIMULATED sensors. " if any(row["simulated"] for row in rows) else ""
    figure.suptitle(
        f"{simulated}Grading without a pause, after {rows[0]['warm_up']} gradings of warm-up. Pale red: throttled"
    )
    save(figure, file)
