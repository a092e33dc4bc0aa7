"""Grades without a pause for minutes, and records how fast it stays and how hot the processor becomes.

    python -m edge_demo.sustained REQUEST     REQUEST: bundle, variant, threads, cpus, minutes (see `fresh_process`)

A small computer without a fan is fast for a minute, and slower when it is hot. The photograph comes from the standard
input.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.cores import threads_in_words
from edge_demo.fresh_process import answer, ask
from edge_demo.grader import Grader
from edge_demo.measurement import WARM_UP, pin, time_stages
from edge_demo.sensors import Reading, is_simulated, read_sensors

_SAMPLES = 120  # at most so many, each of at least a second
_TENTH = 10


@dataclass(frozen=True)
class Sample:
    """A part of the time.

    Attributes:
        at_s: its end, in seconds since the first counted photograph.
        photographs: how many were graded in it.
        p50_ms: median of a grading.
        p90_ms: 90th percentile of a grading.
        temperature_c, clock_mhz, throttled, power_w: see `sensors.Reading`, at its end.
    """

    at_s: float
    photographs: int
    p50_ms: float
    p90_ms: float
    temperature_c: float | None
    clock_mhz: float | None
    throttled: tuple[str, ...] | None
    power_w: float | None


@dataclass(frozen=True)
class Sustained:
    """A sustained measurement of one model.

    Attributes:
        variant: name of the model in the bundle.
        threads: number of processor threads.
        minutes: how long it graded.
        warm_up: number of gradings before the first that counts.
        simulated: whether temperature, clock, throttling and power come from a folder that imitates sensors.
        samples: the parts of the time, in order.
    """

    variant: str
    threads: int
    minutes: float
    warm_up: int
    simulated: bool
    samples: tuple[Sample, ...]

    @property
    def slowdown(self) -> float:
        """The median time in the last tenth, divided by that in the first tenth."""
        first_ms, last_ms = self._tenths_ms()
        return last_ms / first_ms

    def _tenths_ms(self) -> tuple[float, float]:
        """Return the median time in the first and in the last tenth."""
        count = max(1, len(self.samples) // _TENTH)
        times_ms = [sample.p50_ms for sample in self.samples]
        return float(np.median(times_ms[:count])), float(np.median(times_ms[-count:]))

    def __str__(self) -> str:
        """Return two or three lines of text."""
        first_ms, last_ms = self._tenths_ms()
        lines = [
            f"{self.variant}, {threads_in_words(self.threads)}, {self.minutes:g} min without a pause, after "
            f"{self.warm_up} gradings of warm-up: median {first_ms:.1f} ms in the first tenth of the time, "
            f"{last_ms:.1f} ms in the last ({self.slowdown:.2f} of it)."
        ]
        parts = []
        temperatures = [sample.temperature_c for sample in self.samples if sample.temperature_c is not None]
        clocks = [sample.clock_mhz for sample in self.samples if sample.clock_mhz is not None]
        known = [sample.throttled for sample in self.samples if sample.throttled is not None]
        parts.append(f"hottest {max(temperatures):.0f} C" if temperatures else "no thermal sensor")
        parts.append(f"clock {min(clocks):.0f} to {max(clocks):.0f} MHz" if clocks else "no clock reported")
        if known:
            reasons = sorted({reason for throttled in known for reason in throttled})
            share = sum(bool(throttled) for throttled in known) / len(known)
            parts.append(f"throttled in {share:.0%} of the time" + (f" ({', '.join(reasons)})" if reasons else ""))
        else:
            parts.append("no sign of throttling is reported here")
        source = "Simulated sensors" if self.simulated else "Sensors"
        lines.append(f"  {source}: {'; '.join(parts)}.")
        return "\n".join(lines)


def measure_sustained(
    bundle_folder: Path,
    variants: Sequence[str] | None,
    threads: Sequence[int],
    minutes: float,
    photograph: bytes,
    cpus: Sequence[int] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Sustained]:
    """Grade for minutes with each variant and the largest number of threads, each in a fresh process.

    Args:
        bundle_folder: the bundle.
        variants: names of its models; None takes the one that `grade` uses.
        threads: numbers of threads, of which the largest is used.
        minutes: how long, more than 0.
        photograph: content of a photograph's file.
        cpus: numbers of the cores to use; None uses all that this process may use.
        progress: called with the name of the next measurement.

    Raises:
        KerasDrError: there is no bundle, a variant is unknown, or a process crashed.
    """
    bundle = Bundle.load(bundle_folder)
    results = []
    for variant in [bundle.default_variant()] if variants is None else variants:
        bundle.model_path(variant)
        progress(f"{variant} for {minutes:g} min")
        count = max(threads)
        request = {"bundle": str(bundle_folder), "variant": variant, "threads": count}
        request |= {"minutes": minutes, "cpus": list(cpus) if cpus else None}
        remedy = "Grade one photograph with this variant to see whether it runs."
        what = f"the sustained measurement of {variant}"
        told = ask("edge_demo.sustained", request, what, remedy, 180 + 70 * minutes, photograph)
        samples = tuple(
            Sample(**{**sample, "throttled": None if sample["throttled"] is None else tuple(sample["throttled"])})
            for sample in told["samples"]
        )
        results.append(Sustained(variant, count, minutes, WARM_UP, told["simulated"], samples))
    return results


def _measure(request: dict[str, Any], photograph: bytes) -> dict[str, Any]:
    """In the fresh process: grade until the time is over."""
    pin(request["cpus"])
    cv2.setNumThreads(request["threads"])
    grader = Grader(Bundle.load(Path(request["bundle"])), request["variant"], request["threads"])
    for _ in range(WARM_UP):
        time_stages(grader, photograph)
    seconds = 60 * request["minutes"]
    length_s = max(1.0, seconds / _SAMPLES)
    start = perf_counter()
    end = start + seconds
    samples: list[dict[str, Any]] = []
    while perf_counter() < end:
        until = min(perf_counter() + length_s, end)
        times_ms = [1000 * time_stages(grader, photograph)[-1]]
        while perf_counter() < until:
            times_ms.append(1000 * time_stages(grader, photograph)[-1])
        samples.append(_sample(perf_counter() - start, times_ms, read_sensors()))
    return {"samples": samples, "simulated": is_simulated()}


def _sample(at_s: float, times_ms: Sequence[float], reading: Reading) -> dict[str, Any]:
    p50_ms, p90_ms = (float(value) for value in np.percentile(times_ms, (50, 90)))
    return asdict(Sample(at_s, len(times_ms), p50_ms, p90_ms, **asdict(reading)))


if __name__ == "__main__":
    answer(_measure)
