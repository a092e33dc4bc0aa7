"""A grader whose validation kappa may be 0 is reported as one that learned nothing, and export refuses it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from export.export_run import export
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.measure import kappa_interval
from keras_dr.metrics.predictions import Predictions
from keras_dr.reports.evaluation_words import warnings
from keras_dr.training.run import Run


def predictions(right: float, count: int = 200) -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, count)
    decided = np.where(rng.random(count) < right, labels, rng.integers(0, 5, count))
    return Predictions(labels, np.eye(5)[decided], TASKS["icdr"])


def test_the_interval_holds_kappa_and_includes_0_for_a_guess() -> None:
    good = predictions(0.6)
    low, high = kappa_interval(good) or (1.0, 0.0)
    assert 0 < low < cohen_kappa_score(good.labels, good.predicted, weights="quadratic") < high
    low, high = kappa_interval(predictions(0)) or (1.0, 0.0)
    assert low < 0 < high


def test_a_run_says_so_and_is_not_exported(run_folder: Path, tmp_path: Path) -> None:
    run = Run.load(run_folder)
    assert len(run.about["validation_kappa_interval"]) == 2
    useless_run = replace(run, about=run.about | {"validation_kappa_interval": [-0.05, 0.21]})
    assert (
        useless_run.learned_nothing.startswith("This grader learned nothing")
        and "-0.050 to 0.210" in useless_run.learned_nothing
    )
    with pytest.raises(KerasDrError, match=r"learned nothing.*--allow-drift"):
        export(useless_run, tmp_path / "bundle")
    older_run = replace(
        run, about={key: value for key, value in run.about.items() if key != "validation_kappa_interval"}
    )
    assert not older_run.learned_nothing
    figures = {"learned_nothing": useless_run.learned_nothing, "external": False, "split": "test", "without_class": 0}
    (text, *_) = warnings(figures | {"classes": {}, "patients": 100})
    assert text.startswith("Warning: this grader learned nothing")
