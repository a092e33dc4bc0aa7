"""Temperature and operating points are chosen again without training."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

import keras_dr as dr
from keras_dr.commands.app import app
from keras_dr.core.folders import sha256_of
from keras_dr.core.grade_sets import GradeSets
from keras_dr.core.operating_point import Promise


@pytest.fixture
def copied_run(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run; its Prepared set is no longer where run.json says."""
    return Path(shutil.copytree(run_folder, tmp_path / "elsewhere" / "run"))


def test_another_target_changes_the_default_point_but_no_weights(copied_run: Path, prepared_folder: Path) -> None:
    before = dr.Run.load(copied_run)
    weights = sha256_of(copied_run / "model.keras")
    after = dr.recalibrate(copied_run, prepared_folder, rule="specificity", target=0.7)
    assert after.point.targets == {"specificity": 0.7}
    assert after.recipe.operating_point.target == 0.7
    assert sha256_of(copied_run / "model.keras") == weights == after.about["model_sha256"]
    assert after.temperature == pytest.approx(before.temperature, rel=1e-3)
    again = dr.recalibrate(copied_run, prepared_folder)
    assert again.point == after.point


def test_what_holds_only_at_the_thresholds_before_is_dropped_and_named(copied_run: Path, prepared_folder: Path) -> None:
    about = json.loads((copied_run / "run.json").read_text("utf-8"))
    about["gradability"] = {"photographs": 8, "limits": {"blurred": 0.2}}
    about["grade_sets"] = GradeSets(0.9, 0.9, "patients", 100, "clinic").to_dict()
    about["operating_point"]["promise"] = asdict(Promise(0.1, 0.95, "patients", 120, 4, "clinic"))
    (copied_run / "run.json").write_text(json.dumps(about))
    told = CliRunner().invoke(app, ["recalibrate", str(copied_run), "--prepared", str(prepared_folder)])
    assert told.exit_code == 0, told.output
    for words in ("promises", "sets of grades", "limits of gradability"):
        assert words in told.output
    after = dr.Run.load(copied_run)
    assert after.grade_sets is None and after.gradability_limits == {} and after.found_at_points == []


def test_an_ensemble_of_folds_is_refused(copied_run: Path, prepared_folder: Path) -> None:
    about = json.loads((copied_run / "run.json").read_text("utf-8"))
    about["data"]["folds"] = True
    (copied_run / "run.json").write_text(json.dumps(about))
    with pytest.raises(dr.KerasDrError, match="ensemble of folds"):
        dr.recalibrate(copied_run, prepared_folder)


def test_an_impossible_rule_is_refused(copied_run: Path, prepared_folder: Path) -> None:
    with pytest.raises(dr.KerasDrError, match=r"operating_point\.rule"):
        dr.recalibrate(copied_run, prepared_folder, rule="accuracy")
