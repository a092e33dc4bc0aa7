"""One measurement in a process of its own: `profiler.profile` starts `python -m edge_demo.measurement REQUEST`.

REQUEST is JSON (bundle, variant, threads, repeats, started); the photograph is read from the standard input (see
`fresh_process`).
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
WARM_UP = 5  # rounds that are not counted; first_result_ms is the time until the end of the first


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
    grader = Grader(Bundle.load(bundle_folder), variant, threads)
    loaded = perf_counter()
    grader.grade(image, "first")
    first = perf_counter()
    cold_start_ms = (time() - started) * 1000
    for _ in range(WARM_UP - 1):
        time_stages(grader, image)
    energy_before_uj = _energy_uj()
    rounds_start = perf_counter()
    rounds = [time_stages(grader, image) for _ in range(repeats)]
    rounds_s = perf_counter() - rounds_start
    energy_after_uj = _energy_uj()
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
        "energy_mj": _energy_mj(energy_before_uj, energy_after_uj, repeats),
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
    p25, p50, p75, p90, p99 = (float(value) for value in np.percentile(times_ms, (25, 50, 75, 90, 99)))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "iqr_ms": p75 - p25}


def _energy_uj() -> int | None:
    """Return Linux's counter of the processor package's energy (powercap, RAPL), which usually only root may read."""
    try:
        return int(Path("/sys/class/powercap/intel-rapl:0/energy_uj").read_text())
    except (OSError, ValueError):
        return None


def _energy_mj(before_uj: int | None, after_uj: int | None, repeats: int) -> float | None:
    """Return the millijoules per round; None if unknown, or if the counter wrapped, as it does after some hours."""
    if before_uj is None or after_uj is None or after_uj < before_uj:
        return None
    return (after_uj - before_uj) / 1000 / repeats


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
