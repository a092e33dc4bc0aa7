"""predictions.csv: what a grader said of each photograph; written by evaluate, read by compare."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import decide
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import Task

_KNOWN = ("image_id", "patient_id", "split", "label")


Labels = NDArray[np.int64]


Probabilities = NDArray[np.float64]


def p_referable(probabilities: Probabilities, task: Task) -> NDArray[np.float64]:
    """Probability of referable DR: sum over the task's positive classes. float (n, C) -> float (n,)."""
    return probabilities[:, list(task.referable)].sum(axis=1)


@dataclass(frozen=True)
class Predictions:
    """What a grader said of photographs whose classes are known.

    Attributes:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        decision: see `decision.decide`.
        patients: int (n,), 0..P-1, whose photograph each is; empty: each of another patient.

    Raises:
        KerasDrError: a probability is no finite number; ranked all the same, NaN would have an AUROC.
    """

    labels: Labels
    probabilities: Probabilities
    task: Task
    decision: str = "argmax"
    patients: Labels = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if not np.isfinite(self.probabilities).all():
            raise KerasDrError("finite probabilities", "NaN or infinity", "Train again, with a lower learning rate.")
        codes = self.patients if len(self.patients) else np.arange(len(self.labels))
        object.__setattr__(self, "patients", np.unique(codes, return_inverse=True)[1])

    @cached_property
    def predicted(self) -> Labels:
        """Predicted class indices, int64 (n,)."""
        return decide(self.probabilities, self.decision)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one, bool (n,)."""
        return self.predicted == self.labels

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class, float (n,)."""
        return self.probabilities[np.arange(len(self.labels)), self.predicted]

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Whether a photograph is truly of a positive class, bool (n,)."""
        return np.isin(self.labels, self.task.referable)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """p_referable, float (n,)."""
        return p_referable(self.probabilities, self.task)

    def subset(self, chosen: NDArray[Any]) -> "Predictions":
        """Some of the photographs, by bool (n,) or indices."""
        parts = (self.labels[chosen], self.probabilities[chosen], self.patients[chosen])
        return replace(self, labels=parts[0], probabilities=parts[1], patients=parts[2])


def patient_codes(rows: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """Whose photograph each row of a manifest is, int (n,); without a patient_id each is of another patient."""
    return np.unique([row["patient_id"] or row["image_id"] for row in rows], return_inverse=True)[1]


def write_predictions(
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    of: Predictions,
    threshold: float | NDArray[np.float64],
    further: Sequence[str] = (),
) -> None:
    """Write predictions.csv, probabilities with all their digits: rounded, some near 1 would tie.

    Args:
        file: to write.
        rows: of manifest.csv, n photographs.
        of: their predictions.
        threshold: refer where p_referable >= threshold; of all, or float (n,) of each.
        further: columns of `rows` to write after the usual ones.
    """
    classes = of.task.classes
    # a dictionary, because a class may itself be called "referable": then both columns are one
    columns = dict.fromkeys(
        [*_KNOWN, "prediction", *(f"p_{name}" for name in classes), "p_referable", "referred", *further]
    )
    lines = []
    referred = (of.scores >= threshold).astype(int)
    for row, p, score, sent, predicted in zip(rows, of.probabilities, of.scores, referred, of.predicted, strict=True):
        figures = {f"p_{name}": repr(float(value)) for name, value in zip(classes, p, strict=True)}
        figures |= {"p_referable": repr(float(score)), "referred": str(sent)}
        lines.append({**row, "prediction": classes[predicted], **figures})
    folders.write_bytes(file, encode_csv(list(columns), lines))


def read_predictions(file: Path, sha256: str, task: Task, decision: str) -> tuple[list[str], Predictions]:
    """Read predictions.csv.

    Args:
        file: to read.
        sha256: of the file when it was written, from metrics.json.
        task: its label space.
        decision: how classes are predicted.

    Returns:
        Image ids, and the predictions in the same order.

    Raises:
        KerasDrError: gone, or changed since it was written.
    """
    if not file.is_file() or folders.sha256_of(file) != sha256:
        found = "another" if file.is_file() else "no file"
        remedy = "Evaluate the run again with --overwrite."
        raise KerasDrError(f"{file} as evaluate wrote it (sha256 in metrics.json)", found, remedy)
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        probabilities = np.array([[float(row[f"p_{name}"]) for name in task.classes] for row in rows])
        labels = np.array([task.classes.index(row["label"]) for row in rows], np.int64)
        ids, patients = [row["image_id"] for row in rows], patient_codes(rows)
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        found = f"{type(error).__name__}: {error}"
        raise KerasDrError(f"a table as evaluate writes it in {file}", found, "Evaluate the run again.") from error
    return ids, Predictions(labels, probabilities, task, decision, patients)
