"""What benchmarks share: their arguments, turns on the clock, drawn photographs, and one way to report a ratio.

`import common` comes before anything of the project: it makes the project importable, and TensorFlow quiet.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(ROOT))
if TYPE_CHECKING:
    from keras_dr.preparation.prepared_set import PreparedSet

JSON_FILE = "BENCHMARK_JSON"  # environment variable: a file that `report` appends to
DRAWN = 40  # different photographs that `draw_set` draws


@dataclass(frozen=True)
class Figure:
    """How ours compares with a peer.

    Attributes:
        what: the quotient in words, such as "fit / features once".
        peer: whom it is compared with.
        ratios: one a round (or a photograph), > 0.
        at_least, at_most: the goal for their median; None where there is none.
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
        """Whether the median keeps to the goal; None without one."""
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
    """Print a figure, and append it as a line of JSON to the file that $BENCHMARK_JSON names, if it does."""
    figure = Figure(what, peer, tuple(float(one) for one in ratios), at_least, at_most)
    low, median, high = np.quantile(figure.ratios, (0, 0.5, 1))
    spread = f"median {median:.3f} ({low:.3f} to {high:.3f}, n = {len(figure.ratios)})"
    print(f"{what}: {spread}; peer: {peer}; goal: {figure.goal}", flush=True)
    if file := os.environ.get(JSON_FILE):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(figure)) + "\n")


def parser(doc: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A parser that shows a benchmark's docstring, with an option --NAME for each of the whole numbers."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        made.add_argument(f"--{name}", type=int, default=default)
    return made


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that a call takes: on the clock, and of work by all processors, where other programs show less."""
    start, start_work = perf_counter(), process_time()
    work()
    return perf_counter() - start, process_time() - start_work


def take_turns(ways: Mapping[str, Callable[[], object]], repeats: int, tell: bool = False) -> dict[str, np.ndarray]:
    """Seconds of each way, float64 (repeats, 2): on the clock, of work; a round before them is not counted.

    Within a round each way takes its turn, another one first every time: what slows the machine falls on all alike.
    With `tell`, each round is printed.
    """
    names = list(ways)
    times = {name: np.empty((repeats + 1, 2)) for name in names}
    for repeat in range(repeats + 1):
        for index in np.roll(np.arange(len(names)), repeat):
            times[names[index]][repeat] = seconds(ways[names[index]])
        if tell:
            clock = ", ".join(f"{name} {times[name][repeat, 0]:.2f} s" for name in names)
            print(f"round {repeat}: {clock}, load {os.getloadavg()[0]:.1f}", flush=True)
    return {name: values[1:] for name, values in times.items()}


def draw_set(folder: Path, size: int, count: int = DRAWN) -> "PreparedSet":
    """A Prepared set of drawn photographs of five grades, `size` pixels, in `folder`."""
    from keras_dr.core.preprocessing import Preprocessing
    from keras_dr.datasets import read_records
    from keras_dr.preparation.prepare import prepare_records
    from keras_dr.synthetic.photographs import write_dataset

    source = folder / "photographs"
    write_dataset(source, count=count, seed=1, size=(max(size, 64), max(size, 64) * 4 // 3), workers=1)
    name, records = read_records(source)
    prepare_records(records, source, folder / "prepared", Preprocessing(size), dataset=name, workers=0)
    return PreparedSet.load(folder / "prepared")
