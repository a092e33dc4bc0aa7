"""An ensemble of runs as one run: its logits are the mean of the members' logits, and it has its own calibration.

The feature maps of the members are concatenated under one linear head, which is made of the members' heads. Therefore
an ensemble is evaluated, explained in closed form and exported like any run. Up to a constant, the mean of the logits
is the logarithm of the geometric mean of the members' probabilities.

RUN/ run.json model.keras history.csv
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dr.core import folders
from keras_dr.core.decision import rule_of
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import patient_codes
from keras_dr.models.grader import ENSEMBLE, ENSEMBLE_FEATURES, LOGITS, feature_layer, head_weights
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training import forward
from keras_dr.training.finish import calibrated
from keras_dr.training.loop import save_model
from keras_dr.training.run import Run, load_runs


def ensemble(members: Sequence[Run | Path | str], target: Path | str, *, overwrite: bool = False) -> Run:
    """Write the ensemble of several runs as a run.

    Operating point and temperature are chosen on the validation photographs, which all members share. For the folds of
    a cross-validation, they are chosen on the predictions of each fold for its own validation photographs.

    Args:
        members: runs or their folders; the folder of a cross-validation stands for all its folds.
        target: the folder to write.
        overwrite: whether an existing run at `target` is replaced; by default it is refused.

    Returns:
        The ensemble as a Run.

    Raises:
        KerasDrError: there are fewer than two runs; one is named more than once; they differ in task, preparation,
            data, decision or the side of their feature maps; or their validation photographs overlap without being the
            same.

    Example:
        >>> both = dr.ensemble(["runs/first", "runs/second"], "runs/both")
        >>> len(both.about["members"])
        2
    """
    target = Path(target)
    folders.check_target(target, "run", overwrite)
    check_holds_no_input(target, [member.folder if isinstance(member, Run) else Path(member) for member in members])
    _write(load_runs(members), target, overwrite)
    return Run.load(target)


def _write(members: Sequence[Run], target: Path, overwrite: bool) -> None:
    """Write the ensemble's folder."""
    _check(members)
    plan = {"members": [member.about["model_sha256"] for member in members]}
    with folders.growing_folder(target, "run", plan, overwrite) as folder:
        models = [member.model() for member in members]
        model = combined(models, [member.temperature for member in members])
        save_model(model, folder / "model.keras")
        chosen = _calibrate(members, models, model)
        folders.write_bytes(folder / "history.csv", encode_csv(["phase", "epoch"], []))
        first = members[0].about
        seconds = sum(phase["seconds"] for member in members for phase in member.about["phases"].values())
        folders.write_manifest(
            folder,
            "run",
            **members[0].task.to_dict(),
            preprocessing=first["preprocessing"],
            backend=first["backend"],
            recipe=first["recipe"] | {"backbone": ENSEMBLE},
            data=_data(members, target),
            members=[{"run": member.folder.name, "model_sha256": member.about["model_sha256"]} for member in members],
            weights_sha256=None,
            started_from=_earlier(members, target, "started_from"),
            taught_by=_earlier(members, target, "taught_by"),
            parameters=model.count_params(),
            phases={"members": {"epoch": 0, "epochs": 0, "seconds": round(seconds, 1)}},
            kept="members",
            model_sha256=folders.sha256_of(folder / "model.keras"),
            **chosen,
        )


def combined(models: Sequence[keras.Model], temperatures: Sequence[float]) -> keras.Model:
    """Return a grader whose logits are the mean of several graders' logits, each divided by its temperature.

    Args:
        models: graders for photographs of one size, all with softmax heads of the same classes or all with ordinal
            heads, and with feature maps of the same side.
        temperatures: > 0, one per grader.

    Returns:
        A grader from float32 RGB (n, S, S, 3) to float32 logits (n, K).

    Raises:
        KerasDrError: the feature maps have different sides.
    """
    sides = [feature_layer(model).output.shape[1] for model in models]
    if len(set(sides)) > 1:
        listing = ", ".join(f"{model.name} {side}" for model, side in zip(models, sides, strict=True))
        raise KerasDrError(
            f"The feature maps of the runs have different sides in pixels: {listing}.",
            "Combine runs whose backbones have feature maps of the same side.",
        )
    image = keras.Input(models[0].input_shape[1:], name="image")
    features = []
    kernels = []
    biases = []
    for number, (model, temperature) in enumerate(zip(models, temperatures, strict=True), start=1):
        backbone = keras.Model(model.inputs[0], feature_layer(model).output)
        renamed_backbone = keras.models.clone_model(backbone, image, clone_function=partial(_renamed, number))
        renamed_backbone.set_weights(backbone.get_weights())
        features.append(renamed_backbone.output)
        kernel, bias = head_weights(model)
        kernels.append(kernel / (temperature * len(models)))
        biases.append(bias / (temperature * len(models)))
    pooled = layers.GlobalAveragePooling2D(name="pooling")(layers.Concatenate(name=ENSEMBLE_FEATURES)(features))
    head = models[0].get_layer(LOGITS)
    combined_head = type(head).from_config(head.get_config())
    model = keras.Model(image, combined_head(pooled), name=ENSEMBLE)
    kernel = np.concatenate(kernels)
    outputs = combined_head.weights[0].shape[1]  # an ordinal head has the same direction for all its steps
    combined_head.set_weights([kernel[:, :outputs], np.sum(biases, axis=0)])
    return model


def _renamed(number: int, layer: layers.Layer) -> layers.Layer:
    """Return a copy of a layer of member `number`, under a name that no other member has."""
    settings = layer.get_config()
    if not isinstance(layer, layers.InputLayer):
        settings["name"] = f"member{number}_{layer.name}"
    return type(layer).from_config(settings)


def _check(members: Sequence[Run]) -> None:
    """Refuse runs that cannot be combined into one grader."""
    if len(members) < 2:
        raise KerasDrError(
            f"An ensemble needs at least 2 runs, but {len(members)} {'is' if len(members) == 1 else 'are'} given.",
            "Name more runs, or a cross-validation.",
        )
    first = members[0]
    for member in members[1:]:
        for name, value_of in _SHARED_VALUES.items():
            if value_of(member) != value_of(first):
                raise KerasDrError(
                    f"The runs differ in their {name}: {value_of(first)} in {first.folder}, {value_of(member)} in "
                    f"{member.folder}.",
                    "Leave one of them out.",
                )


# Name of a value that all members must share -> function that reads it from a run.
_SHARED_VALUES: dict[str, Callable[[Run], Any]] = {
    "task": lambda run: (run.task.classes, run.task.referable),
    "preparation": lambda run: run.preprocessing,
    "prepared set": lambda run: run.about["data"]["manifest_sha256"],
    "decision": lambda run: run.decision,
}


def _data(members: Sequence[Run], target: Path) -> dict[str, Any]:
    """Return the entry "data" of run.json. It names no fold: the folds together are trained on train and val."""
    first = members[0]
    data = {key: value for key, value in first.about["data"].items() if key != "fold"}
    prepared_folder = (first.folder.resolve() / data["prepared"]).resolve()
    return data | {"prepared": os.path.relpath(prepared_folder, target.resolve()), "folds": _are_folds(members)}


def _earlier(members: Sequence[Run], target: Path, key: str) -> list[dict[str, Any]]:
    """Return the entries of all members on the runs that they started or learned from, each once."""
    entries: dict[str, dict[str, Any]] = {}
    for member in members:
        for entry in member.about.get(key) or ():
            folder = (member.folder.resolve() / entry["run"]).resolve()
            run = os.path.relpath(folder, target.resolve())
            entries[run] = entry | {"run": run}
    return list(entries.values())


def _are_folds(members: Sequence[Run]) -> bool:
    """Whether the members are folds of a cross-validation."""
    return any("fold" in member.about["data"] for member in members)


def _calibrate(members: Sequence[Run], models: Sequence[keras.Model], model: keras.Model) -> dict[str, Any]:
    """Return the choices that are made on validation photographs, as keys of run.json."""
    task = members[0].task
    decision = members[0].decision
    validation_sets = [member.own_set().split("val") for member in members]
    if all(data.rows == validation_sets[0].rows for data in validation_sets):
        rows = validation_sets[0].rows
        labels = validation_sets[0].labels()
        logits = forward.forward(members[0], model, validation_sets[0])
    else:
        _check_disjoint(validation_sets)
        rows = tuple(row for data in validation_sets for row in data.rows)
        labels = np.concatenate([data.labels() for data in validation_sets])
        parts = zip(members, models, validation_sets, strict=True)
        logits = np.concatenate(
            [forward.forward(run, member_model, data) / run.temperature for run, member_model, data in parts]
        )
    rule = rule_of(decision, task.referable, 0.5)
    scores = measure.validation_scores(labels, probabilities(logits, len(task.classes)), task, rule)
    chosen = calibrated(labels, logits, task, members[0].recipe, decision, patient_codes(rows))
    return chosen | {"validation": scores}


def _check_disjoint(validation_sets: Sequence[PreparedSet]) -> None:
    """Refuse runs whose validation photographs overlap without being the same."""
    counts = Counter(row["image_id"] for data in validation_sets for row in data.rows)
    in_several = [image_id for image_id, count in counts.items() if count > 1]
    if in_several:
        raise KerasDrError(
            "The runs must have the same validation photographs or none in common, but they share only some, such as "
            f"{in_several[0]}.",
            "Leave one of the runs out.",
        )
