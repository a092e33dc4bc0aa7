"""Evaluates a run on a Prepared set: predictions, figures, plots and report in RUN/evaluation/<set>-<split>/."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders, quality
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import DEFAULT
from keras_dr.core.progress import Progress
from keras_dr.evaluation.costs import measure_cost
from keras_dr.evaluation.pictures import draw_photographs, draw_plots
from keras_dr.evaluation.robustness import measure_robustness
from keras_dr.evaluation.untouched import units
from keras_dr.metrics import calibration, measure, referral
from keras_dr.metrics import patients as by_patient
from keras_dr.metrics.conformal import measured_sets
from keras_dr.metrics.predictions import Predictions, patient_codes, write_predictions
from keras_dr.metrics.promises import kept_on
from keras_dr.metrics.subgroups import subgroups
from keras_dr.preparation.audit import LEARNED_FROM, seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports import evaluation, evaluation_tables, model_card
from keras_dr.training.forward import decode, forward, with_tta
from keras_dr.training.run import Run

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)  # of photographs left to a human, always shown


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of an evaluation, for figures in addition to the usual ones.

    Attributes:
        prevalence: share of positive photographs, 0..1, for which predictive values are given as well.
        human: share of photographs to leave to a human, 0..1.
        columns: columns of manifest.csv whose values define subgroups; if empty, the usual columns that it has.
        robustness: whether the photographs are also graded under the changes of `robustness.CHANGES`.
    """

    prevalence: float | None = None
    human: float | None = None
    columns: tuple[str, ...] = ()
    robustness: bool = False

    def __post_init__(self) -> None:
        for name, value in (("prevalence", self.prevalence), ("human", self.human)):
            if value is not None and not 0 <= value < 1:
                raise KerasDrError(f"The value of --{name}, {value}, is not a share from 0 to below 1.", "Correct it.")


@dataclass(frozen=True)
class Evaluation:
    """The result of measuring a run on photographs.

    Attributes:
        folder: the folder with report.html, metrics.json, predictions.csv and the plots.
        figures: the content of metrics.json; docs/metrics.md says what each figure means.
    """

    folder: Path
    figures: dict[str, Any]

    def __str__(self) -> str:
        """Return the figures as tables."""
        return evaluation.metrics_text(self.figures)


def evaluate(
    run: Run | Path | str,
    data: PreparedSet | Path | str | None = None,
    split: str = "test",
    *,
    operating_point: str | None = None,
    threshold: float | None = None,
    tta: bool = False,
    prevalence: float | None = None,
    human: float | None = None,
    by: Sequence[str] = (),
    robustness: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a run on the photographs of one split, and write the figures, plots and report into its folder.

    Args:
        run: the grader, or its folder.
        data: the Prepared set; by default the run's own. Another set makes this an external validation.
        split: the split to measure on: "train", "val", "test", "calibration" or "all"; by default "test".
        operating_point: the name of the operating point at which photographs are referred; by default its default.
        threshold: a threshold on the probability of referable DR instead, 0..1; by default that of the operating point.
        tta: whether outputs are averaged over eight views of each photograph; thresholds are then chosen again on
            validation predictions averaged in the same way. By default they are not averaged.
        prevalence: share of positive photographs, 0..1, for which predictive values are given as well; by default they
            are given for these photographs only.
        human: share of the photographs to leave to a human, 0..1; by default 0.2.
        by: columns of manifest.csv whose values define subgroups; by default the usual columns that it has.
        robustness: whether the photographs are also graded with other colours, blurred, compressed, squashed and so
            on, to show the effect of another camera; by default they are not. Their original files must still exist.
        overwrite: whether an existing evaluation is replaced; by default it is refused.
        progress: called with (batches done, number of batches, "predict"); by default nothing is called.

    Returns:
        The evaluation.

    Raises:
        KerasDrError: the run, set, split, column or an original photograph does not exist, a share is out of range, or
            the evaluation exists already.

    Example:
        >>> result = dr.evaluate("runs/idrid", split="test")
        >>> result.figures["quadratic_kappa"], result.figures["intervals"]["quadratic_kappa"]
        (0.707, [0.58, 0.812])
    """
    options = EvaluationOptions(prevalence, human, tuple(by), robustness)
    if robustness and tta:
        raise KerasDrError("Robustness is measured on single views.", "Leave out --tta or --robustness.")
    run = Run.load(run)
    photographs = run.prepared_set(data).split(split)
    if tta:
        run = with_tta(run, photographs.folder if run.is_own(photographs) else None)
    run = run.at(operating_point, threshold)
    folder, figures = evaluate_photographs(
        run, photographs, run.result_name(photographs, split), overwrite, progress, options
    )
    return Evaluation(folder, figures)


def evaluate_photographs(
    run: Run,
    data: PreparedSet,
    name: str,
    overwrite: bool = False,
    progress: Progress | None = None,
    options: EvaluationOptions = EvaluationOptions(),
) -> tuple[Path, dict[str, Any]]:
    """Measure a run on photographs, and write metrics.json, predictions.csv, the plots and the report.

    On the test split of the run's own set, the model card is written as well.

    Args:
        run: the grader, with the thresholds and temperature that were chosen on validation.
        data: the photographs of one split, labelled by the run's task.
        name: the name of the result, "<set>-<split>".
        overwrite: whether an existing result is replaced.
        progress: called with (batches done, number of batches, "predict").
        options: what to show in addition to the usual figures.

    Returns:
        The folder, and the content of metrics.json.

    Raises:
        KerasDrError: the result exists already, or there is no such column.
    """
    target = run.folder / "evaluation" / name
    model_sha256 = run.about["model_sha256"]
    plan = {"model": model_sha256, "images": [row["image_id"] for row in data.rows]}
    with folders.growing_folder(target, "evaluation", plan, overwrite) as folder:
        model = run.model()
        outputs = forward(run, model, data, progress)
        predictions = _predictions(run, data, outputs)
        unscaled = _predictions(replace(run, temperature=1.0), data, outputs)
        write_predictions(folder / "predictions.csv", data.rows, predictions, run.threshold)
        figures = {
            "schema_version": folders.SCHEMA_VERSION,
            "set": data.name,
            "split": _split(data),
            "turned": run.uses_tta,
            "point_name": run.point_name,
            "point_doubts": run.point.doubts(run.task.positive) if run.task.referable else [],
            "learned_nothing": run.learned_nothing,
            "model_sha256": model_sha256,
            "predictions_sha256": folders.sha256_of(folder / "predictions.csv"),
            **_origin(run, data),
            **measure.measure(predictions, run.point, run.further_points, options.prevalence),
            **_referral(run, data, predictions, options),
            **_quality(folder, run, data, predictions),
            "calibration": _calibration(run, predictions, unscaled),
            "subgroups": subgroups(predictions, data.rows, run.threshold, options.columns),
        }
        if options.robustness:
            figures["robustness"] = measure_robustness(run, data, progress)
            changes = figures["robustness"]["changes"]
            folders.write_bytes(folder / "robustness.csv", encode_csv(list(changes[0]), changes))
        _write_summary(folder / "metrics_summary.csv", figures)
        draw_plots(folder, run, predictions, figures)
        draw_photographs(folder, model, data, predictions)
        folders.write_json(folder / "cost.json", measure_cost(run, model))
        folders.write_json(folder / "metrics.json", figures)
        evaluation.write_report(folder, run.about, figures, data.folder)
    # The model card describes the model without test-time augmentation, at its default operating point.
    as_exported = not run.uses_tta and run.point_name == DEFAULT
    if not figures["external"] and figures["split"] == "test" and as_exported:
        folders.write_bytes(run.folder / model_card.MODEL_CARD, model_card.model_card(run.about, figures).encode())
    return target, folders.read_json(target / "metrics.json")


def _predictions(run: Run, data: PreparedSet, outputs: NDArray[np.floating]) -> Predictions:
    """Return the predictions from the network's outputs for these photographs."""
    return Predictions(data.labels(), decode(run, outputs), run.task, run.rule, patient_codes(data.rows))


def _split(data: PreparedSet) -> str:
    """Return the only split of these photographs, or "all"."""
    names = {row["split"] for row in data.rows}
    return names.pop() if len(names) == 1 else "all"


def _origin(run: Run, data: PreparedSet) -> dict[str, Any]:
    """Return whether the photographs are of another set, and how many were left out or used in training.

    "internal" holds the figures on the run's own set. "seen_in_training" is None if that set can no longer be read.
    """
    whole_set = PreparedSet.load(data.folder)
    splits = {row["split"] for row in data.rows}
    left_out = sum(row["split"] in splits for row in whole_set.rows) - len(data.rows)
    external = not run.is_own(data)
    origin: dict[str, Any] = {"external": external, "without_class": left_out, "seen_in_training": None}
    if not external:
        return origin | {"internal": None}
    with suppress(KerasDrError):
        split_in_training = seen_in(run.own_set(), data)
        origin["seen_in_training"] = {split: int((split_in_training == split).sum()) for split in LEARNED_FROM}
    return origin | {"internal": _internal(run)}


def _internal(run: Run) -> dict[str, Any] | None:
    """Return the main figures of the run's own test split, or None if it was not evaluated."""
    file = run.folder / "evaluation" / f"{Path(run.about['data']['prepared']).name}-test" / "metrics.json"
    if not file.is_file():
        return None
    figures = folders.read_json(file)
    if figures.get("model_sha256") != run.about["model_sha256"] or "intervals" not in figures:
        return None
    return {key: figures[key] for key in evaluation_tables.MAIN if key in figures}


def _promises(run: Run, data: PreparedSet, predictions: Predictions) -> dict[str, Any]:
    """Return how many patients are missed at each point with a promise; blocks or photographs if they are unknown."""
    try:
        patients, unit = units(data)
    except KerasDrError:
        patients, unit = predictions.patients, "photographs"
    counted = replace(predictions, patients=patients)
    return {
        name: kept_on(counted, point.value) | {"unit": unit, "promise": asdict(point.promise)}
        for name, point in run.points.items()
        if point.promise
    }


def _referral(run: Run, data: PreparedSet, predictions: Predictions, options: EvaluationOptions) -> dict[str, Any]:
    quantiles = run.about.get("certainty_quantiles")
    shares = set(SHARES)
    if options.human is not None:
        shares.add(options.human)
    bands = []
    if quantiles and run.point_name == DEFAULT:  # the quantiles are those of the distance from the default threshold
        bands = [referral.band(predictions, run.threshold, quantiles, share) for share in sorted(shares)]
    return {
        "per_patient": referral.per_patient(predictions, run.threshold),
        "ungradable": referral.ungradable(predictions, run.threshold),
        "promises": _promises(run, data, predictions),
        "states_sets": run.states_sets,
        "grade_sets": measured_sets(run.grade_sets, predictions, run.threshold) if run.grade_sets else None,
        "left_to_human": 0.2 if options.human is None else options.human,
        "bands": bands,
    }


def _quality(folder: Path, run: Run, data: PreparedSet, predictions: Predictions) -> dict[str, Any]:
    """Return figures with photographs of poor quality counted both ways, and by patients; write patients.csv.

    The faults are those that a device would find, by the limits of the run.
    """
    limits = run.gradability_limits
    poor = np.array([bool(quality.too_poor(row, limits)) for row in data.rows])
    figures: dict[str, Any] = {"refused": referral.refused(predictions, run.threshold, poor) if limits else None}
    known = by_patient.are_patients_known(data.rows, data.about.get("inspection", {}).get("patients_from", ""))
    if not run.task.referable or not known:
        return figures | {"patients_known": known, "ungradable_eyes": []}
    usual = _usual_quality(run)
    if usual:
        faulty = np.array([bool(quality.faults_of(row, usual, limits)) for row in data.rows])
    else:
        faulty = poor | np.array([row["gradable"] == "no" for row in data.rows])
    table = by_patient.patient_table(data.rows, predictions, run.threshold, faulty)
    folders.write_bytes(folder / "patients.csv", encode_csv(list(by_patient.COLUMNS), table))
    return figures | {"patients_known": True, "ungradable_eyes": by_patient.ungradable_eyes(table)}


def _usual_quality(run: Run) -> dict[str, list[float]]:
    """Return the limits of quality from the run's training photographs; empty if its set can no longer be read."""
    with suppress(KerasDrError):
        return dict(run.own_set().about.get("quality_limits") or {})
    return {}


def _calibration(run: Run, predictions: Predictions, unscaled: Predictions) -> dict[str, Any]:
    before = measure.overall(unscaled, np.ones((1, len(predictions.labels))))
    return {
        "temperature": run.temperature,
        "before": {
            **{key: measure.single(before[key]) for key in ("log_loss", "ece", "brier")},
            "reliability": calibration.reliability(unscaled.confidence, unscaled.right),
        },
        "after": {"reliability": calibration.reliability(predictions.confidence, predictions.right)},
    }


def _write_summary(file: Path, figures: dict[str, Any]) -> None:
    """Write one row with the main figures and their intervals, for a table of many runs."""
    point = figures["operating_point"]
    row = {key: figures[key] for key in ("set", "split", "photographs", "patients")}
    for key in evaluation_tables.MAIN_FIGURES:
        values, limits = (point, point["intervals"]) if key in point else (figures, figures["intervals"])
        low, high = limits[key] or (None, None)
        row |= {key: values[key], f"{key}_low": low, f"{key}_high": high}
    row |= {"macro_f1": figures["macro"]["f1"], "weighted_f1": figures["weighted"]["f1"]}
    row |= {"threshold": point["threshold"], "temperature": figures["calibration"]["temperature"]}
    folders.write_bytes(file, encode_csv(list(row), [row]))
