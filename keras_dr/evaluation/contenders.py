"""What a comparison compares: evaluated runs, or cross-validations, with predictions for the same photographs."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import task_of
from keras_dr.metrics.predictions import Predictions, positions_of, read_predictions
from keras_dr.training.run_manifest import read_run_manifest

_SAME = "Prepare the same photographs with the same splits and labels, train and evaluate again."


@dataclass(frozen=True)
class Contender:
    """An evaluated run; or a cross-validation, where each photograph is graded by the run that was not trained on it.

    Attributes:
        name: its name in tables.
        about: the content of run.json; of a cross-validation that of its first fold, with the scores of all folds
            together as `validation`, and the seconds of all folds as those of the phases.
        history: the rows of history.csv; none for a cross-validation.
        thresholds: float64 (n,), of the operating point of each photograph, see `Predictions.referred`.
        predictions: its predictions, in the same order of photographs for all that are compared.
        cost: the result of `costs.measure_cost`; empty for cross-validations and in evaluations of an older version.
        is_cross_validation: whether it is a cross-validation. Its `predictions.patients` are then the groups that were
            not divided between folds.
    """

    name: str
    about: Mapping[str, Any]
    history: Sequence[Mapping[str, str]]
    thresholds: NDArray[np.float64]
    predictions: Predictions
    cost: Mapping[str, Any]
    is_cross_validation: bool = False


def load_contenders(contender_folders: Sequence[Path], split: str | None = None) -> list[Contender]:
    """Read evaluated runs, or cross-validations, with their predictions in the same order of photographs.

    Args:
        contender_folders: the folders of two or more runs, or of two or more cross-validations.
        split: the split of its own Prepared set on which each run was evaluated; by default "test".

    Raises:
        KerasDrError: there are fewer than two; one is named more than once; a run was not evaluated; the photographs,
            labels or classes are not those of the first; runs and cross-validations are mixed; or a split is given for
            cross-validations.
    """
    if len(contender_folders) < 2:
        message = f"A comparison needs two or more runs, but the number of runs given is {len(contender_folders)}."
        raise KerasDrError(message, "Name another run.")
    cross_validations = [folder for folder in contender_folders if _is_cross_validation(folder)]
    if cross_validations and len(cross_validations) < len(contender_folders):
        for folder in contender_folders:
            if folder not in cross_validations:
                folders.read_manifest(folder, "run")  # a folder that is neither is reported as such
        message = f"{cross_validations[0]} is a cross-validation, but not all the folders that are compared are."
        raise KerasDrError(message, "Compare runs with runs, and cross-validations with cross-validations.")
    if cross_validations and split is not None:
        message = f"The split {split} was asked for, but a cross-validation grades all photographs of train and val."
        raise KerasDrError(message, "Leave out the split.")
    folders.check_named_once(contender_folders)
    names = [folder.resolve().name for folder in contender_folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in contender_folders]
    contenders: list[Contender] = []
    order: list[str] = []
    for folder, name in zip(contender_folders, names, strict=True):
        try:
            if cross_validations:
                ids, contender = _read_cross_validation(folder, name)
            else:
                ids, contender = _read_run(folder, name, split or "test")
        except (LookupError, TypeError, AttributeError) as error:
            message = f"The run {folder} is not as train and evaluate wrote it: {type(error).__name__}: {error}."
            raise KerasDrError(message, _SAME) from error
        order = order or ids
        contenders.append(_in_order(contender, ids, order, contenders[0] if contenders else contender))
    return contenders


def _is_cross_validation(folder: Path) -> bool:
    return (folder / folders.MANIFESTS["cross-validation"]).is_file()


def _in_order(contender: Contender, ids: list[str], order: list[str], first: Contender) -> Contender:
    """Return the contender with its photographs, which have these ids, in another order; check that they agree."""
    if set(ids) != set(order) or len(ids) != len(order):
        message = (
            f"The photographs of {contender.name} are not the {len(order)} photographs of {first.name}: "
            f"{len(set(ids) ^ set(order))} in all belong to only one of the two."
        )
        raise KerasDrError(message, _SAME)
    ordered = positions_of(order, ids)
    predictions = contender.predictions.subset(ordered)
    same_classes = predictions.task.classes == first.predictions.task.classes
    if contender is not first and not (same_classes and (predictions.labels == first.predictions.labels).all()):
        raise KerasDrError(f"The labels or classes of {contender.name} differ from those of {first.name}.", _SAME)
    return replace(contender, predictions=predictions, thresholds=contender.thresholds[ordered])


def _read_run(folder: Path, name: str, split: str) -> tuple[list[str], Contender]:
    """Read an evaluated run, with the image ids of its predictions in their order."""
    about = read_run_manifest(folder)
    evaluated = folder / "evaluation" / f"{Path(about['data']['prepared']).name}-{split}"
    remedy = f"Run: keras-dr evaluate {folder} --split {split} --overwrite"
    file = evaluated / "metrics.json"
    figures = folders.read_json(file) if file.is_file() else {}
    if figures.get("model_sha256") != about["model_sha256"] or "predictions_sha256" not in figures:
        fault = "is of an older version or of another model" if figures else "does not exist"
        raise KerasDrError(f"The evaluation of the run in {evaluated} {fault}.", remedy)
    ids, predictions, thresholds = read_predictions(
        evaluated / "predictions.csv",
        figures["predictions_sha256"],
        task_of(about),
        about.get("decision", "argmax"),
        figures["operating_point"]["threshold"],
    )
    cost_file = evaluated / "cost.json"  # evaluations of an older version have none
    cost = folders.read_json(cost_file) if cost_file.is_file() else {}
    return ids, Contender(name, about, _history(folder / "history.csv"), thresholds, predictions, cost)


def _read_cross_validation(folder: Path, name: str) -> tuple[list[str], Contender]:
    """Read a cross-validation, with the image ids of its predictions in their order."""
    pooled = folders.read_manifest(folder, "cross-validation")
    if "predictions_sha256" not in pooled:
        raise KerasDrError(f"The cross-validation {folder} is of an older version.", "Train it again with --overwrite.")
    folds = [read_run_manifest(folder / f"fold-{k}") for k in range(1, len(pooled["folds"]) + 1)]
    seconds = {
        phase: {"seconds": sum(fold["phases"][phase]["seconds"] for fold in folds)} for phase in folds[0]["phases"]
    }
    about = folds[0] | {"validation": pooled["pooled"], "phases": seconds}
    ids, predictions, thresholds = read_predictions(
        folder / "out_of_fold.csv", pooled["predictions_sha256"], task_of(about), about.get("decision", "argmax")
    )
    return ids, Contender(name, about, [], thresholds, predictions, {}, is_cross_validation=True)


def _history(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
