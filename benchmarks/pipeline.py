"""Whether training waits for its photographs: an epoch over the pipeline against one over a batch held in memory.

    python benchmarks/pipeline.py [PREPARED] [--backbone NAME] [--size 224] [--batch 16] [--steps 4] [--repeats 15]

Both epochs take the same training steps, with every augmentation switched on in the pipeline's. On a machine that does
other work too, many short epochs tell more than few long ones: within a round each way takes its turn, in an order that
changes from round to round, and a round's quotient is free of what slows all of it. A third epoch, over memory again,
is the control: its quotient tells the noise. Beside the seconds on the clock stand those that the processors worked
for this process, in which other programs show less. Without PREPARED, on synthetic photographs of `--size` pixels.
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

from keras_dr.models.grader import build_model
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.training.pipeline import Batches, Photographs, augmented_reader, class_weights, target_matrix

GOAL = 1.03
WAYS = ("pipeline", "memory", "memory again")
EVERYTHING = {
    **{"rotation": 20, "zoom": 0.1, "translation": 0.05, "grayscale": 0.1},
    **{"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 10},
}


def load_photographs(folder: Path | None, size: int, count: int) -> Photographs:
    """`count` prepared photographs, from a Prepared set or drawn for the purpose."""
    with tempfile.TemporaryDirectory() as temporary:
        data = PreparedSet.load(folder) if folder else common.draw_set(Path(temporary), size)
        return Photographs(list(islice(cycle(data.image_files()), count)), data.preprocessing.size)


def epoch_batches(photographs: Photographs, labels: np.ndarray, recipe: Recipe, epoch: int) -> tf.data.Dataset:
    """An epoch as training reads it, with every augmentation."""
    train_batches = Batches(labels, target_matrix(5, recipe), class_weights(labels, 5, recipe.class_weights), recipe)
    return train_batches.batches(augmented_reader(photographs, recipe, epoch), epoch)


def compiled(recipe: Recipe, size: int) -> keras.Model:
    """The network, all of it trainable, as training compiles it."""
    model = build_model(recipe.backbone, size, 5, recipe.weights, recipe.dropout)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss, weighted_metrics=[], metrics=["accuracy"])
    return model


def compare(photographs: Photographs, recipe: Recipe, steps: int, repeats: int) -> np.ndarray:
    """Seconds, float64 (repeats, 3, 2): a way of `WAYS`; on the clock, of work. One round before is not counted."""
    labels = np.arange(len(photographs), dtype=np.int64) % 5
    held = next(iter(epoch_batches(photographs, labels, recipe, 0)))
    model, seconds = compiled(recipe, photographs.size), np.empty((repeats + 1, len(WAYS), 2))
    for repeat in range(repeats + 1):
        for way in np.roll(range(len(WAYS)), repeat):
            if WAYS[way] == "pipeline":
                batches = epoch_batches(photographs, labels, recipe, repeat)
            else:
                batches = tf.data.Dataset.from_tensors(held).repeat(steps)
            # from asking for its first batch to the end of its last step
            seconds[repeat, way] = common.seconds(partial(model.fit, batches, epochs=1, verbose=0, shuffle=False))
        clock = ", ".join(f"{name} {value:.2f} s" for name, value in zip(WAYS, seconds[repeat, :, 0], strict=True))
        print(f"round {repeat}: {clock}, load {os.getloadavg()[0]:.1f}", flush=True)
    return seconds[1:]


def quotient_text(times: np.ndarray) -> str:
    """Of the seconds (repeats, 2) of two ways: by shortest epochs, and the median of the rounds' quotients.

    With the latter's 95 % interval (percentile bootstrap, B. Efron, Ann. Statist. 7(1), 1979).
    """
    least, quotients = times.min(axis=0), times[:, 0] / times[:, 1]
    drawn = np.random.default_rng(0).choice(quotients, (2000, len(quotients)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return (
        f"{least[0] / least[1]:.3f} by shortest epochs, {np.median(quotients):.3f} ({low:.3f} to {high:.3f}) by rounds"
    )


def alone_ms(photographs: Photographs, recipe: Recipe) -> float:
    """Milliseconds a photograph that the pipeline takes while nothing trains."""
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
    given = parser.parse_args()
    settings = {"backbone": given.backbone, "weights": "none", "batch_size": given.batch, "augmentation": EVERYTHING}
    recipe = recipe_from_dict(settings)
    photographs = load_photographs(given.prepared, given.size, given.batch * given.steps)
    print(f"{given.backbone} at {photographs.size}, {given.steps} steps of {given.batch}, {os.cpu_count()} cores")
    alone = [alone_ms(photographs, recipe) for _ in range(3)]
    print(f"pipeline alone: {min(alone):.2f} ms a photograph")
    seconds = compare(photographs, recipe, given.steps, given.repeats)
    for column, name in enumerate(("on the clock", "of work")):
        for way in (0, 2):
            print(f"{WAYS[way]} / {WAYS[1]}, seconds {name}: {quotient_text(seconds[:, [way, 1], column])}")
    ratios, control = (seconds[:, way, 0] / seconds[:, 1, 0] for way in (0, 2))
    common.report("epoch, pipeline / memory", "a batch held in memory", ratios, at_most=GOAL)
    common.report("epoch, memory again / memory (noise)", "itself", control)


if __name__ == "__main__":
    main()
