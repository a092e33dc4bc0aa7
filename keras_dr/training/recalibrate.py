"""Chooses temperature and operating points of a run again, on its validation photographs, without training."""

from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError
from keras_dr.metrics.predictions import patient_codes
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.training.finish import calibrated
from keras_dr.training.forward import forward
from keras_dr.training.run import FOUND_AT_POINTS, Run, save_changes


def recalibrate(
    run: Run | Path | str,
    prepared: PreparedSet | Path | str | None = None,
    *,
    rule: str | None = None,
    target: float | None = None,
) -> Run:
    """Choose temperature, operating points and certainty again on validation photographs, and write them to run.json.

    The weights stay. This brings a run of an older version to the rules of this one, or changes what the default
    operating point aims for. Promises, sets of grades and limits of gradability are dropped, as they belong to the
    temperature and thresholds before; evaluations and bundles of the run must be made again.

    Args:
        run: the grader, or its folder.
        prepared: the Prepared set that the run was trained on, if it has moved; by default the path that the run
            recorded.
        rule: the figure that the default operating point has to reach, "sensitivity" or "specificity"; by default that
            of the recipe.
        target: the value that it has to reach, above 0, at most 1; by default that of the recipe.

    Returns:
        The run with the new choices.

    Raises:
        KerasDrError: there is no Run, it is an ensemble of folds, its Prepared set is missing or has changed, or the
            rule or the target is impossible.

    Example:
        >>> dr.recalibrate("runs/idrid", rule="sensitivity", target=0.95).point.value
        0.31
    """
    run = Run.load(run)
    if run.about["data"].get("folds"):  # each member was trained on the validation photographs of the others
        raise KerasDrError(f"{run.folder} is an ensemble of folds.", "Make the ensemble again instead.")
    changes: dict[str, Any] = {}
    if rule is not None:
        changes["rule"] = rule
    if target is not None:
        changes["target"] = target
    recipe = Recipe.load(run.recipe, operating_point=changes) if changes else run.recipe
    moved_to = PreparedSet.load(prepared).folder if prepared is not None else None
    validation = run.own_set(moved_to).split("val")
    chosen = calibrated(
        validation.labels(),
        forward(run, run.model(), validation),
        run.task,
        recipe,
        run.decision,
        patient_codes(validation.rows),
    )
    return save_changes(run, chosen | dict.fromkeys(FOUND_AT_POINTS) | {"recipe": recipe.model_dump(mode="json")})
