"""Start a training from the backbone of an earlier run, and report the photographs that the earlier run was trained on.

These photographs cannot test the new run, and no epoch may be chosen on them.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.records import SPLITS
from keras_dr.models.grader import HEAD, recipe_model
from keras_dr.preparation.audit import seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import ALL_SPLITS, CALIBRATION
from keras_dr.recipe import Recipe
from keras_dr.training.run import Run


def earlier_run(recipe: Recipe) -> Run | None:
    """Return the run whose folder a recipe names as its weights, or None if it names other weights.

    Raises:
        KerasDrError: the folder is not a Run folder, or its run has another network.
    """
    if recipe.weights in ("imagenet", "none") or not Path(recipe.weights).is_dir():
        return None
    run = Run.load(recipe.weights)
    if "members" in run.about:
        message = f"{run.folder} is an ensemble, which has several backbones."
        raise KerasDrError(message, "Name one of its members with --weights.")
    for key in ("backbone", "stem", "grey"):
        run_value = getattr(run.recipe, key)
        recipe_value = getattr(recipe, key)
        if run_value != recipe_value:
            raise KerasDrError(
                f"The weights of {run.folder} do not fit: its {key} is {run_value}, and the recipe's is "
                f"{recipe_value}.",
                f"Train with --set {key}={run_value}, or name other weights.",
            )
    return run


def starting_model(recipe: Recipe, size: int, classes: int) -> keras.Model:
    """Return the grader that a recipe describes, with the weights that it names; its head is always new.

    Args:
        recipe: the recipe of the training.
        size: side of the prepared photographs in pixels.
        classes: number of classes.

    Raises:
        KerasDrError: the weights are not available or do not fit.
    """
    run = earlier_run(recipe)
    if run is None:
        return recipe_model(recipe, size, classes, recipe.weights)
    model = recipe_model(recipe, size, classes)
    for source, target in zip(_with_weights(run.model()), _with_weights(model), strict=True):
        target.set_weights(source.get_weights())
        if isinstance(target, layers.Normalization):
            target.finalize_state()  # the layer computes with a copy of its weights
    return model


def _with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the backbone's layers that have weights, in the network's order.

    Layers are matched by this order, because some of their names depend on the networks that were built before.
    """
    return [layer for layer in model.layers if layer.weights and layer.name not in HEAD]


def photographs_met(run: Run, prepared: PreparedSet, target: Path) -> list[dict[str, Any]]:
    """Count the photographs of a set that an earlier run, and the runs it started from, were trained or chosen on.

    Args:
        run: the earlier run.
        prepared: the set to train on, with its splits.
        target: the folder of the new run.

    Returns:
        One dictionary per run. "run" is its folder relative to `target`; "model_sha256" is None if the run is gone;
        "set" is the name of its prepared set; "met" maps each split of `prepared` to the number of its photographs that
        have a copy in that run's train or val split. "set" and "met" are None if the run or its set is gone, so that
        copies cannot be detected.
    """
    entries = []
    splits = np.array([row["split"] for row in prepared.rows])
    for folder in _chain(run):
        entry: dict[str, Any] = {"run": os.path.relpath(folder, target.resolve()), "model_sha256": None}
        entry |= {"set": None, "met": None}
        with suppress(KerasDrError):
            earlier = Run.load(folder)
            entry["model_sha256"] = earlier.about["model_sha256"]
            earlier_set = earlier.own_set()
            is_copy = seen_in(earlier_set, prepared) != ""
            entry["set"] = earlier_set.name
            entry["met"] = {split: int((is_copy & (splits == split)).sum()) for split in _splits_of(prepared)}
        entries.append(entry)
    return entries


def _splits_of(prepared: PreparedSet) -> tuple[str, ...]:
    """Return the names of the splits of a set; most have none for calibration."""
    return tuple(name for name in ALL_SPLITS if name in SPLITS or any(row["split"] == name for row in prepared.rows))


def _chain(run: Run) -> Iterator[Path]:
    """Yield the folder of a run, then the folders of the runs that it started from."""
    yield run.folder.resolve()
    try:
        folders = [(run.folder.resolve() / entry["run"]).resolve() for entry in run.about.get("started_from") or ()]
    except (LookupError, TypeError, ValueError) as error:
        message = f"The entry started_from of {run.folder / 'run.json'} is damaged: {error}."
        raise KerasDrError(message, "Train that run again.") from error
    yield from folders


def met_in_words(entry: dict[str, Any]) -> str:
    """Return an entry of `photographs_met` as one sentence."""
    name = Path(entry["run"]).name
    if entry["met"] is None:
        return (
            f"The prepared set of {name} is gone, so it is unknown whether {name} was trained on photographs of this "
            "set."
        )
    counts = {split: entry["met"].get(split, 0) for split in ("val", "test", CALIBRATION)}
    if not any(counts.values()):
        return f"{name} was not trained or chosen on validation or test photographs of this set."
    calibration = f" and {counts[CALIBRATION]} calibration" if counts[CALIBRATION] else ""
    return (
        f"Warning: {name} was trained or chosen on copies of {counts['val']} validation and {counts['test']} test"
        f"{calibration} photographs of this set, so figures on them are too good."
    )
