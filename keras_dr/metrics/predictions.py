"""The predictions of a grader for each photograph, and their table: predictions.csv and out_of_fold.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import MARGIN, Cut, Decision, ReferralRule, decide, rule_of
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import Task

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
_MANIFEST_COLUMNS = ("image_id", "patient_id", "split", "label")


def p_referable(probabilities: Probabilities, task: Task) -> NDArray[np.float64]:
    """Return the probability of referable DR, summed over the task's positive classes: float (n, C) -> float (n,)."""
    return probabilities[:, list(task.referable)].sum(axis=1)


@dataclass(frozen=True)
class Predictions:
    """The predictions of a grader for photographs whose classes are known.

    Attributes:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        decision: see `decision.decide`.
        patients: int (n,), 0..P-1, the patient of each photograph; empty: each photograph is of a different patient.

    Raises:
        KerasDrError: a probability is not finite; without this check, NaN would be ranked and get an AUROC.
    """

    labels: Labels
    probabilities: Probabilities
    task: Task
    decision: Decision = "argmax"
    patients: Labels = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if not np.isfinite(self.probabilities).all():
            raise KerasDrError(
                "The predicted probabilities contain NaN or infinity.", "Train again with a lower learning rate."
            )
        codes = self.patients if len(self.patients) else np.arange(len(self.labels))
        object.__setattr__(self, "patients", np.unique(codes, return_inverse=True)[1])

    @cached_property
    def predicted(self) -> Labels:
        """The predicted class indices, int64 (n,)."""
        return decide(self.probabilities, self.decision)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one, bool (n,)."""
        return self.predicted == self.labels

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted class, float (n,)."""
        return self.probabilities[np.arange(len(self.labels)), self.predicted]

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Whether the true class is a positive one, bool (n,)."""
        return np.isin(self.labels, self.task.referable)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The probability of referable DR, float (n,)."""
        return p_referable(self.probabilities, self.task)

    def referred(self, threshold: float | NDArray[np.float64], margin: float = MARGIN) -> NDArray[np.bool_]:
        """Return whether the final action refers each photograph, bool (n,); see `decision.ReferralRule`.

        Args:
            threshold: on the probability of referable DR; one for all photographs, or float (n,), one for each.
            margin: probability below the threshold within which a photograph is referred as uncertain.
        """
        grades = self.predicted
        if isinstance(self.decision, Cut):  # the grade follows the threshold that is asked for
            grades = decide(self.probabilities, replace(self.decision, threshold=threshold))
        return ReferralRule(self.task.referable, threshold, margin).referred(self.probabilities, grades)

    def subset(self, chosen: NDArray[Any]) -> "Predictions":
        """Return the predictions for some of the photographs, chosen by bool (n,) or by indices."""
        decision = self.decision
        if isinstance(decision, Cut) and isinstance(decision.threshold, np.ndarray):
            decision = replace(decision, threshold=decision.threshold[chosen])
        return replace(
            self,
            labels=self.labels[chosen],
            probabilities=self.probabilities[chosen],
            decision=decision,
            patients=self.patients[chosen],
        )


def patient_codes(rows: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """Return the patient of each row of a manifest, int (n,); each row without patient_id is a patient of its own."""
    return np.unique([row["patient_id"] or row["image_id"] for row in rows], return_inverse=True)[1]


def group_codes(rows: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    """Return the group of each row of a manifest that splits and folds never divide, int (n,)."""
    return np.unique([row["group_id"] for row in rows], return_inverse=True)[1]


def write_predictions(
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    predictions: Predictions,
    threshold: float | NDArray[np.float64],
    further: Sequence[str] = (),
) -> None:
    """Write predictions.csv. Probabilities keep all their digits, because rounding would make some near 1 equal.

    Args:
        file: the file to write.
        rows: the rows of manifest.csv for n photographs.
        predictions: the predictions for the same photographs.
        threshold: as for `Predictions.referred`.
        further: columns of `rows` that are written after the usual ones.
    """
    classes = predictions.task.classes
    # A class may itself be called "referable". Its column is then p_referable as well, and the keys of a dictionary
    # keep it only once.
    columns = dict.fromkeys(
        [*_MANIFEST_COLUMNS, "prediction", *(f"p_{name}" for name in classes), "p_referable", "referred", *further]
    )
    referred = predictions.referred(threshold).astype(int)
    lines = []
    for row, predicted, probabilities, score, sent in zip(
        rows, predictions.predicted, predictions.probabilities, predictions.scores, referred, strict=True
    ):
        line = {**row, "prediction": classes[predicted]}
        for name, probability in zip(classes, probabilities, strict=True):
            line[f"p_{name}"] = repr(float(probability))
        line["p_referable"] = repr(float(score))
        line["referred"] = str(sent)
        lines.append(line)
    folders.write_bytes(file, encode_csv(list(columns), lines))


def positions_of(wanted: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return where each of the wanted image ids stands among the ids of predictions, int64 (n,), for `subset`."""
    positions = {image_id: position for position, image_id in enumerate(ids)}
    return np.array([positions[image_id] for image_id in wanted], np.int64)


def read_predictions(
    file: Path, sha256: str, task: Task, rule: str, threshold: float | None = None
) -> tuple[list[str], Predictions, NDArray[np.float64]]:
    """Read predictions.csv of an evaluation, or out_of_fold.csv of a cross-validation.

    Photographs that stay together in cross-validations (the column `group_id`) count as those of one patient.

    Args:
        file: the file to read.
        sha256: the hash of the file when it was written, from the manifest beside it.
        task: the label space.
        rule: the key of the rule by which classes are predicted, see `decision.rule_of`.
        threshold: of the operating point; None: the column `threshold` has that of each photograph.

    Returns:
        Image ids; the predictions in the same order; and the threshold of each photograph, float64 (n,).

    Raises:
        KerasDrError: the file is missing, has changed since it was written, or an older version referred other
            photographs at these thresholds.
    """
    remedy = "Evaluate the run again, or train the cross-validation again, with --overwrite."
    if not file.is_file():
        raise KerasDrError(f"{file} does not exist.", remedy)
    if folders.sha256_of(file) != sha256:
        raise KerasDrError(f"{file} has changed since it was written (its sha256 was noted then).", remedy)
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        probabilities = np.array([[float(row[f"p_{name}"]) for name in task.classes] for row in rows])
        labels = np.array([task.classes.index(row["label"]) for row in rows], np.int64)
        ids = [row["image_id"] for row in rows]
        thresholds = np.array([float(row["threshold"]) if threshold is None else threshold for row in rows])
        referred = np.array([row["referred"] == "1" for row in rows], bool)
        patients = group_codes(rows) if rows and "group_id" in rows[0] else patient_codes(rows)
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        message = f"{file} is not a table of predictions ({type(error).__name__}: {error})."
        raise KerasDrError(message, remedy) from error
    predictions = Predictions(labels, probabilities, task, rule_of(rule, task.referable, thresholds), patients)
    if (referred != predictions.referred(thresholds)).any():
        message = f"{file} was written by an older version, which referred other photographs at the same thresholds."
        raise KerasDrError(message, remedy)
    return ids, predictions, thresholds
