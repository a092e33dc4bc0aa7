from pathlib import Path

import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.predictions import Predictions, patient_codes, read_predictions, write_predictions

ROWS = [
    {"image_id": "a_left", "patient_id": "a", "split": "test", "label": "no_dr"},
    {"image_id": "a_right", "patient_id": "a", "split": "test", "label": "severe"},
    {"image_id": "b", "patient_id": "", "split": "test", "label": "mild"},
]
P = np.array([[0.6, 0.2, 0.1, 0.1, 0], [0.1, 0.3, 0.2, 0.4, 0], [1 / 3, 1 / 3, 1 / 3, 0, 0]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    predictions = Predictions(np.array([0, 3, 1]), P, TASKS["icdr"], "median", patient_codes(ROWS))
    write_predictions(tmp_path / "predictions.csv", ROWS, predictions, 0.5)
    return tmp_path / "predictions.csv"


def test_predictions_are_read_as_they_were_written(file: Path) -> None:
    names, predictions, thresholds = read_predictions(file, folders.sha256_of(file), TASKS["icdr"], "median", 0.5)
    assert names == ["a_left", "a_right", "b"] and predictions.labels.tolist() == [0, 3, 1]
    assert np.array_equal(predictions.probabilities, P) and predictions.patients.tolist() == [0, 0, 1]
    assert predictions.predicted.tolist() == [0, 2, 1] and thresholds.tolist() == [0.5, 0.5, 0.5]
    assert [line.split(",")[4] for line in file.read_text().splitlines()[1:]] == ["no_dr", "moderate", "mild"]


def test_referrals_by_another_rule_are_refused(file: Path) -> None:
    """Their thresholds were chosen for that rule, so that sensitivities could not be compared with those of others."""
    lines = file.read_text().splitlines()
    assert lines[1].endswith(",0")
    file.write_text("\n".join([lines[0], lines[1][:-1] + "1", *lines[2:]]))
    with pytest.raises(KerasDrError, match="older version, which referred other photographs"):
        read_predictions(file, folders.sha256_of(file), TASKS["icdr"], "median", 0.5)


def test_a_file_edited_by_hand_is_refused(file: Path) -> None:
    digest = folders.sha256_of(file)
    file.write_text(file.read_text().replace("severe", "mild"))
    with pytest.raises(KerasDrError, match="--overwrite"):
        read_predictions(file, digest, TASKS["icdr"], "median", 0.5)
