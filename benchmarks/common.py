"""Helpers of the benchmarks: arguments, timing in turns, drawn photographs, and reports of ratios.

`import common` comes before any import from the project: it makes the project importable, and TensorFlow quiet.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(ROOT))

import keras_dr as dr  # noqa: E402  the path is set above

JSON_FILE = "BENCHMARK_JSON"  # environment variable with the name of a file that `report` appends to
DRAWN = 40  # number of photographs that `draw_set` draws


@dataclass(frozen=True)
class Figure:
    """A comparison of this project with a peer.

    Attributes:
        what: the ratio in words, such as "fit / features once".
        peer: the peer that it is compared with.
        ratios: one ratio per round (or photograph), > 0.
        at_least: lower limit of the goal for their median; None if there is none.
        at_most: upper limit of the goal for their median; None if there is none.
    """

    what: str
    peer: str
    ratios: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words."""
        limits = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {value:g}" for word, value in limits if value is not None) or "none"

    @property
    def held(self) -> bool | None:
        """Whether the median meets the goal; None without a goal."""
        if self.at_least is None and self.at_most is None:
            return None
        median = float(np.median(self.ratios))
        return (self.at_least is None or median >= self.at_least) and (self.at_most is None or median <= self.at_most)


def report(
    what: str,
    peer: str,
    ratios: Sequence[float] | np.ndarray,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> None:
    """Print a figure, and append it as a line of JSON to the file that $BENCHMARK_JSON names, if it is set."""
    figure = Figure(what, peer, tuple(float(ratio) for ratio in ratios), at_least, at_most)
    low, median, high = np.quantile(figure.ratios, (0, 0.5, 1))
    spread = f"median {median:.3f} ({low:.3f} to {high:.3f}, n = {len(figure.ratios)})"
    print(f"{what}: {spread}; peer: {peer}; goal: {figure.goal}", flush=True)
    if file := os.environ.get(JSON_FILE):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(figure)) + "\n")


def parser(doc: str | None, **numbers: int) -> argparse.ArgumentParser:
    """Return a parser that shows a benchmark's docstring, with an option --NAME for each of the whole numbers."""
    arguments = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        arguments.add_argument(f"--{name}", type=int, default=default)
    return arguments


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call: elapsed, and of processor time, on which other programs have less effect."""
    start = perf_counter()
    processor_start = process_time()
    work()
    return perf_counter() - start, process_time() - processor_start


def take_turns(ways: Mapping[str, Callable[[], object]], repeats: int, verbose: bool = False) -> dict[str, np.ndarray]:
    """Return the seconds of each way, float64 (repeats, 2): elapsed, and of processor time.

    In each round every way has one turn, and the order changes from round to round, so that a slow machine affects all
    ways equally. The first round is not counted. With `verbose`, each round is printed.
    """
    names = list(ways)
    times = {name: np.empty((repeats + 1, 2)) for name in names}
    for repeat in range(repeats + 1):
        for index in np.roll(np.arange(len(names)), repeat):
            times[names[index]][repeat] = seconds(ways[names[index]])
        if verbose:
            elapsed = ", ".join(f"{name} {times[name][repeat, 0]:.2f} s" for name in names)
            print(f"round {repeat}: {elapsed}, load {os.getloadavg()[0]:.1f}", flush=True)
    return {name: values[1:] for name, values in times.items()}


def kept_array(file: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array in a .npy file; if there is no such file, compute the array and keep it there."""
    from keras_dr.core.folders import write_bytes

    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.save(content, compute())
        write_bytes(file, content.getvalue())
    return np.asarray(np.load(file))


def draw_set(folder: Path, size: int, count: int = DRAWN) -> dr.PreparedSet:
    """Write and return a Prepared set of drawn photographs of five grades, `size` pixels, in `folder`."""
    from keras_dr.synthetic.photographs import write_dataset

    source = folder / "photographs"
    write_dataset(source, count=count, seed=1, size=(max(size, 64), max(size, 64) * 4 // 3), workers=1)
    return dr.prepare(source, folder / "prepared", size=size, workers=0)
