"""Whether evaluation waits for anything except the network: `training.forward.predict` and the bare forward pass.

    python benchmarks/predict.py [RUN] [--size 224] [--photographs 256] [--batch 32] [--repeats 5]

Bare forward: the same compiled model is called on one batch in memory, as often as there are batches. Predict: PNG
files of the prepared set are read, decoded, batched and turned into calibrated probabilities. Both run in this process
and take turns; each begins every second round. In addition to the elapsed seconds, the processor time of this process
is measured, on which other programs have less effect. Without RUN, MobileNetV2 with random weights grades drawn
photographs.
"""

import math
import tempfile
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import common
import keras
import numpy as np

import keras_dr as dr
from keras_dr.models.grader import build_model
from keras_dr.training import forward

GOAL = 0.9


def compare(run: Any, model: keras.Model, data: dr.PreparedSet, batch: int, repeats: int) -> dict[str, np.ndarray]:
    """Return the seconds (repeats, 2) of "predict" and "bare forward": elapsed, and of processor time."""
    steps = math.ceil(len(data.rows) / batch)
    images = data.images(range(batch)).astype(np.float32)

    def bare() -> None:
        for _ in range(steps):
            model.predict_on_batch(images)

    def whole() -> None:
        forward.predict(run, model, data, batch_size=batch)

    return common.take_turns({"bare forward": bare, "predict": whole}, repeats, verbose=True)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, photographs=256, batch=32, repeats=5)
    parser.add_argument("run", nargs="?", type=Path)
    arguments = parser.parse_args()
    batch = arguments.batch
    count = math.ceil(arguments.photographs / batch) * batch  # only full batches, so that both ways do the same work
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.run:
            run: Any = dr.Run.load(arguments.run)
            model = run.model()
            data = run.prepared_set()
        else:
            data = common.draw_set(Path(temporary), arguments.size)
            model = build_model("mobilenetv2", arguments.size, len(data.task.classes))
            run = SimpleNamespace(preprocessing=data.preprocessing, task=data.task, uses_tta=False, temperature=1.0)
        data = replace(data, rows=tuple(islice(cycle(data.rows), count)))
        print(f"{model.name} at {data.preprocessing.size}, {count} photographs in batches of {batch}")
        times = compare(run, model, data, batch, arguments.repeats)
    for column, name in enumerate(("elapsed", "processor time")):
        bare = times["bare forward"][:, column]
        whole = times["predict"][:, column]
        best = bare.min() / whole.min()
        median = np.median(bare) / np.median(whole)
        print(f"throughput, predict / bare forward, {name}: best rounds {best:.3f}, median rounds {median:.3f}")
    ratios = times["bare forward"][:, 0] / times["predict"][:, 0]
    common.report("throughput, predict / bare forward", "bare forward pass", ratios, at_least=GOAL)


if __name__ == "__main__":
    main()
