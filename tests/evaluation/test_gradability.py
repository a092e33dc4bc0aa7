"""Degraded photographs are graded as a device would grade them, and the limits travel with the run."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.export_run import settings_of
from keras_dr.core import folders, quality
from keras_dr.core.errors import KerasDrError
from keras_dr.evaluation import gradability
from keras_dr.evaluation.evaluate import evaluate
from keras_dr.metrics.gradability import AS_TAKEN, Step
from keras_dr.metrics.predictions import Predictions
from keras_dr.preparation import changes
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training import forward
from keras_dr.training.run import Run


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Run:
    """A copy of the run that results may be written into; its data set lies where it was."""
    target = run_folder.parent / tmp_path.name
    shutil.copytree(run_folder, target)
    return Run.load(target)


def test_photographs_are_degraded_measured_and_graded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "dark": gradability.Degradation(changes.with_exposure, (0.5,), "light x {:g}"),
        "cut off": gradability.Degradation(changes.with_occlusion, (0.2,), "{:.0%} covered"),
    }
    monkeypatch.setattr(gradability, "DEGRADATIONS", kinds)
    data = run.prepared_set().split("val")
    as_taken, dark, covered = gradability.grade_degraded(run, data)
    assert (as_taken.words, dark.words, covered.words) == (AS_TAKEN, "light x 0.5", "20% covered")
    assert as_taken.predictions.probabilities == pytest.approx(forward.predict(run, run.model(), data), abs=1e-5)
    for name in quality.MEASURES:
        assert as_taken.measures[name] == pytest.approx([float(row[name]) for row in data.rows], abs=2e-4)
    assert np.median(dark.measures["illumination"] / as_taken.measures["illumination"]) == pytest.approx(0.5, abs=0.02)
    lost = as_taken.measures["coverage"] - covered.measures["coverage"]
    assert (np.isnan(lost) | (lost > 0.02)).all()  # it is measured, or no fundus is found


def crafted(data: PreparedSet, run: Run, fails_when_blurred: bool = True) -> list[Step]:
    """Return steps of a grader that is right as taken, and that grades everything alike when blurred."""
    labels = data.labels()
    measures = {name: np.array([float(row[name]) for row in data.rows]) for name in quality.MEASURES}
    blurred = {**measures, "sharpness": measures["sharpness"] / 8}
    right = Predictions(labels, np.eye(5)[labels], run.task, run.decision)
    alike = Predictions(labels, np.eye(5)[np.zeros_like(labels)], run.task, run.decision)
    return [Step(AS_TAKEN, AS_TAKEN, measures, right), Step("blurred", "blur, 0.1%", blurred, alike)]


def test_the_limits_travel_and_evaluate_counts_both_ways(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = run.own_set().split("val")
    steps = crafted(data, run)
    monkeypatch.setattr(gradability, "grade_degraded", lambda run, data, progress: steps)
    result = gradability.gradability(run.at(threshold=0.5))
    limit = result.figures["limits"]["blurred"]
    assert limit == pytest.approx(np.median(steps[1].measures["sharpness"]), abs=1e-4)
    assert "blurred" in str(result) and (result.folder / "gradability.png").is_file()
    with (result.folder / "gradability.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["fault"] == "blurred"]
    assert [row["holds"] for row in rows] == ["True", "False"]
    changed = Run.load(run.folder)
    assert settings_of(changed).gradability_limits == {"blurred": limit}
    figures = evaluate(changed, split="val").figures
    poor = sum(float(row["sharpness"]) < limit for row in data.rows)
    assert figures["refused"]["refused"] == poor
    assert figures["patients_known"] and "patients, by their worse eye" in next(
        (run.folder / "evaluation").glob("*/report.html")
    ).read_text("utf-8")
    table = next((run.folder / "evaluation").glob("*/patients.csv"))
    assert len(table.read_text().splitlines()) == figures["patients"] + 1


def test_a_grader_that_answers_always_the_same_gets_no_limits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = run.own_set().split("val")
    alike = crafted(data, run)[1]
    steps = [Step(AS_TAKEN, AS_TAKEN, alike.measures, alike.predictions), alike]
    monkeypatch.setattr(gradability, "grade_degraded", lambda run, data, progress: steps)
    with pytest.raises(KerasDrError, match="even as they were taken"):
        gradability.gradability(run.at(threshold=0.5))
    assert "gradability" not in folders.read_manifest(run.folder, "run")
