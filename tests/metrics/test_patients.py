import numpy as np

from keras_dr.datasets.grades import TASKS
from keras_dr.metrics.patients import COLUMNS, are_patients_known, patient_table, ungradable_eyes
from keras_dr.metrics.predictions import Predictions, patient_codes


def row(name: str, patient: str, eye: str) -> dict[str, str]:
    return {"image_id": name, "patient_id": patient, "eye": eye}


ROWS = [row("a", "17", "left"), row("b", "17", "right"), row("c", "9", "left"), row("d", "9", "left"), row("e", "", "")]


def table(faulty: list[int]) -> list[dict]:
    predicted = np.eye(5)[[0, 3, 1, 2, 0]]
    predictions = Predictions(np.array([0, 4, 0, 1, 0]), predicted, TASKS["icdr"], patients=patient_codes(ROWS))
    return patient_table(ROWS, predictions, 0.5, np.isin(np.arange(5), faulty))


def test_the_worse_eye_decides_and_its_side_is_named() -> None:
    first, second, third = table([])
    assert list(first) == list(COLUMNS)
    assert (first["patient_id"], first["label"], first["prediction"], first["eye"]) == (
        "17",
        "proliferative",
        "severe",
        "right",
    )
    assert (first["left"], first["right"], first["ungradable"], first["referred"]) == ("no_dr", "severe", "", 1)
    assert (second["photographs"], second["left"], second["right"]) == (2, "moderate", "")
    assert (third["patient_id"], third["referred"], third["prediction"]) == ("e", 0, "no_dr")


def test_an_eye_whose_photographs_all_have_faults_is_named() -> None:
    first, second, third = rows = table([1, 3, 4])
    assert (first["right"], first["prediction"], first["ungradable"]) == ("ungradable", "no_dr", "right")
    assert first["referred"] == 1  # a fault takes no referral back
    assert (second["left"], second["ungradable"]) == ("mild", "")  # its other photograph is clear
    assert third["prediction"] == "ungradable" and third["ungradable"] == ""
    assert ungradable_eyes(rows) == ["17 right"]


def test_patients_are_known_if_prepare_knew_them() -> None:
    assert are_patients_known(ROWS, "the names of the files")
    assert are_patients_known(ROWS)
    assert not are_patients_known(ROWS, "unknown")
    assert not are_patients_known([row("a", "a", ""), row("b", "b", "")])
    assert not are_patients_known([row("a", "", "")], "a column")
