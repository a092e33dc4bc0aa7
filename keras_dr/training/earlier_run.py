"""Starts a training from the backbone of another run, and reports the photographs that this run was trained on.

Such a photograph cannot test the new run, and no epoch may be chosen by it.
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
from keras_dr.recipe import Recipe
from keras_dr.training.run import Run


def earlier_run(recipe: Recipe) -> Run | None:
    """The run whose folder a recipe names as its weights; None where it names something else.

    Raises:
        KerasDrError: the folder is no run's, or that of a run with another network.
    """
    if recipe.weights in ("imagenet", "none") or not Path(recipe.weights).is_dir():
        return None
    run = Run.load(recipe.weights)
    if "members" in run.about:
        message = f"{run.folder} is an ensemble, which has several backbones."
        raise KerasDrError(message, "Name one of its members with --weights.")
    for key in ("backbone", "stem", "grey"):
        theirs, ours = getattr(run.recipe, key), getattr(recipe, key)
        if theirs != ours:
            raise KerasDrError(
                f"The weights of {run.folder} do not fit: its {key} is {theirs}, and the recipe's is {ours}.",
                f"Train with --set {key}={theirs}, or name other weights.",
            )
    return run


def starting_model(recipe: Recipe, size: int, classes: int) -> keras.Model:
    """The grader that a recipe describes, with the weights that it names; its head is always new.

    Args:
        recipe: what is to be trained.
        size: side of the prepared photographs in pixels.
        classes: number of classes.

    Raises:
        KerasDrError: the weights cannot be had or do not fit.
    """
    run = earlier_run(recipe)
    if run is None:
        return recipe_model(recipe, size, classes, recipe.weights)
    model = recipe_model(recipe, size, classes)
    for source, target in zip(_with_weights(run.model()), _with_weights(model), strict=True):
        target.set_weights(source.get_weights())
        if isinstance(target, layers.Normalization):
            target.finalize_state()  # it computes with a copy of its weights
    return model


def _with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """The backbone's layers that have weights, in the network's order: some names depend on what was built before."""
    return [layer for layer in model.layers if layer.weights and layer.name not in HEAD]


def photographs_met(run: Run, prepared: PreparedSet, target: Path) -> list[dict[str, Any]]:
    """Count the photographs of a set on which an earlier run and those that it started from were trained or chosen.

    Args:
        run: the earlier run.
        prepared: the set to train on, with its splits.
        target: folder of the new run.

    Returns:
        For each run: "run", its folder relative to `target`; "model_sha256" (None if the run is gone); "set", the name
        of its prepared set; and "met", split of `prepared` -> number of its photographs that have a copy in that run's
        train or val split. "set" and "met" are None if the run or its set is gone, so that copies cannot be detected.
    """
    entries = []
    splits = np.array([row["split"] for row in prepared.rows])
    for folder in _chain(run):
        entry: dict[str, Any] = {"run": os.path.relpath(folder, target.resolve()), "model_sha256": None}
        entry |= {"set": None, "met": None}
        with suppress(KerasDrError):
            earlier = Run.load(folder)
            entry["model_sha256"] = earlier.about["model_sha256"]
            home = earlier.own_set()
            met = seen_in(home, prepared) != ""
            entry |= {"set": home.name, "met": {split: int((met & (splits == split)).sum()) for split in SPLITS}}
        entries.append(entry)
    return entries


def _chain(run: Run) -> Iterator[Path]:
    """The folder of a run, and of those that it started from."""
    yield run.folder.resolve()
    try:
        folders = [(run.folder.resolve() / entry["run"]).resolve() for entry in run.about.get("started_from") or ()]
    except (LookupError, TypeError, ValueError) as error:
        message = f"{run.folder / 'run.json'} does not say what its run started from as train writes it: {error}."
        raise KerasDrError(message, "Train that run again.") from error
    yield from folders


def met_in_words(entry: dict[str, Any]) -> str:
    """Return an entry of `photographs_met` as one sentence."""
    name = Path(entry["run"]).name
    if entry["met"] is None:
        return (
            f"The prepared set of {name} is gone, so it is unknown whether it was trained on photographs of this set."
        )
    judging = {split: entry["met"][split] for split in ("val", "test")}
    if not any(judging.values()):
        return f"{name} was not trained or chosen on validation or test photographs of this set."
    return (
        f"Warning: {name} was trained or chosen on copies of {judging['val']} validation and {judging['test']} test "
        "photographs of this set, so figures on them are too good."
    )
