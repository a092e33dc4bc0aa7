"""One measurement in a process of its own: `profiler.profile` starts `python -m edge_demo.measurement REQUEST`.

REQUEST is JSON (bundle, variant, threads, cpus, repeats, started); the photograph is read from the standard input (see
`fresh_process`).
"""

import os
import platform
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter, time
from typing import Any

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.fresh_process import answer
from edge_demo.grader import Grader
from edge_demo.sensors import EnergyMeter

STAGES = ("decode", "prepare", "invoke", "overlay")
WARM_UP = 5  # rounds that are not counted; first_result_ms is the time until the end of the first


def pin(cpus: Sequence[int] | None) -> None:
    """Let this process, with all its threads, run only on these cores; None changes nothing."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def measure(
    bundle_folder: Path, variant: str, threads: int, repeats: int, image: bytes, started: float
) -> dict[str, Any]:
    """Load a model, grade a photograph repeatedly, and time each stage.

    Args:
        bundle_folder: the bundle.
        variant: name of the model.
        threads: number of processor threads for the model and for OpenCV, 1 or more.
        repeats: number of counted rounds, 1 or more.
        image: content of a photograph's file.
        started: when the process was requested, in seconds since the epoch.

    Returns:
        JSON value with the measured fields of `profiler.Measurement`.

    Raises:
        KerasDrError: as for `Bundle.load`, `Grader` and `Grader.grade`.
    """
    cv2.setNumThreads(threads)
    before_mib = _rss_mib()
    start = perf_counter()
    import ai_edge_litert.interpreter  # noqa: F401  so that the runtime's memory is not counted as the model's

    runtime_mib = _rss_mib()
    grader = Grader(Bundle.load(bundle_folder), variant, threads)
    loaded = perf_counter()
    loaded_mib = _rss_mib()
    prepared = grader.prepare(grader.decode(image))
    ready_mib = _rss_mib()
    outputs = grader.invoke(prepared.image)
    invoked_mib = _rss_mib()
    grader.conclude("first", prepared, outputs)
    first = perf_counter()
    cold_start_ms = (time() - started) * 1000
    for _ in range(WARM_UP - 1):
        time_stages(grader, image)
    meter = EnergyMeter()
    rounds_start = perf_counter()
    rounds = []
    for _ in range(repeats):
        rounds.append(time_stages(grader, image))
        meter.sample()
    rounds_s = perf_counter() - rounds_start
    energy_mj, energy_source = meter.per_round_mj(repeats)
    times_ms = np.array(rounds) * 1000
    steady_mib = _rss_mib()
    peak_mib = peak_rss_mib()
    return {
        "variant": variant,
        "threads": threads,
        "size_mib": (bundle_folder / grader.bundle.models[variant].file).stat().st_size / 2**20,
        "load_ms": (loaded - start) * 1000,
        "first_result_ms": (first - start) * 1000,
        "cold_start_ms": cold_start_ms,
        "stages": {name: timing(times_ms[:, column]) for column, name in enumerate(STAGES)},
        "total": timing(times_ms[:, -1]),
        "baseline_rss_mib": before_mib,
        "runtime_rss_mib": runtime_mib - before_mib,
        "model_rss_mib": loaded_mib - runtime_mib,
        "arena_rss_mib": invoked_mib - ready_mib,
        "steady_rss_mib": steady_mib,
        "peak_rss_mib": peak_mib,
        "energy_mj": energy_mj,
        "energy_source": energy_source,
        "warm_up": WARM_UP,
        "photographs_per_s": repeats / rounds_s,
        "repeats": repeats,
        "pid": os.getpid(),
    }


def time_stages(grader: Grader, image: bytes) -> list[float]:
    """Return the seconds that each stage takes and, last, all stages together."""
    times = [perf_counter()]

    def timed(stage: Callable[..., Any], *arguments: Any) -> Any:
        result = stage(*arguments)
        times.append(perf_counter())
        return result

    photograph = timed(grader.decode, image)
    prepared = timed(grader.prepare, photograph)
    outputs = timed(grader.invoke, prepared[0])
    timed(lambda: grader.conclude("timed", prepared, outputs).overlay())
    return [after - before for before, after in pairwise(times)] + [times[-1] - times[0]]


def timing(times_ms: np.ndarray) -> dict[str, float]:
    """Return percentiles of float (N,) milliseconds, interpolated; with few rounds p99 is nearly the maximum."""
    p25, p50, p75, p90, p95, p99 = (float(value) for value in np.percentile(times_ms, (25, 50, 75, 90, 95, 99)))
    return {"p50_ms": p50, "p90_ms": p90, "p95_ms": p95, "p99_ms": p99, "iqr_ms": p75 - p25}


def _status_mib(key: str) -> float | None:
    """Return the value of a line in /proc/self/status, such as "VmHWM:  123 kB", in MiB; None if it is missing."""
    try:
        line = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(line[1]) / 1024 if line else None


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB.

    This is VmHWM if the kernel reports it. Linux passes ru_maxrss on through fork and exec, so that a small process
    that a large process started would report the memory of the large one.
    """
    peak = _status_mib("VmHWM")
    if peak is not None:
        return peak
    import resource  # not on Windows

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _rss_mib() -> float:
    current = _status_mib("VmRSS")
    return peak_rss_mib() if current is None else current


def _answer(request: dict[str, Any], image: bytes) -> dict[str, Any]:
    pin(request["cpus"])
    return measure(
        Path(request["bundle"]),
        request["variant"],
        request["threads"],
        request["repeats"],
        image,
        request["started"],
    )


if __name__ == "__main__":
    answer(_answer)
