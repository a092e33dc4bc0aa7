import csv
import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.evaluation import evaluate
from keras_dr.metrics.calibration import calibrate
from keras_dr.metrics.operating_points import AIMS
from keras_dr.metrics.predictions import read_predictions
from keras_dr.models.heads import softmax
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports import evaluation
from keras_dr.training import forward
from keras_dr.training.run import Run


@pytest.fixture
def run(run_folder: Path, prepared_folder: Path, tmp_path: Path):
    """A copy of the run, into which evaluations can be written; its Prepared set stays where it was."""
    target = run_folder.parent / tmp_path.name
    shutil.copytree(run_folder, target)
    return Run.load(target)


def test_figures_come_from_the_predictions_in_the_same_folder(run) -> None:
    data = run.prepared_set().split("test")
    folder, figures = evaluate.evaluate_photographs(run, data, "small-test")
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert figures == json.loads((folder / "metrics.json").read_bytes())
    assert figures["accuracy"] == np.mean([row["label"] == row["prediction"] for row in rows])
    assert {row["split"] for row in rows} == {"test"}
    for row in rows:
        classes = [float(row[f"p_{name}"]) for name in run.task.classes]
        assert sum(classes) == pytest.approx(1, abs=1e-5)
        assert float(row["p_referable"]) == pytest.approx(sum(classes[2:]), abs=1e-5)
        assert row["prediction"] == run.task.classes[int(np.argmax(classes))]
    pictures = {"confusion", "roc-pr", "reliability", "coverage", "samples", "mistakes"}
    files = {"metrics.json", "predictions.csv", "patients.csv", "metrics_summary.csv", "cost.json", "report.html"}
    assert {path.name for path in folder.iterdir()} == files | {f"{name}.png" for name in pictures}
    assert "95 %" in (run.folder / "MODEL_CARD.md").read_text()


def test_predictions_equal_the_model_on_the_photographs(run) -> None:
    data = run.prepared_set().split("test")
    model = run.model()
    logits = model.predict(data.images().astype(np.float32), verbose=0)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits / run.temperature))
    assert forward.predict(run, model, data) == pytest.approx(expected, abs=1e-5)


def test_an_evaluation_is_not_overwritten_by_accident(run) -> None:
    data = run.prepared_set().split("test")
    evaluate.evaluate_photographs(run, data, "again")
    with pytest.raises(KerasDrError, match="--overwrite"):
        evaluate.evaluate_photographs(run, data, "again")
    evaluate.evaluate_photographs(run, data, "again", overwrite=True)


def test_photographs_prepared_in_another_way_are_refused(run, photographs: Path, tmp_path: Path) -> None:
    _, records = read_records(photographs)
    prepare_records(records, photographs, tmp_path / "other", Preprocessing(48), dataset="csv", workers=0)
    with pytest.raises(KerasDrError, match="--size 32"):
        run.prepared_set(tmp_path / "other")


def test_an_external_set_is_relabelled_and_training_photographs_are_reported(
    run, photographs: Path, tmp_path: Path
) -> None:
    _, records = read_records(photographs)
    spec = Preprocessing(32)
    prepare_records(records, photographs, tmp_path / "two", spec, dataset="csv", task="referable", workers=0)
    own = run.prepared_set()
    external = run.prepared_set(tmp_path / "two")
    assert [row["label"] for row in external.rows] == [row["label"] for row in own.rows]
    evaluate.evaluate_photographs(run, own.split("test"), run.result_name(own, "test"))
    _, figures = evaluate.evaluate_photographs(
        run, external, run.result_name(external, "all"), options=evaluate.EvaluationOptions(0.1, 0.3)
    )
    trained_on = {split: len(own.split(split).rows) for split in ("train", "val")}
    assert figures["external"] and figures["seen_in_training"] == trained_on
    assert figures["internal"]["photographs"] == len(own.split("test").rows)
    assert figures["operating_point"]["threshold"] == run.threshold
    text = evaluation.metrics_text(figures)
    assert f"Warning: {sum(trained_on.values())} of 60" in text and "internal: small, test" in text


def test_values_chosen_on_validation_are_measured_on_test(run) -> None:
    val = run.prepared_set().split("val")
    outputs = forward.forward(run, run.model(), val)
    chosen = calibrate(val.labels(), outputs, softmax, run.task, "sensitivity", 0.9, "median")
    folders.write_json(run.folder / "run.json", run.about | chosen)
    calibrated = Run.load(run.folder)
    assert calibrated.decision == "median" and calibrated.point.targets == {"sensitivity": 0.9}
    folder, figures = evaluate.evaluate_photographs(calibrated, run.prepared_set().split("test"), "small-test")
    assert figures["calibration"]["temperature"] == calibrated.temperature == chosen["temperature"]
    assert list(figures["operating_points"]) == list(AIMS)
    assert figures["operating_points"]["youden"]["threshold"] == chosen["operating_points"]["youden"]["value"]
    assert [band["aimed"] for band in figures["bands"]] == list(evaluate.SHARES)
    threshold = figures["operating_point"]["threshold"]
    _, read, _ = read_predictions(
        folder / "predictions.csv", figures["predictions_sha256"], run.task, "median", threshold
    )
    assert figures["accuracy"] == read.right.mean()


def test_another_operating_point_has_a_result_of_its_own(run) -> None:
    result = evaluate.evaluate(run, split="val", operating_point="screening")
    assert result.folder.name == "small-val-at-screening"
    assert result.figures["point_name"] == "screening"
    assert result.figures["operating_point"]["threshold"] == run.points["screening"].value
    assert "default" in result.figures["operating_points"] and result.figures["bands"] == []
    own = evaluate.evaluate(run, split="val", threshold=0.25)
    assert own.folder.name == "small-val-at-0.25"
    assert own.figures["operating_point"]["threshold"] == 0.25
    with pytest.raises(KerasDrError, match="no operating point 'other'"):
        evaluate.evaluate(run, split="val", operating_point="other")


def test_a_class_that_the_test_set_lacks_has_no_figures(run) -> None:
    data = run.prepared_set().split("test")
    few = dataclasses.replace(data, rows=tuple(row for row in data.rows if row["label"] != "severe")[:5])
    _, figures = evaluate.evaluate_photographs(run, few, "five")
    assert figures["photographs"] == 5 and figures["classes"]["severe"]["recall"] is None
    assert "severe" in evaluation.metrics_text(figures)


def test_a_share_out_of_range_is_refused(run) -> None:
    with pytest.raises(KerasDrError, match="--prevalence"):
        evaluate.EvaluationOptions(prevalence=1.5)
    data = run.prepared_set().split("test")
    with pytest.raises(KerasDrError, match="--by"):
        evaluate.evaluate_photographs(run, data, "by", options=evaluate.EvaluationOptions(columns=("age",)))


def test_a_changed_or_missing_model_is_refused(run) -> None:
    file = run.folder / "model.keras"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(KerasDrError, match="was changed"):
        run.model()
    file.unlink()
    with pytest.raises(KerasDrError, match="no file"):
        run.model()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="keras-dr train"):
        Run.load(tmp_path)


def test_a_set_that_was_prepared_again_after_the_training_is_refused(
    run, prepared_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(prepared_folder, tmp_path / "set")
    assert run.own_set(tmp_path / "set").labels().size == 60
    manifest = tmp_path / "set" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))
    about = tmp_path / "set" / "prepared.json"
    values = json.loads(about.read_bytes()) | {"manifest_sha256": folders.sha256_of(manifest)}
    about.write_text(json.dumps(values))
    with pytest.raises(KerasDrError, match="trained on"):
        run.own_set(tmp_path / "set")
    assert run.result_name(PreparedSet.load(tmp_path / "set"), "test") == f"set-{values['manifest_sha256'][:8]}-test"


@pytest.mark.parametrize(
    "edit",
    [
        {"classes": 3},
        {"preprocessing": []},
        {"temperature": 0},
        {"temperature": "x"},
        {"operating_point": None},
        {"operating_point": {"value": float("nan")}},
        {"recipe": [1]},
        {"decision": "mode"},
        {"operating_points": {"youden": {"threshold": 0.5}}},
        {"data": 1},
    ],
)
def test_a_run_edited_by_hand_is_refused(run, edit: dict) -> None:
    file = run.folder / "run.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | edit))
    with pytest.raises(KerasDrError, match=r"run\.json|recipe"):
        Run.load(run.folder)
