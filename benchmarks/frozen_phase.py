"""How much faster the frozen phase is when the backbone sees each photograph once: against Keras's `fit` every epoch.

    python benchmarks/frozen_phase.py PREPARED [--weights FILE] [--backbone mobilenetv2] [--epochs 20]

Both train the same head on the same photographs without augmentation, in the same order, and look at the validation
photographs after each epoch; the peer is `keras.Model.fit` over the whole network with its backbone frozen.
"""

import os
import tempfile
from pathlib import Path
from time import perf_counter

import common
import keras
import numpy as np

from keras_dr.models.grader import freeze
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.training.loop import Training

GOAL = 8


def ours(data: PreparedSet, recipe: Recipe) -> tuple[float, keras.Model]:
    """Seconds of the frozen phase from cached features, photographs in memory, and the grader."""
    training = Training(data, recipe, None)
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        training.run(Path(folder))
        return perf_counter() - start, training.model


def peer(data: PreparedSet, recipe: Recipe) -> tuple[float, keras.Model]:
    """Seconds of the same by `fit`, every epoch through the whole network."""
    training = Training(data, recipe, None)
    model = training.model
    freeze(model, None)
    validation = training.val_photographs.batches(recipe.batch_size)
    model.compile(keras.optimizers.AdamW(recipe.frozen.learning_rate, weight_decay=0), training.head.loss(0))
    start = perf_counter()
    for epoch in range(recipe.frozen.epochs):
        model.fit(
            training.train_batches.batches(training.photographs.tensor, epoch), epochs=1, verbose=0, shuffle=False
        )
        model.predict(validation, verbose=0)
    return perf_counter() - start, model


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, epochs=20)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--backbone", default="mobilenetv2")
    given = parser.parse_args()
    frozen = {"epochs": given.epochs, "learning_rate": 1e-3, "augment": False, "patience": given.epochs}
    values = {"backbone": given.backbone, "weights": given.weights, "frozen": frozen, "finetune": {"epochs": 0}}
    # without dropout, so that both ways must end with the same head
    recipe, data = recipe_from_dict(values | {"dropout": 0}), PreparedSet.load(given.prepared)
    count, size = len(data.split("train").rows), data.preprocessing.size
    print(f"{given.backbone} at {size}, {count} photographs, {given.epochs} epochs, {os.cpu_count()} cores", flush=True)
    cached, one = ours(data, recipe)
    print(f"features once: {cached:.1f} s", flush=True)
    every, other = peer(data, recipe)
    heads = [model.get_layer("logits").get_weights()[0] for model in (one, other)]
    print(f"fit every epoch: {every:.1f} s, largest difference of the heads {np.abs(heads[0] - heads[1]).max():.1e}")
    common.report("frozen phase, fit every epoch / features once", "keras.Model.fit", [every / cached], at_least=GOAL)


if __name__ == "__main__":
    main()
