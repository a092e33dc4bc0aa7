import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.evaluation import robustness
from keras_dr.evaluation.evaluate import evaluate
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training import forward
from keras_dr.training.run import Run


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Run:
    """A copy of the run that evaluations may be written into; its data set lies where it was."""
    target = run_folder.parent / tmp_path.name
    shutil.copytree(run_folder, target)
    return Run.load(target)


def test_an_unchanged_photograph_is_graded_as_the_prepared_one(run: Run) -> None:
    data = run.prepared_set().split("val")
    graded = robustness.grade_changed(run, data)
    assert [item.name for item in graded] == [robustness.AS_TAKEN, *robustness.CHANGES]
    assert graded[0].probabilities == pytest.approx(forward.predict(run, run.model(), data), abs=1e-5)
    same = {item.name for item in graded[1:] if np.allclose(item.probabilities, graded[0].probabilities, atol=1e-5)}
    # the crop finds the same fundus, and a quarter of a pixel is no blur
    assert same <= {"black border 10 %", "blur 0.2 %"}


def test_rows_count_what_changed(run: Run) -> None:
    data = run.prepared_set().split("val")
    labels = data.labels()
    right = np.eye(5)[labels]
    next_class = np.eye(5)[np.minimum(labels + 1, 4)]
    graded = [robustness.Graded(robustness.AS_TAKEN, right), robustness.Graded("worse", next_class)]
    as_taken, worse = robustness.robustness_rows(graded, data, run)
    assert as_taken["quadratic_kappa"] == 1 and as_taken["same_class"] == 1 and as_taken["mean_shift"] == 0
    assert worse["same_class"] == pytest.approx(np.mean(labels == 4))
    assert worse["mean_shift"] == pytest.approx(np.mean(labels < 4))
    assert worse["quadratic_kappa_low"] < worse["quadratic_kappa"] < worse["quadratic_kappa_high"]
    means = robustness.mean_over_changes([as_taken, worse])
    assert means["quadratic_kappa"] == worse["quadratic_kappa"]


def test_evaluate_writes_the_table(run: Run) -> None:
    result = evaluate(run, split="val", robustness=True)
    with (result.folder / "robustness.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["change"] for row in rows] == [robustness.AS_TAKEN, *robustness.CHANGES]
    assert float(rows[0]["quadratic_kappa"]) == pytest.approx(result.figures["quadratic_kappa"], abs=1e-6)
    assert "squashed to 75 %" in str(result)
    assert "Robustness" in (result.folder / "report.html").read_text("utf-8")


def test_lost_originals_and_several_views_are_refused(run: Run, tmp_path: Path) -> None:
    own = run.prepared_set()
    moved = PreparedSet(own.folder, own.task, own.preprocessing, own.rows, tmp_path / "elsewhere")
    with pytest.raises(KerasDrError, match="is not there"):
        robustness.grade_changed(run, moved)
    with pytest.raises(KerasDrError, match="single views"):
        evaluate(run, split="val", robustness=True, tta=True)
