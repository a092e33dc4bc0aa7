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
from edge_demo.cores import check_cpus, check_threads, threads_in_words
from edge_demo.fresh_process import ProcessEnded, ask
from edge_demo.machine import Machine, machine
from edge_demo.measurement import STAGES
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_json as _write_json

SYNTHETIC = "synthetic disc, JPEG 1072x712"
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
        compiled_error: why CompiledModel does not run here; None if it does.
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
    compiled_error: str | None
    cpus: tuple[int, ...] | None
    photographs_per_s: float
    repeats: int
    pid: int
    image: str
    run: int
    load_average: float | None
    machine: Machine


@dataclass(frozen=True)
class Failure:
    """A measurement whose process ended before it answered.

    Attributes:
        variant: name of the model in the bundle.
        threads: number of processor threads.
        run: number of the run from 0.
        reason: how it ended, in a sentence.
    """

    variant: str
    threads: int
    run: int
    reason: str


@dataclass(frozen=True)
class Profiling:
    """What `profile` returns.

    Attributes:
        measurements: one per variant, number of threads and run; at least one.
        failures: the measurements that are missing among them.
    """

    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()


def profile(
    bundle_folder: Path,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    image: bytes | None = None,
    repeats: int = 50,
    progress: Callable[[str], None] = lambda text: None,
    runs: int = 1,
    cpus: Sequence[int] | None = None,
) -> Profiling:
    """Measure every variant with every number of threads, one after the other, each in a fresh process.

    If a process crashes or does not end, the others are measured all the same.

    Args:
        bundle_folder: the bundle.
        variants: names of its models; None takes all.
        threads: numbers of threads, each from 1 to `cores.MAX_THREADS`.
        image: content of a photograph's file; None takes `synthetic_photograph()`, which `Measurement.image` records.
        repeats: number of counted rounds per measurement, 1 or more; a few warm-up rounds come before them.
        progress: called with the name of the next measurement.
        runs: how often everything is measured, to show the variation.
        cpus: numbers of the cores that the measuring processes may use; None: all that this process may use.

    Raises:
        KerasDrError: there is no bundle or no photograph, there are too many threads, a variant is unknown, a model has
            changed, or every process crashed.
    """
    bundle = Bundle.load(bundle_folder)
    names = list(bundle.models) if variants is None else list(variants)
    check_threads(threads)
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
    failures = []
    ended: ProcessEnded | None = None
    for run, name, count in product(range(runs), names, threads):
        progress(f"{name}, {threads_in_words(count)}")
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        request = {"bundle": str(bundle_folder), "variant": name, "threads": count, "repeats": repeats}
        request["cpus"] = list(cpus) if cpus else None
        _drop_from_cache(bundle_folder / bundle.models[name].file)
        try:
            result = _measure({**request, "started": time()}, photograph)
        except ProcessEnded as error:
            ended = error
            failures.append(Failure(name, count, run, error.message))
            continue
        result["stages"] = {stage: Timing(**result["stages"][stage]) for stage in STAGES}
        result["total"] = Timing(**result["total"])
        result |= _measure_compiled(request, photograph)
        result["cpus"] = tuple(cpus) if cpus else None
        measurements.append(
            Measurement(**result, image=description, run=run, load_average=load_average, machine=this_machine)
        )
    if ended and not measurements:
        raise ended
    return Profiling(tuple(measurements), tuple(failures))


def _drop_from_cache(file: Path) -> None:
    """Ask the system to drop the file's pages, so that the next process reads them from the disk."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure(request: dict[str, Any], image: bytes) -> dict[str, Any]:
    """Measure in a fresh process."""
    what = f"a measurement of {_words(request)}"
    return ask("edge_demo.measurement", request, what, LOOK, _seconds(request), image)


def _measure_compiled(request: dict[str, Any], image: bytes) -> dict[str, Any]:
    """Measure LiteRT's CompiledModel in a process of its own, because it crashes on some processors."""
    what = f"LiteRT's CompiledModel of {_words(request)}"
    try:
        result = ask("edge_demo.compiled", request, what, LOOK, _seconds(request), image)
    except ProcessEnded as error:
        return {"compiled_invoke": None, "compiled_difference": None, "compiled_error": error.message}
    return {
        "compiled_invoke": Timing(**result["invoke"]),
        "compiled_difference": result["difference"],
        "compiled_error": None,
    }


def _words(request: dict[str, Any]) -> str:
    return f"{request['variant']} with {threads_in_words(request['threads'])}"


def _seconds(request: dict[str, Any]) -> float:
    """Return how long a measurement may take; emulated processors are slow."""
    return 120 + 30 * request["repeats"]


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


def write_json(file: Path, profiling: Profiling, **more: Sequence[Any]) -> None:
    """Write the measurements and the machine as JSON, whole or not at all.

    Args:
        file: the file to write.
        profiling: from `profile`.
        more: name -> dataclasses of another kind, such as operators; empty ones are left out.

    Raises:
        KerasDrError: the file cannot be written.
    """
    rows = [asdict(measurement) for measurement in profiling.measurements]
    for row in rows:
        del row["machine"]
    place = asdict(profiling.measurements[0].machine)
    more = {"failures": profiling.failures, **more}
    others = {name: [asdict(item) for item in items] for name, items in more.items() if items}
    try:
        _write_json(file, {"schema_version": 1, "kind": "profile", "machine": place, "measurements": rows, **others})
    except OSError as error:
        message = f"The file {file} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists and is writable.") from error
