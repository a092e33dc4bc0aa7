"""Calibrates sets of neighbouring grades for a run, on photographs that chose nothing."""

from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.grade_sets import GradeSets
from keras_dr.evaluation.untouched import untouched_predictions
from keras_dr.metrics.conformal import calibrate_sets, patients_needed
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.run import Run, save_changes


def prediction_sets(
    run: Run | Path | str,
    data: PreparedSet | Path | str | None = None,
    split: str | None = None,
    *,
    coverage: float = 0.9,
) -> GradeSets:
    """Calibrate sets of grades such as "moderate or severe", and add them to the run.

    They travel with bundles that are exported afterwards, and every grading then states its set. See
    `core.grade_sets` and `metrics.conformal` for the method.

    Args:
        run: the grader, or its folder.
        data: a Prepared set whose photographs chose nothing for this run; by default the run's own set, of which only
            the calibration split is used.
        split: the split of that set; by default "calibration" of the run's own set, and "all" of another one.
        coverage: share of photographs whose true grade is to be in its set, above 0 and below 1; by default 0.9.

    Returns:
        The sets, with the share of photographs that they would refer in addition.

    Raises:
        KerasDrError: the classes are not three or more ordered grades; the run's own set has no calibration split; the
            run has learned from photographs of the set; its patients are not known; or there are too few of them.

    Example:
        >>> dr.prediction_sets("runs/clinic").limit
        0.62
    """
    if not 0 < coverage < 1:
        raise KerasDrError(f"The coverage is {coverage}; it must be above 0 and below 1.", "Correct --coverage.")
    run = Run.load(run)
    if not run.states_sets:
        classes = ", ".join(run.task.classes)
        message = (
            f"Sets of neighbouring grades need three or more ordered classes; those of {run.folder} are {classes}."
        )
        raise KerasDrError(message, "Choose a run for the task icdr.")
    photographs, predictions, unit = untouched_predictions(run, data, split)
    sets = calibrate_sets(predictions, coverage, run.threshold, unit, photographs.name)
    if sets is None:
        raise KerasDrError(
            f"There are {int(predictions.patients.max()) + 1} {unit}, but sets with a coverage of {100 * coverage:g} % "
            f"need {patients_needed(coverage)}.",
            "Prepare more photographs, or lower --coverage.",
        )
    save_changes(run, {"grade_sets": sets.to_dict()})
    return sets
