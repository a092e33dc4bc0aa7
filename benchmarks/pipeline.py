"""Whether training waits for its photographs: an epoch from the pipeline, compared with a batch held in memory.

    python benchmarks/pipeline.py [PREPARED] [--backbone NAME] [--size 224] [--batch 16] [--steps 4] [--repeats 15]

Both epochs take the same training steps; the pipeline's uses every augmentation. On a machine that also does other
work, many short epochs are more informative than a few long ones. In each round every way has one turn, in an order
that changes from round to round, so that a slow round does not change its ratio. A third epoch, again from memory, is
the control: its ratio shows the noise. In addition to the elapsed seconds, the processor time of this process is
measured, on which other programs have less effect. Without PREPARED, drawn photographs of `--size` pixels are used.
"""

import os
import tempfile
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import common
import keras
import numpy as np
import tensorflow as tf

import keras_dr as dr
from keras_dr.core.machine import usable_cores
from keras_dr.models.grader import build_model
from keras_dr.training.pipeline import Batches, Photographs, augmented_reader, class_weights, target_matrix

GOAL = 1.03
WAYS = ("pipeline", "memory", "memory again")
EVERY_AUGMENTATION = {
    "rotation": 20,
    "zoom": 0.1,
    "translation": 0.05,
    "grayscale": 0.1,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 10,
}


def load_photographs(folder: Path | None, size: int, count: int) -> Photographs:
    """Return `count` prepared photographs, from a Prepared set or drawn for this benchmark."""
    with tempfile.TemporaryDirectory() as temporary:
        data = dr.PreparedSet.load(folder) if folder else common.draw_set(Path(temporary), size)
        return Photographs(list(islice(cycle(data.image_files()), count)), data.preprocessing.size)


def epoch_batches(photographs: Photographs, labels: np.ndarray, recipe: dr.Recipe, epoch: int) -> tf.data.Dataset:
    """Return an epoch as training reads it, with every augmentation."""
    train_batches = Batches(labels, target_matrix(5, recipe), class_weights(labels, 5, recipe.class_weights), recipe)
    return train_batches.batches(augmented_reader(photographs, recipe, epoch), epoch)


def compiled(recipe: dr.Recipe, size: int) -> keras.Model:
    """Return the whole network, trainable and compiled as in training."""
    model = build_model(recipe.backbone, size, 5, recipe.weights, recipe.dropout)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss, weighted_metrics=[], metrics=["accuracy"])
    return model


def compare(photographs: Photographs, recipe: dr.Recipe, steps: int, repeats: int) -> np.ndarray:
    """Return seconds, float64 (repeats, 3, 2), for each of `WAYS`: elapsed, and of processor time.

    A first round is not counted.
    """
    labels = np.arange(len(photographs), dtype=np.int64) % 5
    batch = next(iter(epoch_batches(photographs, labels, recipe, 0)))
    model = compiled(recipe, photographs.size)
    seconds = np.empty((repeats + 1, len(WAYS), 2))
    for repeat in range(repeats + 1):
        for way in np.roll(range(len(WAYS)), repeat):
            if WAYS[way] == "pipeline":
                batches = epoch_batches(photographs, labels, recipe, repeat)
            else:
                batches = tf.data.Dataset.from_tensors(batch).repeat(steps)
            # from the request of the first batch to the end of the last step
            seconds[repeat, way] = common.seconds(partial(model.fit, batches, epochs=1, verbose=0, shuffle=False))
        elapsed = ", ".join(f"{name} {value:.2f} s" for name, value in zip(WAYS, seconds[repeat, :, 0], strict=True))
        print(f"round {repeat}: {elapsed}, load {os.getloadavg()[0]:.1f}", flush=True)
    return seconds[1:]


def ratio_text(times: np.ndarray) -> str:
    """Return the ratio of two ways, from their seconds (repeats, 2), in words.

    The ratio of the shortest epochs, and the median of the rounds' ratios with its 95 % interval (percentile bootstrap,
    B. Efron, Ann. Statist. 7(1), 1979).
    """
    shortest = times.min(axis=0)
    ratios = times[:, 0] / times[:, 1]
    resamples = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(resamples, axis=1), (0.025, 0.975))
    return (
        f"{shortest[0] / shortest[1]:.3f} by shortest epochs, "
        f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f}) by rounds"
    )


def pipeline_ms(photographs: Photographs, recipe: dr.Recipe) -> float:
    """Return the milliseconds per photograph that the pipeline takes while nothing trains."""
    labels = np.zeros(len(photographs), np.int64)
    start = perf_counter()
    for _ in epoch_batches(photographs, labels, recipe, 0):
        pass
    return (perf_counter() - start) * 1000 / len(photographs)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, batch=16, steps=4, repeats=15)
    parser.add_argument("prepared", nargs="?", type=Path)
    parser.add_argument("--backbone", default="mobilenetv2")
    arguments = parser.parse_args()
    backbone = arguments.backbone
    batch = arguments.batch
    steps = arguments.steps
    recipe = dr.Recipe.load(backbone=backbone, weights="none", batch_size=batch, augmentation=EVERY_AUGMENTATION)
    photographs = load_photographs(arguments.prepared, arguments.size, batch * steps)
    print(f"{backbone} at {photographs.size}, {steps} steps of {batch}, {usable_cores()} cores")
    shortest_ms = min(pipeline_ms(photographs, recipe) for _ in range(3))
    print(f"pipeline alone: {shortest_ms:.2f} ms per photograph")
    seconds = compare(photographs, recipe, steps, arguments.repeats)
    for column, name in enumerate(("elapsed seconds", "seconds of processor time")):
        for way in (0, 2):
            print(f"{WAYS[way]} / {WAYS[1]}, {name}: {ratio_text(seconds[:, [way, 1], column])}")
    ratios = seconds[:, 0, 0] / seconds[:, 1, 0]
    control = seconds[:, 2, 0] / seconds[:, 1, 0]
    common.report("epoch, pipeline / memory", "a batch held in memory", ratios, at_most=GOAL)
    common.report("epoch, memory again / memory (noise)", "itself", control)


if __name__ == "__main__":
    main()
