"""What heat maps cost: in closed form against tf-keras-vis, and a whole explanation against a bare forward pass.

    python benchmarks/explain.py [RUN [PREPARED]] [--backbone densenet121] [--size 224] [--batch 8] [--repeats 5]
                                 [--photographs 500]

First, Grad-CAM and Grad-CAM++ of one batch, both ways taking turns, the first call of each left out. With RUN, then
every method a photograph beside a bare forward pass; and all that `explain` does with Grad-CAM, scores included, on
`--photographs` photographs of the run's set (repeated to fill them) against the same photographs read and graded alone.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import common
import keras
import numpy as np
import tensorflow as tf

from keras_dr.explanation import tf_keras_vis_maps
from keras_dr.explanation.explain_split import explain_split
from keras_dr.explanation.forward_pass import BATCH
from keras_dr.explanation.job import ExplanationOptions
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.models.grader import build_model
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.pipeline import Photographs
from keras_dr.training.run import Run

GOAL_CLOSED, GOAL_WHOLE = 6.0, 1.25


def clock(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds on the clock of each way, float64 (repeats,)."""
    return {name: times[:, 0] for name, times in common.take_turns(ways, repeats).items()}


def compare_closed(backbone: str, size: int, batch: int, repeats: int) -> None:
    """Closed form against tf-keras-vis on one batch."""
    explainer = Explainer(build_model(backbone, size, 5))
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 256, (batch, size, size, 3), np.uint8), rng.integers(0, 5, batch)
    for method in ("grad-cam", "grad-cam++"):
        times = clock(
            {
                "closed": lambda: explainer.heatmaps(images, classes, method, batch),  # noqa: B023
                "peer": lambda: tf_keras_vis_maps.by_gradients(
                    method,  # noqa: B023
                    explainer.model,
                    images,
                    classes,
                    explainer.layer,
                ),
            },
            repeats,
        )
        closed, peer = (np.median(one) * 1000 / batch for one in times.values())
        print(f"{method}, {backbone} at {size}, batch {batch}: closed form {closed:.1f} ms a photograph,", end=" ")
        shortest = times["peer"].min() / times["closed"].min()
        print(f"tf-keras-vis {peer:.1f} ms; ratio of the shortest {shortest:.1f}")
        ratios = times["peer"] / times["closed"]
        common.report(f"{method}, tf-keras-vis / closed form", "tf-keras-vis", ratios, at_least=GOAL_CLOSED)


def compare_methods(model: keras.Model, data: PreparedSet, repeats: int) -> None:
    """Every method on a photograph, against a bare forward pass, in batches of four."""
    explainer, images = Explainer(model), data.images(range(4))
    classes, batch = explainer.predict(images)[0].argmax(axis=1), images.astype(np.float32)
    ways: dict[str, Callable[[], object]] = {"bare forward": lambda: model.predict_on_batch(batch)}
    ways |= {name: (lambda name=name: explainer.heatmaps(images, classes, name, 4)) for name in METHODS}  # type: ignore[misc]
    times = clock(ways, repeats)
    bare = np.median(times["bare forward"])
    for name, one in times.items():
        print(
            f"{name:17} {np.median(one) * 1000 / 4:8.1f} ms a photograph, {np.median(one) / bare:6.1f} of bare forward"
        )


def compare_whole(model: keras.Model, data: PreparedSet, repeats: int) -> None:
    """All of `explain` against reading and grading."""

    def bare() -> None:
        for batch in Photographs(data.image_files(), data.preprocessing.size).batches(BATCH):
            model.predict_on_batch(batch)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            explain_split(model, data, Path(folder) / "out", ExplanationOptions(n=1))

    times = clock({"bare": bare, "explain": whole}, repeats)
    print(f"{len(data.rows)} photographs: read and graded {np.median(times['bare']):.1f} s,", end=" ")
    print(f"explained {np.median(times['explain']):.1f} s;", end=" ")
    print(f"ratio of the shortest {times['explain'].min() / times['bare'].min():.2f}")
    ratios = times["explain"] / times["bare"]
    common.report("explain / read and grade", "bare forward pass", ratios, at_most=GOAL_WHOLE)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, batch=8, repeats=5, photographs=500)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("prepared", nargs="?", type=Path)
    parser.add_argument("--backbone", default="densenet121")
    given = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    compare_closed(given.backbone, given.size, given.batch, given.repeats)
    if given.run:
        run = Run.load(given.run)
        data, model = run.prepared_set(given.prepared), run.model()
        compare_methods(model, data, min(given.repeats, 3))
        compare_whole(
            model, replace(data, rows=tuple(islice(cycle(data.rows), given.photographs))), min(given.repeats, 3)
        )


if __name__ == "__main__":
    main()
