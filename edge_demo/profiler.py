"""Latency, memory and size of a bundle's models on this machine; one fresh process per measurement."""

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

SYNTHETIC = "synthetic disc, JPEG 1072x712"
MAX_THREADS = 4 * (os.cpu_count() or 1)  # more only wait for one another, and many thousands crash the runtime
LOOK = "Grade one photograph with this variant to see whether it runs, and look at the free memory."


@dataclass(frozen=True)
class Timing:
    """How long something took over the counted rounds, in milliseconds.

    Attributes:
        p50_ms, p90_ms, p99_ms: percentiles.
        iqr_ms: third minus first quartile.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    iqr_ms: float


@dataclass(frozen=True)
class Measurement:
    """One model with one number of threads.

    Attributes:
        variant: name of the model in the bundle.
        threads: processor threads of the model and of OpenCV.
        size_mib: the model's file.
        load_ms: manifest, import of the runtime, SHA-256 of the file, model into memory.
        first_result_ms: from the start of loading to the first grading.
        cold_start_ms: from the start of the process to the first grading, the model's file dropped from the page cache
            where the system permits it.
        stages: of one grading: decode (the file), prepare (the model's input), invoke (the model), overlay (result
            and picture of the heat map, in memory).
        total: all four together.
        baseline_rss_mib: resident memory before loading: Python, NumPy, OpenCV.
        steady_rss_mib: resident memory after the last round.
        peak_rss_mib: the process's largest resident memory, baseline included.
        energy_mj: of the processor package during one grading, in millijoules, whatever else ran; None where RAPL is
            not to be read.
        photographs_per_s: counted rounds by their time.
        repeats: counted rounds.
        pid: the process that measured.
        image: what was graded.
        run: 0, 1, ... where everything is measured several times.
        load_average: the machine's over the minute before, in runnable processes; None where it is not known.
        machine: where.
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
    """Numbers of threads from text such as "1,2".

    Raises:
        KerasDrError: no numbers, or one that is not 1 to `MAX_THREADS`.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        message = f"The numbers of threads are {repr(text)[:80]}, which are not whole numbers joined by commas."
        raise KerasDrError(message, "Write them as in 1,2.") from error
    _check_threads(counts)
    return counts


def _check_threads(counts: Sequence[int]) -> None:
    wrong = [count for count in counts if not 1 <= count <= MAX_THREADS]
    if wrong:
        message = f"The number of threads is {wrong[0]}, not 1 to {MAX_THREADS} (at most four for each core)."
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
        threads: numbers of threads, each 1 to `MAX_THREADS`.
        image: a photograph's file; None takes `synthetic_photograph()`, and `Measurement.image` says so.
        repeats: counted rounds per measurement, 1 or more; a few rounds before them warm up.
        progress: is called with the name of the next measurement.
        runs: how often everything is measured, to show the noise.

    Raises:
        KerasDrError: no bundle, too many threads, an unknown variant, an altered model, no photograph, or a process
            that died.
    """
    bundle = Bundle.load(bundle_folder)
    names = list(bundle.models) if variants is None else list(variants)
    _check_threads(threads)
    if repeats < 1 or runs < 1:
        message = f"The number of repeats is {repeats} and that of runs {runs}; both must be 1 or more."
        raise KerasDrError(message, "Choose another number.")
    for name in names:
        bundle.model_path(name)
    where = machine()
    shown = SYNTHETIC if image is None else f"photograph, {len(image)} bytes"
    data = synthetic_photograph() if image is None else image
    measurements = []
    for run, name, count in product(range(runs), names, threads):
        progress(f"{name}, {count} thread{'s' if count > 1 else ''}")
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        _drop_from_cache(bundle_folder / bundle.models[name].file)
        result = _measure_apart({**request, "started": time()}, data)
        result["stages"] = {stage: Timing(**result["stages"][stage]) for stage in STAGES}
        result["total"] = Timing(**result["total"])
        measurements.append(Measurement(**result, image=shown, run=run, load_average=load_average, machine=where))
    return measurements


def _drop_from_cache(file: Path) -> None:
    """Ask the system to forget the file's pages; the next process then reads them from the disk."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure_apart(request: dict[str, Any], image: bytes) -> dict[str, Any]:
    """Measure in a fresh process."""
    count = request["threads"]
    what = f"a measurement of {request['variant']} with {count} thread{'s' if count > 1 else ''}"
    return ask("edge_demo.measurement", request, what, LOOK, 120 + 30 * request["repeats"], image)


def synthetic_photograph() -> bytes:
    """A plain stand-in for a fundus photograph: an orange disc with vessels, disc and noise on black, JPEG 1072x712.

    For timing only; its grade means nothing.
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
    """The measurements as lines of text: medians a stage, percentiles of the total, memory; then where and what."""
    headings = ("variant", "threads", "MiB", "cold", "load", *STAGES, "total", "p90", "p99", "IQR", "peak MiB")
    rows: list[tuple[str, ...]] = [headings]
    for m in measurements:
        times = (m.cold_start_ms, m.load_ms, *(m.stages[name].p50_ms for name in STAGES), *asdict(m.total).values())
        sizes = f"{m.size_mib:.2f}", f"{m.peak_rss_mib:.0f}"
        rows.append((m.variant, str(m.threads), sizes[0], *(f"{time:.1f}" for time in times), sizes[1]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    lines = [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines.append("Milliseconds; cold: process to first grade; stages and total medians; p90, p99, IQR of the total.")
    if measurements:
        last = measurements[-1]
        load = max((m.load_average for m in measurements if m.load_average is not None), default=float("nan"))
        place = last.machine
        lines.append(f"{last.repeats} repeats a row, each row a fresh process. Image: {last.image}.")
        lines.append(
            f"{place.cpu}, {place.usable_cores} of {place.cores} cores, {place.architecture}, ai-edge-litert "
            f"{place.runtime}, OpenCV {place.opencv}; highest load average before a row {load:.2f}."
        )
        lines.append(expectations(place.int8, place.architecture, dict.fromkeys(m.variant for m in measurements)))
    return "\n".join(lines)


def fitting(measurements: Sequence[Measurement], budget_ms: float | None, budget_mib: float | None) -> tuple[str, bool]:
    """Which variants meet a budget, in words, and whether any does.

    Args:
        measurements: from `profile`.
        budget_ms: for the 90th percentile of a grading, in ms.
        budget_mib: for the peak resident memory, in MiB.
    """
    lines = []
    for m in measurements:
        over = []
        if budget_ms is not None and m.total.p90_ms > budget_ms:
            over.append(f"{m.total.p90_ms:.0f} ms")
        if budget_mib is not None and m.peak_rss_mib > budget_mib:
            over.append(f"{m.peak_rss_mib:.0f} MiB")
        verdict = f"too much: {', '.join(over)}" if over else "fits"
        lines.append(f"{m.variant}, {m.threads} thread{'s' if m.threads > 1 else ''}: {verdict}")
    fits = any(line.endswith(": fits") for line in lines)
    return "\n".join(lines if fits else [*lines, "No variant meets the budget."]), fits


def write_json(file: Path, measurements: Sequence[Measurement], **more: Sequence[Any]) -> None:
    """Write the measurements and the machine as JSON, whole or not at all.

    Args:
        file: to write.
        measurements: what `profile` returned.
        more: name -> dataclasses of another kind, such as operators; left out where there are none.

    Raises:
        KerasDrError: nothing can be written there.
    """
    rows = [{key: value for key, value in asdict(m).items() if key != "machine"} for m in measurements]
    place = asdict(measurements[0].machine) if measurements else None
    others = {name: [asdict(one) for one in some] for name, some in more.items() if some}
    try:
        _write_json(file, {"schema_version": 1, "kind": "profile", "machine": place, "measurements": rows, **others})
    except OSError as error:
        message = f"The file {file} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists and may be written.") from error
