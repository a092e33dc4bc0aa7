"""Which measurements of a profile meet a budget of time and memory."""

import math
from collections.abc import Sequence

from edge_demo.cores import threads_in_words
from edge_demo.profiler import Measurement


def fitting(measurements: Sequence[Measurement], budget_ms: float | None, budget_mib: float | None) -> tuple[str, bool]:
    """Return which variants meet a budget, in words, and whether any does.

    Args:
        measurements: from `profile`.
        budget_ms: for the 90th percentile of a grading, in ms.
        budget_mib: for the peak resident memory, in MiB.
    """
    lines = []
    any_fits = False
    for measurement in measurements:
        exceeded = []
        if budget_ms is not None and measurement.total.p90_ms > budget_ms:
            exceeded.append(f"{measurement.total.p90_ms:.0f} ms")
        if budget_mib is not None and measurement.peak_rss_mib > budget_mib:
            exceeded.append(f"{measurement.peak_rss_mib:.0f} MiB")
        verdict = f"too much: {', '.join(exceeded)}" if exceeded else "fits"
        any_fits = any_fits or not exceeded
        lines.append(f"{measurement.variant}, {threads_in_words(measurement.threads)}: {verdict}")
    if measurements and not any_fits:
        nearest = min(measurements, key=lambda row: _excess(row, budget_ms, budget_mib))
        excess = _excess(nearest, budget_ms, budget_mib)
        by = f"by a factor of {excess:.2f}" if math.isfinite(excess) else "whose limit is 0"
        name = f"{nearest.variant} with {threads_in_words(nearest.threads)}"
        lines.append(f"No variant meets the budget. {name} misses it least, {by}.")
    return "\n".join(lines), any_fits


def _excess(measurement: Measurement, budget_ms: float | None, budget_mib: float | None) -> float:
    """Return the larger of the two factors by which a measurement exceeds the budget."""
    pairs = [(measurement.total.p90_ms, budget_ms), (measurement.peak_rss_mib, budget_mib)]
    return max(value / limit if limit else math.inf for value, limit in pairs if limit is not None)
