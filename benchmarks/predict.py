"""Whether evaluation waits for anything but the network: `evaluation.predict` against the bare forward pass.

    python benchmarks/predict.py [RUN] [--size 224] [--photographs 256] [--batch 32] [--repeats 5]

Bare forward: the same model called, compiled, on one batch that is held in memory, as many times as there are batches.
Predict: PNG files of the prepared set read, decoded, batched and turned into calibrated probabilities. Both run in this
process and take turns, each going first every other time; beside the seconds on the clock stand those that the
processors worked for this process, in which other programs on the machine show less. Without RUN, MobileNetV2 from
random weights on synthetic photographs.
"""

import tempfile
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import common
import keras
import numpy as np

from keras_dr.models.grader import build_model
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training import forward
from keras_dr.training.run import Run

GOAL = 0.9


def compare(run: Any, model: keras.Model, data: PreparedSet, batch: int, repeats: int) -> dict[str, np.ndarray]:
    """Seconds (repeats, 2) of "predict" and "bare forward": on the clock, of work."""
    steps = -(-len(data.rows) // batch)
    held = data.images(range(batch)).astype(np.float32)

    def bare() -> None:
        for _ in range(steps):
            model.predict_on_batch(held)

    def whole() -> None:
        forward.predict(run, model, data, batch_size=batch)

    return common.take_turns({"bare forward": bare, "predict": whole}, repeats, tell=True)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, photographs=256, batch=32, repeats=5)
    parser.add_argument("run", nargs="?", type=Path)
    given = parser.parse_args()
    count = -(-given.photographs // given.batch) * given.batch  # whole batches: both ways do the same work
    with tempfile.TemporaryDirectory() as temporary:
        if given.run:
            run: Any = Run.load(given.run)
            model, data = run.model(), run.prepared_set()
        else:
            data = common.draw_set(Path(temporary), given.size)
            model = build_model("mobilenetv2", given.size, len(data.task.classes))
            run = SimpleNamespace(preprocessing=data.preprocessing, task=data.task, turns=False, temperature=1.0)
        data = replace(data, rows=tuple(islice(cycle(data.rows), count)))
        print(f"{model.name} at {data.preprocessing.size}, {count} photographs in batches of {given.batch}")
        times = compare(run, model, data, given.batch, given.repeats)
    for column, name in enumerate(("on the clock", "of work")):
        bare, whole = (times[way][:, column] for way in ("bare forward", "predict"))
        best, median = bare.min() / whole.min(), np.median(bare) / np.median(whole)
        print(f"throughput, predict / bare forward, {name}: best rounds {best:.3f}, median rounds {median:.3f}")
    ratios = times["bare forward"][:, 0] / times["predict"][:, 0]
    common.report("throughput, predict / bare forward", "bare forward pass", ratios, at_least=GOAL)


if __name__ == "__main__":
    main()
