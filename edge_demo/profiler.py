"""Measures latency, memory and size of a bundle's models on this machine, each in a fresh process."""

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
        p99_ms: 99th percentile.
        iqr_ms: third minus first quartile.
    """

    p50_ms: float
    p90_ms: float
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
        steady_rss_mib: resident memory after the last round.
        peak_rss_mib: the process's largest resident memory, baseline included.
        energy_mj: energy of the processor package during one grading, in millijoules, other processes included; None
            if RAPL cannot be read.
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
    steady_rss_mib: float
    peak_rss_mib: float
    energy_mj: float | None
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


def profile(
    bundle_folder: Path,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    image: bytes | None = None,
    repeats: int = 50,
    progress: Callable[[str], None] = lambda text: None,
    runs: int = 1,
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
    this_machine = machine()
    description = SYNTHETIC if image is None else f"photograph, {len(image)} bytes"
    photograph = synthetic_photograph() if image is None else image
    measurements = []
    for run, name, count in product(range(runs), names, threads):
        progress(f"{name}, {count} thread{'s' if count > 1 else ''}")
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        _drop_from_cache(bundle_folder / bundle.models[name].file)
        result = _measure({**request, "started": time()}, photograph)
        result["stages"] = {stage: Timing(**result["stages"][stage]) for stage in STAGES}
        result["total"] = Timing(**result["total"])
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
    headings = ("variant", "threads", "MiB", "cold", "load", *STAGES, "total", "p90", "p99", "IQR", "peak MiB")
    rows: list[tuple[str, ...]] = [headings]
    for measurement in measurements:
        times_ms = [measurement.cold_start_ms, measurement.load_ms]
        times_ms += [measurement.stages[name].p50_ms for name in STAGES]
        times_ms += asdict(measurement.total).values()
        rows.append(
            (
                measurement.variant,
                str(measurement.threads),
                f"{measurement.size_mib:.2f}",
                *(f"{time_ms:.1f}" for time_ms in times_ms),
                f"{measurement.peak_rss_mib:.0f}",
            )
        )
    lines = _aligned(rows)
    lines.append(
        "Times in milliseconds. cold: from the start of the process to the first grade. decode to total: medians. "
        "p90, p99 and IQR: of the total."
    )
    if measurements:
        last = measurements[-1]
        loads = [row.load_average for row in measurements if row.load_average is not None]
        load = max(loads, default=float("nan"))
        place = last.machine
        lines.append(f"{last.repeats} repeats per row; each row is measured in a fresh process. Image: {last.image}.")
        lines.append(
            f"{place.cpu}, {place.usable_cores} of {place.cores} cores, {place.architecture}, ai-edge-litert "
            f"{place.runtime}, OpenCV {place.opencv}; highest load average before a row: {load:.2f}."
        )
        variants = dict.fromkeys(measurement.variant for measurement in measurements)
        lines.append(expectations(place.int8, place.architecture, variants))
    return "\n".join(lines)


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
    if not any_fits:
        lines.append("No variant meets the budget.")
    return "\n".join(lines), any_fits


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
