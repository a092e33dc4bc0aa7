"""Time of heat maps: closed form compared with tf-keras-vis, and a whole explanation with a bare forward pass.

    python benchmarks/explain.py [RUN [PREPARED]] [--backbone densenet121] [--size 224] [--batch 8] [--repeats 5]
                                 [--photographs 500]

First, Grad-CAM and Grad-CAM++ are made for one batch in both ways, which take turns; the first call of each is not
counted. With RUN, the time per photograph of every method is compared with a bare forward pass. Then everything that
`explain` does with Grad-CAM, including scores, on `--photographs` photographs of the run's set (repeated if it has
fewer) is compared with only reading and grading the same photographs.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import common
import keras
import numpy as np
import tensorflow as tf

import keras_dr as dr
from keras_dr.explanation import tf_keras_vis_maps
from keras_dr.explanation.explain_split import explain_split
from keras_dr.explanation.forward_pass import BATCH
from keras_dr.explanation.job import ExplanationOptions
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.models.grader import build_model
from keras_dr.training.pipeline import Photographs

GOAL_CLOSED = 6.0
GOAL_WHOLE = 1.25


def elapsed(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Return the elapsed seconds of each way, float64 (repeats,)."""
    return {name: times[:, 0] for name, times in common.take_turns(ways, repeats).items()}


def compare_closed(backbone: str, size: int, batch: int, repeats: int) -> None:
    """Compare the closed form with tf-keras-vis on one batch."""
    explainer = Explainer(build_model(backbone, size, 5))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
    classes = rng.integers(0, 5, batch)
    for method in ("grad-cam", "grad-cam++"):
        times = elapsed(
            {
                "closed": partial(explainer.heatmaps, images, classes, method, batch),
                "peer": partial(
                    tf_keras_vis_maps.by_gradients, method, explainer.model, images, classes, explainer.layer
                ),
            },
            repeats,
        )
        closed_ms = np.median(times["closed"]) * 1000 / batch
        peer_ms = np.median(times["peer"]) * 1000 / batch
        shortest = times["peer"].min() / times["closed"].min()
        print(
            f"{method}, {backbone} at {size}, batch {batch}: closed form {closed_ms:.1f} ms per photograph, "
            f"tf-keras-vis {peer_ms:.1f} ms; ratio of the shortest {shortest:.1f}"
        )
        ratios = times["peer"] / times["closed"]
        common.report(f"{method}, tf-keras-vis / closed form", "tf-keras-vis", ratios, at_least=GOAL_CLOSED)


def compare_methods(model: keras.Model, data: dr.PreparedSet, repeats: int) -> None:
    """Compare every method with a bare forward pass, in batches of four."""
    explainer = Explainer(model)
    images = data.images(range(4))
    classes = explainer.predict(images)[0].argmax(axis=1)
    batch = images.astype(np.float32)
    ways: dict[str, Callable[[], object]] = {"bare forward": lambda: model.predict_on_batch(batch)}
    for method in METHODS:
        ways[method] = partial(explainer.heatmaps, images, classes, method, 4)
    times = elapsed(ways, repeats)
    bare = np.median(times["bare forward"])
    for name, seconds in times.items():
        median = np.median(seconds)
        print(f"{name:17} {median * 1000 / 4:8.1f} ms per photograph, {median / bare:6.1f} of bare forward")


def compare_whole(model: keras.Model, data: dr.PreparedSet, repeats: int) -> None:
    """Compare everything that `explain` does with only reading and grading."""

    def bare() -> None:
        for batch in Photographs(data.image_files(), data.preprocessing.size).batches(BATCH):
            model.predict_on_batch(batch)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            explain_split(model, data, Path(folder) / "out", ExplanationOptions(n=1))

    times = elapsed({"bare": bare, "explain": whole}, repeats)
    shortest = times["explain"].min() / times["bare"].min()
    print(
        f"{len(data.rows)} photographs: read and graded in {np.median(times['bare']):.1f} s, "
        f"explained in {np.median(times['explain']):.1f} s; ratio of the shortest {shortest:.2f}"
    )
    ratios = times["explain"] / times["bare"]
    common.report("explain / read and grade", "bare forward pass", ratios, at_most=GOAL_WHOLE)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, batch=8, repeats=5, photographs=500)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("prepared", nargs="?", type=Path)
    parser.add_argument("--backbone", default="densenet121")
    arguments = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    compare_closed(arguments.backbone, arguments.size, arguments.batch, arguments.repeats)
    if arguments.run:
        run = dr.Run.load(arguments.run)
        data = run.prepared_set(arguments.prepared)
        model = run.model()
        repeats = min(arguments.repeats, 3)
        compare_methods(model, data, repeats)
        rows = tuple(islice(cycle(data.rows), arguments.photographs))
        compare_whole(model, replace(data, rows=rows), repeats)


if __name__ == "__main__":
    main()
