"""One measurement in a process of its own: `profiler.profile` starts `python -m edge_demo.measurement REQUEST`.

REQUEST is JSON (bundle, variant, threads, repeats, started); the photograph comes on the standard input (`apart`).
"""

import os
import platform
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter, time
from typing import Any

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.fresh_process import answer
from edge_demo.grader import Grader

STAGES = ("decode", "prepare", "invoke", "overlay")
WARM_UP = 5  # rounds that are not counted; the first of them gives first_result_ms


def measure(
    bundle_folder: Path, variant: str, threads: int, repeats: int, image: bytes, started: float
) -> dict[str, Any]:
    """Load one model, grade one photograph again and again, and time each stage.

    Args:
        bundle_folder: the bundle.
        variant: which of its models.
        threads: processor threads for the model and for OpenCV, 1 or more.
        repeats: counted rounds, 1 or more.
        image: a photograph's file.
        started: when the process was asked for, in seconds since the epoch.

    Returns:
        JSON value with the measured fields of `profiler.Measurement`.

    Raises:
        KerasDrError: as `Bundle.load`, `Grader` and `Grader.grade`.
    """
    cv2.setNumThreads(threads)
    before_mib = _rss_mib()
    start = perf_counter()
    grader = Grader(Bundle.load(bundle_folder), variant, threads)
    loaded = perf_counter()
    grader.grade(image, "first")
    first, cold_start_ms = perf_counter(), (time() - started) * 1000
    for _ in range(WARM_UP - 1):
        time_stages(grader, image)
    energy, counted = _energy_uj(), perf_counter()
    rounds = [time_stages(grader, image) for _ in range(repeats)]
    counted = perf_counter() - counted
    used = _energy_uj()
    times_ms = np.array(rounds) * 1000
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
        "steady_rss_mib": _rss_mib(),
        "peak_rss_mib": peak_rss_mib(),
        # the counter begins anew at its end, after some hours
        "energy_mj": None if energy is None or used is None or used < energy else (used - energy) / 1000 / repeats,
        "photographs_per_s": repeats / counted,
        "repeats": repeats,
        "pid": os.getpid(),
    }


def time_stages(grader: Grader, image: bytes) -> list[float]:
    """Seconds of each stage and, last, from the first stage's start to the last one's end."""
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
    """Percentiles of float (N,) milliseconds, linear between neighbours (with few rounds p99 is nearly the maximum)."""
    p25, p50, p75, p90, p99 = (float(value) for value in np.percentile(times_ms, (25, 50, 75, 90, 99)))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "iqr_ms": p75 - p25}


def _energy_uj() -> int | None:
    """Microjoules of the processor package so far, by Linux's powercap (RAPL); mostly for the superuser to read."""
    try:
        return int(Path("/sys/class/powercap/intel-rapl:0/energy_uj").read_text())
    except (OSError, ValueError):
        return None


def _status_mib(key: str) -> float | None:
    """A line of /proc/self/status, such as "VmHWM:  123 kB", in MiB; None where there is none."""
    try:
        line = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(line[1]) / 1024 if line else None


def peak_rss_mib() -> float:
    """The most memory that this process ever held resident, in MiB.

    VmHWM where the kernel tells it: Linux hands ru_maxrss on through fork and exec, so that a small process that a
    large one started would answer with the large one's.
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


def _answer(asked: dict[str, Any], image: bytes) -> dict[str, Any]:
    rest = (asked["variant"], asked["threads"], asked["repeats"], image, asked["started"])
    return measure(Path(asked["bundle"]), *rest)


if __name__ == "__main__":
    answer(_answer)
