"""Measures latency, memory and size of a bundle's models on this machine, each in a fresh process."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from time import time
from typing import Any

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.fresh_process import ask
from edge_demo.machine import Machine, expectations, machine
from edge_demo.measurement import STAGES
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_json as _write_json
from keras_dr.core.machine import usable_cores

SYNTHETIC = "synthetic disc, JPEG 1072x712"
MAX_THREADS = 4 * usable_cores()  # more threads only wait for one another; many thousands crash the runtime
LOOK = "Grade one photograph with this variant to see whether it runs, and check the free memory."


@dataclass(frozen=True)
class Timing:
    """Statistics of a time over the counted rounds, in milliseconds.

    Attributes:
        p50_ms: median.
        p90_ms: 90th percentile.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        iqr_ms: third minus first quartile.
    """

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    iqr_ms: float


@dataclass(frozen=True)
class Measurement:
    """The measurement of one model with one number of threads.

    Attributes:
        variant: name of the model in the bundle.
        threads: number of processor threads of the model and of OpenCV.
        size_mib: size of the model's file.
        load_ms: time to read the manifest, import the runtime, hash the file and load the model.
        first_result_ms: time from the start of loading to the end of the first grading.
        cold_start_ms: time from the start of the process to the end of the first grading; the model's file is dropped
            from the page cache before, if the system permits it.
        stages: times of the four stages of a grading: decode (the file), prepare (the model's input), invoke (the
            model), overlay (the result and the picture of the heat map, in memory).
        total: time of all four stages together.
        baseline_rss_mib: resident memory before loading: Python, NumPy, OpenCV.
        runtime_rss_mib: growth when the runtime, LiteRT, is imported.
        model_rss_mib: growth when the model is loaded: its file, and its weights as the runtime packs them.
        arena_rss_mib: growth at the first invoke: the memory of the tensors between operators.
        steady_rss_mib: resident memory after the last round.
        peak_rss_mib: the process's largest resident memory, baseline included.
        energy_mj: energy of one grading, in millijoules, other processes included; None if there is no sensor.
        energy_source: "RAPL" (the processor package), "hwmon" (the first power sensor) or None.
        warm_up: number of gradings before the first counted round.
        compiled_invoke: times of an invoke by LiteRT's CompiledModel; None if it does not run here.
        compiled_difference: its outputs' largest difference from those of the Interpreter.
        cpus: numbers of the cores to which the process was pinned; None if it was not.
        photographs_per_s: number of counted rounds divided by their time.
        repeats: number of counted rounds.
        pid: number of the process that measured.
        image: description of the photograph.
        run: number of the run from 0, if everything is measured several times.
        load_average: the machine's load average over the last minute before the measurement, in runnable processes;
            None if it is unknown.
        machine: the machine that measured.
    """

    variant: str
    threads: int
    size_mib: float
    load_ms: float
    first_result_ms: float
    cold_start_ms: float
    stages: dict[str, Timing]
    total: Timing
    baseline_rss_mib: float
    runtime_rss_mib: float
    model_rss_mib: float
    arena_rss_mib: float
    steady_rss_mib: float
    peak_rss_mib: float
    energy_mj: float | None
    energy_source: str | None
    warm_up: int
    compiled_invoke: Timing | None
    compiled_difference: float | None
    cpus: tuple[int, ...] | None
    photographs_per_s: float
    repeats: int
    pid: int
    image: str
    run: int
    load_average: float | None
    machine: Machine


def parse_threads(text: str) -> list[int]:
    """Return the numbers of threads in a text such as "1,2".

    Raises:
        KerasDrError: the text has no numbers, or one that is not from 1 to `MAX_THREADS`.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        message = f"The numbers of threads must be whole numbers joined by commas, but are {repr(text)[:80]}."
        raise KerasDrError(message, "Write, for example, 1,2.") from error
    _check_threads(counts)
    return counts


def _check_threads(counts: Sequence[int]) -> None:
    wrong = [count for count in counts if not 1 <= count <= MAX_THREADS]
    if wrong:
        message = f"The number of threads is {wrong[0]}, but must be 1 to {MAX_THREADS} (at most four for each core)."
        raise KerasDrError(message, "Choose another number of threads.")


def parse_cpus(text: str) -> list[int]:
    """Return the numbers of cores in a text such as "0,1" or "0-3".

    Raises:
        KerasDrError: the text is no such list. Whether the cores can be used, `check_cpus` checks.
    """
    cpus: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            cpus += range(int(first), int(last or first) + 1)
    except ValueError as error:
        message = f"The numbers of cores must be whole numbers joined by commas, but are {repr(text)[:80]}."
        raise KerasDrError(message, "Write, for example, 0,1 or 0-3.") from error
    if not cpus:
        raise KerasDrError(f"The list of cores {repr(text)[:80]} is empty.", "Write, for example, 0,1 or 0-3.")
    return sorted(set(cpus))


def check_cpus(cpus: Sequence[int]) -> None:
    """Refuse cores that this process may not use, and systems on which a process cannot be pinned.

    Raises:
        KerasDrError: see above.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise KerasDrError("A process cannot be pinned to cores on this system.", "Leave out --cpus.")
    usable = os.sched_getaffinity(0)
    wrong = [cpu for cpu in cpus if cpu not in usable]
    if wrong:
        message = f"There is no core {wrong[0]} that this process may use."
        raise KerasDrError(message, f"Choose from {', '.join(map(str, sorted(usable)))}.")


def profile(
    bundle_folder: Path,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    image: bytes | None = None,
    repeats: int = 50,
    progress: Callable[[str], None] = lambda text: None,
    runs: int = 1,
    cpus: Sequence[int] | None = None,
) -> list[Measurement]:
    """Measure every variant with every number of threads, one after the other, each in a fresh process.

    Args:
        bundle_folder: the bundle.
        variants: names of its models; None takes all.
        threads: numbers of threads, each from 1 to `MAX_THREADS`.
        image: content of a photograph's file; None takes `synthetic_photograph()`, which `Measurement.image` records.
        repeats: number of counted rounds per measurement, 1 or more; a few warm-up rounds come before them.
        progress: called with the name of the next measurement.
        runs: how often everything is measured, to show the variation.
        cpus: numbers of the cores that the measuring processes may use; None: all that this process may use.

    Raises:
        KerasDrError: there is no bundle or no photograph, there are too many threads, a variant is unknown, a model has
            changed, or a process crashed.
    """
    bundle = Bundle.load(bundle_folder)
    names = list(bundle.models) if variants is None else list(variants)
    _check_threads(threads)
    if repeats < 1 or runs < 1:
        message = f"The number of repeats is {repeats} and that of runs {runs}; both must be 1 or more."
        raise KerasDrError(message, "Choose another number.")
    for name in names:
        bundle.model_path(name)
    if cpus:
        check_cpus(cpus)
    this_machine = machine()
    description = SYNTHETIC if image is None else f"photograph, {len(image)} bytes"
    photograph = synthetic_photograph() if image is None else image
    measurements = []
    for run, name, count in product(range(runs), names, threads):
        progress(f"{name}, {count} thread{'s' if count > 1 else ''}")
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        request["cpus"] = list(cpus) if cpus else None
        _drop_from_cache(bundle_folder / bundle.models[name].file)
        result = _measure({**request, "started": time()}, photograph)
        result["stages"] = {stage: Timing(**result["stages"][stage]) for stage in STAGES}
        result["total"] = Timing(**result["total"])
        if result["compiled_invoke"]:
            result["compiled_invoke"] = Timing(**result["compiled_invoke"])
        result["cpus"] = tuple(cpus) if cpus else None
        measurements.append(
            Measurement(**result, image=description, run=run, load_average=load_average, machine=this_machine)
        )
    return measurements


def _drop_from_cache(file: Path) -> None:
    """Ask the system to drop the file's pages, so that the next process reads them from the disk."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure(request: dict[str, Any], image: bytes) -> dict[str, Any]:
    """Measure in a fresh process."""
    count = request["threads"]
    what = f"a measurement of {request['variant']} with {count} thread{'s' if count > 1 else ''}"
    return ask("edge_demo.measurement", request, what, LOOK, 120 + 30 * request["repeats"], image)


def synthetic_photograph() -> bytes:
    """Draw a simple fundus photograph: an orange fundus with vessels, optic disc and noise on black, JPEG 1072x712.

    It is for timing only; its grade means nothing.
    """
    image = np.zeros((712, 1072, 3), np.uint8)  # BGR
    centre, radius = (536, 356), 340
    cv2.circle(image, centre, radius, (40, 90, 190), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(image, (740, 340), 48, (150, 210, 250), cv2.FILLED, cv2.LINE_AA)
    for angle in range(0, 360, 45):
        x, y = cv2.polarToCart(np.array([260.0]), np.array([float(angle)]), angleInDegrees=True)
        end = (536 + round(x.item()), 356 + round(y.item()))
        cv2.line(image, (740, 340), end, (25, 50, 130), 7, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    inside = image.any(axis=2, keepdims=True)
    image = np.clip(image + noise * inside, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def table(measurements: Sequence[Measurement]) -> str:
    """Return the measurements as lines of text: times, sizes and memory, then the conditions of the measurement."""
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
    lines.append(
        "Times in milliseconds. cold: from the start of the process to the first grade. decode to total: medians. "
        "p90 to IQR: of the total. compiled: median invoke by LiteRT's CompiledModel, to compare with invoke. "
        "Memory in MiB: model and arena: growth when the model is loaded and first invoked; peak: of the whole process."
    )
    if measurements:
        last = measurements[-1]
        loads = [row.load_average for row in measurements if row.load_average is not None]
        load = max(loads, default=float("nan"))
        place = last.machine
        lines.append(
            f"{last.repeats} repeats per row after {last.warm_up} of warm-up; each row is measured in a fresh process"
            f"{_pinned(last.cpus)}. Image: {last.image}."
        )
        lines.append(_compiled_words(measurements))
        lines.append(
            f"{place.cpu}, {place.usable_cores} of {place.cores} cores, {place.architecture}, ai-edge-litert "
            f"{place.runtime}, OpenCV {place.opencv}; highest load average before a row: {load:.2f}."
        )
        sizes_mib = {measurement.variant: measurement.size_mib for measurement in measurements}
        lines.append(expectations(place.int8, place.architecture, sizes_mib))
    return "\n".join(lines)


def _pinned(cpus: Sequence[int] | None) -> str:
    if not cpus:
        return ""
    return f" on core{'s' if len(cpus) > 1 else ''} {', '.join(map(str, cpus))}"


def _compiled_words(measurements: Sequence[Measurement]) -> str:
    """Say whether LiteRT's CompiledModel gives the same numbers, which is why `grade` can use the Interpreter."""
    differences = [row.compiled_difference for row in measurements if row.compiled_difference is not None]
    if not differences:
        return "LiteRT's CompiledModel does not run here; grade uses the Interpreter."
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
        plural = "s" if measurement.threads > 1 else ""
        lines.append(f"{measurement.variant}, {measurement.threads} thread{plural}: {verdict}")
    if measurements and not any_fits:
        nearest = min(measurements, key=lambda row: _excess(row, budget_ms, budget_mib))
        plural = "s" if nearest.threads > 1 else ""
        excess = _excess(nearest, budget_ms, budget_mib)
        by = f"by a factor of {excess:.2f}" if math.isfinite(excess) else "whose limit is 0"
        name = f"{nearest.variant} with {nearest.threads} thread{plural}"
        lines.append(f"No variant meets the budget. {name} misses it least, {by}.")
    return "\n".join(lines), any_fits


def _excess(measurement: Measurement, budget_ms: float | None, budget_mib: float | None) -> float:
    """Return the larger of the two factors by which a measurement exceeds the budget."""
    pairs = [(measurement.total.p90_ms, budget_ms), (measurement.peak_rss_mib, budget_mib)]
    return max(value / limit if limit else math.inf for value, limit in pairs if limit is not None)


def write_json(file: Path, measurements: Sequence[Measurement], **more: Sequence[Any]) -> None:
    """Write the measurements and the machine as JSON, whole or not at all.

    Args:
        file: the file to write.
        measurements: from `profile`.
        more: name -> dataclasses of another kind, such as operators; empty ones are left out.

    Raises:
        KerasDrError: the file cannot be written.
    """
    rows = [asdict(measurement) for measurement in measurements]
    for row in rows:
        del row["machine"]
    place = asdict(measurements[0].machine) if measurements else None
    others = {name: [asdict(item) for item in items] for name, items in more.items() if items}
    try:
        _write_json(file, {"schema_version": 1, "kind": "profile", "machine": place, "measurements": rows, **others})
    except OSError as error:
        message = f"The file {file} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists and is writable.") from error
