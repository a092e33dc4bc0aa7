"""Whether evaluation waits for anything but the network: `evaluation.predict` against the bare forward pass.

    python benchmarks/predict.py [RUN] [--size 224] [--photographs 256] [--batch 32] [--repeats 5]

Bare forward: the same model called, compiled, on one batch that is held in memory, as many times as there are batches.
Predict: PNG files of the prepared set read, decoded, batched and turned into calibrated probabilities. Both run in this
process and take turns, each going first every other time; beside the seconds on the clock stand those that the
processors worked for this process, in which other programs on the machine show less. Without RUN, MobileNetV2 from
random weights on synthetic photographs.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

from keras_dr import evaluation, prepared, preparing
from keras_dr.datasets import read_records
from keras_dr.model import build_model
from keras_dr.prepared import PreparedSet
from keras_dr.preprocessing import Preprocessing
from keras_dr.synthetic import write_dataset
from keras_dr.trained import load_run

GOAL = 0.9
SYNTHETIC = 40  # different photographs, repeated


def synthetic(folder: Path, size: int) -> PreparedSet:
    """Drawn photographs, prepared."""
    source = folder / "photographs"
    write_dataset(source, count=SYNTHETIC, seed=1, size=(size, size * 4 // 3), workers=1)
    name, records = read_records(source)
    preparing.prepare(records, source, folder / "prepared", Preprocessing(size), dataset=name, workers=1)
    return prepared.load(folder / "prepared")


def timed(call: Any) -> tuple[float, float]:
    """Seconds on the clock and of work."""
    start, start_work = perf_counter(), process_time()
    call()
    return perf_counter() - start, process_time() - start_work


def compare(run: Any, model: keras.Model, data: PreparedSet, batch: int, repeats: int) -> np.ndarray:
    """Seconds (repeats, 2, 2): predict, bare forward; on the clock, of work. The first round is not counted."""
    steps = -(-len(data.rows) // batch)
    held = data.images(range(batch)).astype(np.float32)

    def bare() -> None:
        for _ in range(steps):
            model.predict_on_batch(held)

    seconds = np.empty((repeats + 1, 2, 2))
    for repeat in range(repeats + 1):
        for way in (0, 1) if repeat % 2 else (1, 0):
            seconds[repeat, way] = timed(
                bare if way else lambda: evaluation.predict(run, model, data, batch_size=batch)
            )
        clock = seconds[repeat, :, 0]
        print(f"round {repeat}: predict {clock[0]:.2f} s, bare forward {clock[1]:.2f} s", flush=True)
    return seconds[1:]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    for name, default in (("size", 224), ("photographs", 256), ("batch", 32), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    count = -(-given.photographs // given.batch) * given.batch  # whole batches: both ways do the same work
    with tempfile.TemporaryDirectory() as temporary:
        if given.run:
            run: Any = load_run(given.run)
            model, data = run.model(), run.prepared_set()
        else:
            data = synthetic(Path(temporary), given.size)
            model = build_model("mobilenetv2", given.size, len(data.task.classes))
            run = SimpleNamespace(preprocessing=data.preprocessing, task=data.task, turns=False, temperature=1.0)
        data = replace(data, rows=tuple(islice(cycle(data.rows), count)))
        print(f"{model.name} at {data.preprocessing.size}, {count} photographs in batches of {given.batch}")
        seconds = compare(run, model, data, given.batch, given.repeats)
    for column, name in enumerate(("on the clock", "of work")):
        times = seconds[..., column]
        least, median = times.min(axis=0), np.median(times, axis=0)
        print(f"throughput, predict / bare forward, {name}: best rounds {least[1] / least[0]:.3f}", end=", ")
        print(f"median rounds {median[1] / median[0]:.3f}, median ratio {np.median(times[:, 1] / times[:, 0]):.3f}")
    print(f"Goal on the clock: at least {GOAL}.")


if __name__ == "__main__":
    main()
