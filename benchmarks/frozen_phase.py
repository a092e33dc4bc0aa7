"""Time of the frozen phase with features that are computed once, compared with Keras's `fit` in every epoch.

    python benchmarks/frozen_phase.py PREPARED [--weights FILE] [--backbone mobilenetv2] [--epochs 20]

Both train the same head on the same photographs without augmentation, in the same order, and predict the validation
photographs after each epoch. The peer is `keras.Model.fit` on the whole network with its backbone frozen.
"""

import tempfile
from pathlib import Path
from time import perf_counter

import common
import keras
import numpy as np

import keras_dr as dr
from keras_dr.core.machine import usable_cores
from keras_dr.models.grader import freeze
from keras_dr.training.loop import Training

GOAL = 8


def train_on_cached_features(data: dr.PreparedSet, recipe: dr.Recipe) -> tuple[float, keras.Model]:
    """Return the seconds of the frozen phase, with cached features and photographs in memory, and the grader."""
    training = Training(data, recipe, None)
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        training.run(Path(folder))
        return perf_counter() - start, training.model


def train_with_fit(data: dr.PreparedSet, recipe: dr.Recipe) -> tuple[float, keras.Model]:
    """Return the seconds of the same training by `fit`, in which every epoch runs the whole network, and the grader."""
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
    arguments = parser.parse_args()
    epochs = arguments.epochs
    recipe = dr.Recipe.load(
        backbone=arguments.backbone,
        weights=arguments.weights,
        dropout=0,  # so that both ways end with the same head
        frozen={"epochs": epochs, "learning_rate": 1e-3, "augment": False, "patience": epochs},
        finetune={"epochs": 0},
    )
    data = dr.PreparedSet.load(arguments.prepared)
    count = len(data.split("train").rows)
    size = data.preprocessing.size
    print(f"{arguments.backbone} at {size}, {count} photographs, {epochs} epochs, {usable_cores()} cores", flush=True)
    cached_s, cached_model = train_on_cached_features(data, recipe)
    print(f"features once: {cached_s:.1f} s", flush=True)
    fit_s, fit_model = train_with_fit(data, recipe)
    kernels = [model.get_layer("logits").get_weights()[0] for model in (cached_model, fit_model)]
    difference = np.abs(kernels[0] - kernels[1]).max()
    print(f"fit every epoch: {fit_s:.1f} s, largest difference of the heads {difference:.1e}")
    common.report("frozen phase, fit every epoch / features once", "keras.Model.fit", [fit_s / cached_s], at_least=GOAL)


if __name__ == "__main__":
    main()
