"""Several runs as one: a grader of the mean of their logits, calibrated anew.

The members' feature maps are laid side by side under one linear head that holds all of theirs, so that an ensemble is
evaluated, explained in closed form, and exported like any run. The mean of logits is, but for a constant, the logarithm
of the geometric mean of the members' probabilities.

RUN/ run.json model.keras history.csv
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dr.core import folders
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.metrics import measure
from keras_dr.models.grader import ENSEMBLE, ENSEMBLE_FEATURES, LOGITS, feature_layer, head_weights
from keras_dr.models.heads import probabilities
from keras_dr.training import forward
from keras_dr.training.finish import calibrated
from keras_dr.training.loop import save_model
from keras_dr.training.run import Run


def ensemble(members: Sequence[Run | Path | str], target: Path | str, *, overwrite: bool = False) -> Run:
    """Write the ensemble of several runs as a run.

    Operating point and temperature are chosen on the validation photographs that all members share; for the folds of a
    cross validation, on what each fold says of the photographs that it did not learn from.

    Args:
        members: runs or their folders; a cross validation's folder stands for all its folds.
        target: the folder to write.
        overwrite: whether an existing run at `target` is replaced; by default it is refused.

    Returns:
        The Run.

    Raises:
        KerasDrError: fewer than two runs, of different tasks, preparation, data or heads, with feature maps of
            different sides, or whose validation photographs overlap without being the same.

    Example:
        >>> both = dr.ensemble(["runs/first", "runs/second"], "runs/both")
        >>> len(both.about["members"])
        2
    """
    target = Path(target)
    folders.check_target(target, "run", overwrite)
    runs = _expand(members)
    _write(runs, target, overwrite)
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
            parameters=model.count_params(),
            phases={"members": {"epoch": 0, "epochs": 0, "seconds": round(seconds, 1)}},
            kept="members",
            model_sha256=folders.sha256_of(folder / "model.keras"),
            **chosen,
        )


def combined(models: Sequence[keras.Model], temperatures: Sequence[float]) -> keras.Model:
    """One grader of the mean of several graders' logits, each divided by its temperature.

    Args:
        models: graders of one size with softmax heads of the same classes, or all ordinal; feature maps of one side.
        temperatures: > 0, one a grader.

    Returns:
        Grader from float32 RGB (n, S, S, 3) to float32 logits (n, K).

    Raises:
        KerasDrError: feature maps of different sides.
    """
    sides = [feature_layer(model).output.shape[1] for model in models]
    if len(set(sides)) > 1:
        found = ", ".join(f"{model.name} {side}" for model, side in zip(models, sides, strict=True))
        raise KerasDrError("feature maps of one side", found, "Join runs whose backbones have maps of one side.")
    image = keras.Input(models[0].input_shape[1:], name="image")
    features, kernels, biases = [], [], []
    for number, (model, temperature) in enumerate(zip(models, temperatures, strict=True), start=1):
        backbone = keras.Model(model.inputs[0], feature_layer(model).output)
        copy = keras.models.clone_model(backbone, image, clone_function=partial(_renamed, number))
        copy.set_weights(backbone.get_weights())
        features.append(copy.output)
        kernel, bias = head_weights(model)
        kernels.append(kernel / (temperature * len(models)))
        biases.append(bias / (temperature * len(models)))
    pooled = layers.GlobalAveragePooling2D(name="pooling")(layers.Concatenate(name=ENSEMBLE_FEATURES)(features))
    head = models[0].get_layer(LOGITS)
    joined = type(head).from_config(head.get_config())
    whole = keras.Model(image, joined(pooled), name=ENSEMBLE)
    kernel = np.concatenate(kernels)
    joined.set_weights([kernel[:, : joined.weights[0].shape[1]], np.sum(biases, axis=0)])
    return whole


def _renamed(number: int, layer: layers.Layer) -> layers.Layer:
    """A layer of member `number` under a name of its own."""
    settings = layer.get_config()
    if not isinstance(layer, layers.InputLayer):
        settings["name"] = f"member{number}_{layer.name}"
    return type(layer).from_config(settings)


def _expand(members: Sequence[Run | Path | str]) -> list[Run]:
    """The runs, and the folds of cross validations."""
    runs: list[Run] = []
    for member in members:
        if not isinstance(member, Run) and (Path(member) / folders.MANIFESTS["cross-validation"]).is_file():
            folds = Path(member).glob("fold-*")
            runs += [Run.load(fold) for fold in sorted(folds, key=lambda fold: int(fold.name.rpartition("-")[2]))]
        else:
            runs.append(Run.load(member))
    return runs


def _check(members: Sequence[Run]) -> None:
    """Refuse what is not one grader's."""
    if len(members) < 2:
        raise KerasDrError("two runs or more", str(len(members)), "Name others, or a cross validation.")
    first = members[0]
    for member in members[1:]:
        for name, of in _COMMON.items():
            if of(member) != of(first):
                expected = f"runs of one {name}: {of(first)} in {first.folder}"
                raise KerasDrError(expected, f"{of(member)} in {member.folder}", "Leave one out.")


_COMMON = {
    "task": lambda run: (run.task.classes, run.task.referable),
    "preparation": lambda run: run.preprocessing,
    "prepared set": lambda run: run.about["data"]["manifest_sha256"],
    "decision": lambda run: run.decision,
}


def _data(members: Sequence[Run], target: Path) -> dict[str, Any]:
    """What run.json says of the data; of folds no longer which, as together they learned from train and val."""
    first = members[0]
    data = {key: value for key, value in first.about["data"].items() if key != "fold"}
    home = (first.folder.resolve() / data["prepared"]).resolve()
    return data | {"prepared": os.path.relpath(home, target.resolve()), "folds": _are_folds(members)}


def _are_folds(members: Sequence[Run]) -> bool:
    return any("fold" in member.about["data"] for member in members)


def _calibrate(members: Sequence[Run], models: Sequence[keras.Model], model: keras.Model) -> dict[str, Any]:
    """What a run chooses on validation photographs, as keys of run.json."""
    task, decision = members[0].task, members[0].decision
    sides = [member.own_set().split("val") for member in members]
    if all(side.rows == sides[0].rows for side in sides):
        labels, logits = sides[0].labels(), forward.forward(members[0], model, sides[0])
    else:
        names = [row["image_id"] for side in sides for row in side.rows]
        if len(set(names)) < len(names):
            found = "some in several"
            raise KerasDrError(
                "the same validation photographs in all runs, or others in each", found, "Leave one out."
            )
        labels = np.concatenate([side.labels() for side in sides])
        parts = zip(members, models, sides, strict=True)
        logits = np.concatenate([forward.forward(run, own, side) / run.temperature for run, own, side in parts])
    scores = measure.validation_scores(labels, probabilities(logits, len(task.classes)), task, decision)
    return calibrated(labels, logits, task, members[0].recipe, decision) | {"validation": scores}
