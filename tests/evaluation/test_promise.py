"""A promise is calibrated on other patients, travels with the run, and is measured on further sets."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn import SIZE

import keras_dr as dr
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.evaluation import evaluate as evaluate_module
from keras_dr.preparation.prepare import prepare_records
from keras_dr.synthetic.photographs import write_dataset


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prepared set of 90 patients that the run has not met."""
    folder = tmp_path_factory.mktemp("clinic")
    write_dataset(folder / "photographs", count=180, seed=11, size=(96, 128), workers=1)
    name, records = read_records(folder / "photographs")
    prepare_records(records, folder / "photographs", folder / "clinic", Preprocessing(SIZE), dataset=name, workers=0)
    return folder / "clinic"


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> dr.Run:
    """A copy of the run, next to its Prepared set."""
    run = dr.Run.load(Path(shutil.copytree(run_folder, tmp_path / "run")))
    data = dr.Run.load(run_folder).own_set().folder
    about = run.about | {"data": run.about["data"] | {"prepared": str(data)}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    return dr.Run.load(tmp_path / "run")


def test_a_promise_becomes_a_point_of_the_run(run: dr.Run, clinic: Path) -> None:
    point = dr.promise(run, clinic, risk=0.15)
    assert point.promise is not None
    assert (point.promise.unit, point.promise.data, point.promise.risk) == ("patients", "clinic", 0.15)
    assert point.promise.count >= 19  # .85 ** 19 = .0456
    assert point.promise.missed <= 0.15 * point.promise.count
    assert dr.Run.load(run.folder).points["promise-15"] == point
    figures = dr.evaluate(run.folder, clinic, split="all", operating_point="promise-15").figures
    assert figures["promises"]["promise-15"]["missed"] == point.promise.missed
    text = next((run.folder / "evaluation").glob("clinic-*/report.html")).read_text("utf-8")
    assert "at most 15 % of patients with referable DR are missed" in text


def test_the_own_set_and_few_patients_are_refused(run: dr.Run, clinic: Path) -> None:
    with pytest.raises(dr.KerasDrError, match="the run's own set"):
        dr.promise(run, run.own_set(), "test")
    data = dr.PreparedSet.load(clinic)
    few = dataclasses.replace(data, rows=data.rows[:20])
    with pytest.raises(dr.KerasDrError, match="needs 29 of which none is missed"):
        dr.promise(run, few)
    with pytest.raises(dr.KerasDrError, match="must be above 0 and below 1"):
        dr.promise(run, clinic, risk=0)


@pytest.fixture
def with_calibration(run: dr.Run, tmp_path: Path, clinic: Path) -> dr.Run:
    """The run, as if it had been trained on a set with a calibration split."""
    source = clinic.parent / "photographs"
    data = dr.prepare(source, tmp_path / "own", size=SIZE, calibration=0.4, val=0.1, test=0.1, workers=0)
    about = {
        "prepared": "../own",
        "manifest_sha256": data.about["manifest_sha256"],
        "photographs": {"train": 1, "val": 1},
    }
    (run.folder / "run.json").write_text(json.dumps(run.about | {"data": about}))
    return dr.Run.load(run.folder)


def test_the_calibration_split_of_the_own_set_is_used(with_calibration: dr.Run) -> None:
    run = with_calibration
    point = dr.promise(run, risk=0.3)
    photographs = run.own_set().split("calibration")
    positive = {row["patient_id"] for row in photographs.rows if int(row["grade"]) >= 2}
    assert point.promise is not None
    assert (point.promise.count, point.promise.data, point.promise.margin) == (len(positive), "own", 0.05)
    learned = {row["patient_id"] for row in run.own_set().rows if row["split"] != "calibration"}
    assert not learned & {row["patient_id"] for row in photographs.rows}
    with pytest.raises(dr.KerasDrError, match="the run's own set"):
        dr.promise(run, split="val")
    figures = dr.evaluate(run.folder, split="calibration").figures
    assert figures["promises"]["promise-30"]["patients"] == len(positive)
    text = (run.folder / "evaluation" / "own-calibration" / "report.html").read_text("utf-8")
    assert "Measuring on it spends nothing" in text


def test_where_patients_are_not_known_a_promise_is_measured_on_blocks(
    with_calibration: dr.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_calibration
    dr.promise(run, risk=0.3)
    data = run.own_set().split("calibration")
    blocks = np.zeros(len(data.rows), np.int64)
    monkeypatch.setattr(evaluate_module, "units", lambda given: (blocks[: len(given.rows)], "blocks"))
    measured = dr.evaluate(Path(run.folder), split="calibration").figures["promises"]["promise-30"]
    assert (measured["patients"], measured["unit"]) == (1, "blocks")


def test_an_earlier_run_that_met_the_calibration_split_voids_it(with_calibration: dr.Run) -> None:
    run = with_calibration
    for met, words in (({"train": 0, "val": 0, "test": 0, "calibration": 3}, "met 3 photographs"), (None, "not known")):
        about = run.about | {"started_from": [{"run": "../other", "met": met}]}
        (run.folder / "run.json").write_text(json.dumps(about))
        with pytest.raises(dr.KerasDrError, match=words):
            dr.promise(run.folder, risk=0.3)


def test_without_a_calibration_split_the_remedy_is_named(run: dr.Run) -> None:
    with pytest.raises(dr.KerasDrError, match=r"--calibration 0\.15"):
        dr.promise(run)


def test_where_patients_are_unknown_blocks_take_their_place(run: dr.Run, clinic: Path) -> None:
    data = dr.PreparedSet.load(clinic)
    unknown = {**data.about, "inspection": {"patients_from": "unknown"}}
    singles = tuple({**row, "group_id": row["image_id"]} for row in data.rows)
    alone = dataclasses.replace(data, rows=singles, about=unknown)
    with pytest.raises(dr.KerasDrError, match="not known"):
        dr.promise(run, alone)
    blocks = tuple({**row, "group_id": str(index // 3)} for index, row in enumerate(data.rows))
    point = dr.promise(run, dataclasses.replace(data, rows=blocks, about=unknown), risk=0.2)
    assert point.promise is not None and point.promise.unit == "blocks"


def test_sets_of_grades_travel_with_the_run_and_are_measured(run: dr.Run, clinic: Path, tmp_path: Path) -> None:
    sets = dr.prediction_sets(run, clinic, coverage=0.9)
    assert (sets.unit, sets.count, sets.data) == ("patients", 90, "clinic")
    assert dr.Run.load(run.folder).grade_sets == sets
    figures = dr.evaluate(run.folder, clinic, split="all").figures["grade_sets"]
    assert figures["coverage"] >= 0.89  # the same photographs: 0.9 up to the weights of patients
    assert figures["added"] == pytest.approx(sets.added) and figures["coverage_interval"] is not None
    text = next((run.folder / "evaluation").glob("clinic-*/report.html")).read_text("utf-8")
    assert "Sets of grades" in text and "Another camera or population voids it." in text
    with pytest.raises(dr.KerasDrError, match="has no calibration split"):
        dr.prediction_sets(run)
    data = dr.PreparedSet.load(clinic)
    with pytest.raises(dr.KerasDrError, match="need 9"):
        dr.prediction_sets(run, dataclasses.replace(data, rows=data.rows[:8]))


def test_a_report_without_sets_says_why(run: dr.Run) -> None:
    dr.evaluate(run, overwrite=True)
    text = next((run.folder / "evaluation").glob("*-test/report.html")).read_text("utf-8")
    assert "No sets of grades are stated" in text


def test_a_new_calibration_drops_promises_and_sets(run: dr.Run, clinic: Path) -> None:
    dr.prediction_sets(run, clinic)
    dr.promise(run.folder, clinic, risk=0.2)
    again = dr.recalibrate(run.folder)
    assert again.grade_sets is None and "promise-20" not in again.points
