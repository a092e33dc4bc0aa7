"""Photographs counted by patients, as the table patients.csv of predictions counts them: the worse eye decides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.metrics.predictions import Predictions

UNGRADABLE = "ungradable"
EYES = ("left", "right")
COLUMNS = ("patient_id", "photographs", "label", "prediction", "eye", "p_referable", "referred", *EYES, UNGRADABLE)


def are_patients_known(rows: Sequence[Mapping[str, str]], patients_from: str = "") -> bool:
    """Return whether photographs can be counted by patients.

    Args:
        rows: rows of manifest.csv.
        patients_from: where `prepare` read the patients; "unknown" if it did not; "" if an older version prepared the
            set. Then they are known if a patient has more than one photograph.
    """
    patients = [row["patient_id"] for row in rows if row["patient_id"]]
    if not patients or patients_from == "unknown":
        return False
    return bool(patients_from) or len(set(patients)) < len(patients)


def patient_table(
    rows: Sequence[Mapping[str, str]],
    predictions: Predictions,
    threshold: float,
    faulty: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Return a row of `COLUMNS` per patient, in the order of their first photographs.

    The label is the worst of all photographs, and the prediction the worst of the photographs without faults. A patient
    is referred if one or more photographs are. An eye whose photographs all have faults is ungradable.

    Args:
        rows: rows of manifest.csv for n photographs.
        predictions: the predictions for them.
        threshold: as for `Predictions.referred`.
        faulty: bool (n,), whether a device would find faults in the photograph.
    """
    by_patient: dict[int, list[int]] = {}
    for index, patient in enumerate(predictions.patients.tolist()):
        by_patient.setdefault(patient, []).append(index)
    classes = predictions.task.classes
    referred = predictions.referred(threshold)
    table = []
    for indices in by_patient.values():
        clear = [index for index in indices if not faulty[index]]
        worst = max(clear, key=lambda index: (predictions.predicted[index], predictions.scores[index]), default=None)
        row: dict[str, Any] = {
            "patient_id": rows[indices[0]]["patient_id"] or rows[indices[0]]["image_id"],
            "photographs": len(indices),
            "label": classes[predictions.labels[indices].max()],
            "prediction": UNGRADABLE if worst is None else classes[predictions.predicted[worst]],
            "eye": "" if worst is None else rows[worst]["eye"],
            "p_referable": float(predictions.scores[indices].max()),
            "referred": int(referred[indices].any()),
        }
        ungradable = []
        for eye in EYES:
            of_eye = [index for index in indices if rows[index]["eye"] == eye]
            grades = [int(predictions.predicted[index]) for index in of_eye if not faulty[index]]
            row[eye] = "" if not of_eye else classes[max(grades)] if grades else UNGRADABLE
            if of_eye and not grades:
                ungradable.append(eye)
        table.append(row | {UNGRADABLE: ";".join(ungradable)})
    return table


def ungradable_eyes(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the eyes of `patient_table` that are ungradable, such as "1000 left"."""
    return [f"{row['patient_id']} {eye}" for row in table for eye in row[UNGRADABLE].split(";") if eye]
