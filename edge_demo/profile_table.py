"""The measurements of a profile as lines of text."""

from collections.abc import Sequence
from dataclasses import asdict

from edge_demo.cores import threads_in_words
from edge_demo.machine import expectations
from edge_demo.measurement import STAGES
from edge_demo.profiler import Measurement, Profiling


def table(profiling: Profiling) -> str:
    """Return the measurements as lines of text: times, sizes and memory, then the conditions of the measurement.

    Args:
        profiling: from `profiler.profile`.
    """
    measurements = profiling.measurements
    headings: tuple[str, ...] = (
        "variant",
        "threads",
        "MiB",
        "cold",
        "load",
        *STAGES,
        "total",
        "p90",
        "p95",
        "p99",
        "IQR",
        "compiled",
    )
    headings += ("model", "arena", "peak MiB")
    rows: list[tuple[str, ...]] = [headings]
    for measurement in measurements:
        times_ms = [measurement.cold_start_ms, measurement.load_ms]
        times_ms += [measurement.stages[name].p50_ms for name in STAGES]
        times_ms += asdict(measurement.total).values()
        compiled = measurement.compiled_invoke
        rows.append(
            (
                measurement.variant,
                str(measurement.threads),
                f"{measurement.size_mib:.2f}",
                *(f"{time_ms:.1f}" for time_ms in times_ms),
                f"{compiled.p50_ms:.1f}" if compiled else "-",
                f"{measurement.model_rss_mib:.0f}",
                f"{measurement.arena_rss_mib:.0f}",
                f"{measurement.peak_rss_mib:.0f}",
            )
        )
    lines = _aligned(rows)
    for failure in profiling.failures:
        lines.append(f"NOT MEASURED: {failure.variant}, {threads_in_words(failure.threads)}. {failure.reason}")
    lines.append(
        "Times in milliseconds. cold: from the start of the process to the first grade. decode to total: medians. "
        "p90 to IQR: of the total. compiled: median invoke by LiteRT's CompiledModel, to compare with invoke. "
        "Memory in MiB: model and arena: growth when the model is loaded and first invoked; peak: of the whole process."
    )
    lines += _conditions(measurements)
    return "\n".join(lines)


def _conditions(measurements: Sequence[Measurement]) -> list[str]:
    """Return lines on how and where the measurements were made, and what is to be expected of each variant."""
    last = measurements[-1]
    place = last.machine
    loads = [row.load_average for row in measurements if row.load_average is not None]
    load = max(loads, default=float("nan"))
    sizes_mib = {measurement.variant: measurement.size_mib for measurement in measurements}
    return [
        f"{last.repeats} repeats per row after {last.warm_up} of warm-up; each row is measured in a fresh process"
        f"{_pinned(last.cpus)}. Image: {last.image}.",
        _compiled_words(measurements),
        f"{place.cpu}, {place.usable_cores} of {place.cores} cores, {place.architecture}, ai-edge-litert "
        f"{place.runtime}, OpenCV {place.opencv}; highest load average before a row: {load:.2f}.",
        expectations(place.int8, place.architecture, sizes_mib),
    ]


def _pinned(cpus: Sequence[int] | None) -> str:
    if not cpus:
        return ""
    return f" on core{'s' if len(cpus) > 1 else ''} {', '.join(map(str, cpus))}"


def _compiled_words(measurements: Sequence[Measurement]) -> str:
    """Say whether LiteRT's CompiledModel gives the same numbers, which is why `grade` can use the Interpreter."""
    differences = [row.compiled_difference for row in measurements if row.compiled_difference is not None]
    errors = [row.compiled_error for row in measurements if row.compiled_error]
    if errors:
        return f"LiteRT's CompiledModel does not run here; grade uses the Interpreter, which does. {errors[0]}"
    if max(differences) == 0:
        return "CompiledModel gives the same outputs to the last bit; grade uses the Interpreter."
    return f"The outputs of CompiledModel differ by up to {max(differences):.2g}; grade uses the Interpreter."


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines, the first column aligned left and the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return lines
