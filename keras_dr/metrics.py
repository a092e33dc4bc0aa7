"""Every number of an evaluation, on arrays. A figure that does not exist (one class only, say) is None."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from keras_dr.grades import Task

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def quadratic_kappa(labels: Labels, predictions: Labels, classes: int) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen, Psychological Bulletin 70(4), 1968), -1..1.

    Args:
        labels, predictions: int (n,), class indices.
        classes: number of classes.

    Returns:
        None where labels and predictions are all one class.
    """
    observed = sk.confusion_matrix(labels, predictions, labels=range(classes)).astype(float)
    index = np.arange(classes)
    weights = (index[:, None] - index[None, :]) ** 2.0
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    chance = (weights * expected).sum()
    return float(1 - (weights * observed).sum() / chance) if chance else None


def auroc(positive: NDArray[np.bool_], scores: Probabilities) -> float | None:
    """Area under the ROC curve; None unless both kinds are present. bool (n,), float (n,)."""
    return float(sk.roc_auc_score(positive, scores)) if 0 < positive.sum() < len(positive) else None


def average_precision(positive: NDArray[np.bool_], scores: Probabilities) -> float | None:
    """Area under the precision-recall curve, as average precision; None without positives. bool (n,), float (n,)."""
    return float(sk.average_precision_score(positive, scores)) if positive.any() else None


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean negative log likelihood in nats. int (n,), float (n, C)."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-12, 1)).mean())


def p_referable(probabilities: Probabilities, task: Task) -> NDArray[np.float64]:
    """Probability of referable DR: sum over the task's positive classes. float (n, C) -> float (n,)."""
    return probabilities[:, list(task.referable)].sum(axis=1)


@dataclass(frozen=True)
class Threshold:
    """An operating point: refer where p_referable >= value.

    Attributes:
        value: on the probability of referable DR, 0..1.
        rule: "specificity" or "sensitivity", the one that had to reach `target`.
        target: 0..1.
        sensitivity, specificity: measured on the photographs that it was chosen on, 0..1.
    """

    value: float
    rule: str
    target: float
    sensitivity: float
    specificity: float

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)


def choose_threshold(positive: NDArray[np.bool_], scores: Probabilities, rule: str, target: float) -> Threshold:
    """The threshold at which the rule reaches at least its target and the other of the two is highest.

    Candidates lie halfway between neighbouring scores, so that a score moved by rounding changes no decision.

    Args:
        positive: bool (n,), truly referable.
        scores: float (n,), p_referable.
        rule: "specificity" or "sensitivity".
        target: 0..1.

    Raises:
        ValueError: only one kind of photograph is present.
    """
    if not 0 < positive.sum() < len(positive):
        raise ValueError("a threshold needs referable and non-referable photographs")
    values = np.unique(scores)
    candidates = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [min(1.0, values[-1] + 1e-6)]])
    referred = scores[None, :] >= candidates[:, None]
    sensitivity = referred[:, positive].mean(axis=1)
    specificity = 1 - referred[:, ~positive].mean(axis=1)
    aimed, other = (specificity, sensitivity) if rule == "specificity" else (sensitivity, specificity)
    reached = np.flatnonzero(aimed >= target)
    best = reached[np.lexsort((aimed[reached], other[reached]))[-1]] if len(reached) else int(np.argmax(aimed))
    return Threshold(float(candidates[best]), rule, target, float(sensitivity[best]), float(specificity[best]))


def sensitivity_specificity(positive: NDArray[np.bool_], referred: NDArray[np.bool_]) -> dict[str, float | None]:
    """Share of referable photographs that are referred, and of the others that are not. bool (n,) each."""
    return {
        "sensitivity": float(referred[positive].mean()) if positive.any() else None,
        "specificity": float((~referred[~positive]).mean()) if (~positive).any() else None,
    }


def predicted_classes(probabilities: Probabilities, decision: str = "argmax") -> Labels:
    """The class that each row of probabilities says, int (n,).

    Args:
        probabilities: float (n, C), rows summing to 1.
        decision: "argmax", the likeliest; or "median", the first at which the sum up to it reaches 1/2, as ordinal
            heads predict.
    """
    if decision == "argmax":
        return probabilities.argmax(axis=1)
    return (np.cumsum(probabilities, axis=1)[:, :-1] < 0.5).sum(axis=1)


def goodness(value: float | None, monitor: str) -> float:
    """A monitor's value turned so that more is better; what does not exist is worst."""
    if value is None or math.isnan(value):
        return -math.inf
    return -value if monitor == "val_loss" else value


def validation_scores(
    labels: Labels, probabilities: Probabilities, task: Task, decision: str = "argmax"
) -> dict[str, float | None]:
    """What training watches: loss, accuracy, quadratic kappa and AUROC of the positive classes, named val_....

    Args:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        decision: see `predicted_classes`.
    """
    predictions = predicted_classes(probabilities, decision)
    return {
        "val_loss": log_loss(labels, probabilities),
        "val_accuracy": float((labels == predictions).mean()),
        "val_quadratic_kappa": quadratic_kappa(labels, predictions, len(task.classes)),
        "val_auroc": auroc(np.isin(labels, task.referable), p_referable(probabilities, task)),
    }


def evaluate(
    labels: Labels, probabilities: Probabilities, task: Task, threshold: float, decision: str = "argmax"
) -> dict[str, Any]:
    """All figures of one set of predictions, ready for JSON.

    Args:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        threshold: refer where p_referable >= threshold; chosen elsewhere.
        decision: see `predicted_classes`.

    Returns:
        accuracy, quadratic_kappa, positive (in words, what the next three figures are of), auroc_referable,
        auprc_referable, operating_point, confusion_matrix (rows true, columns predicted), classes (precision, recall,
        f1, support each), macro and weighted averages.
    """
    predictions = predicted_classes(probabilities, decision)
    positive, scores = np.isin(labels, task.referable), p_referable(probabilities, task)
    referral = sensitivity_specificity(positive, scores >= threshold)
    if not task.referable:
        referral = dict.fromkeys(referral)
    indices = list(range(len(task.classes)))
    report = sk.classification_report(
        labels, predictions, labels=indices, target_names=task.classes, output_dict=True, zero_division=0.0
    )
    return {
        "photographs": len(labels),
        "positive": task.positive,
        "accuracy": float((labels == predictions).mean()),
        "quadratic_kappa": quadratic_kappa(labels, predictions, len(indices)),
        "auroc_referable": auroc(positive, scores),
        "auprc_referable": average_precision(positive, scores),
        "operating_point": {"threshold": threshold, **referral},
        "confusion_matrix": sk.confusion_matrix(labels, predictions, labels=indices).tolist(),
        "classes": {name: _class_figures(report[name]) for name in task.classes},
        "macro": _class_figures(report["macro avg"]),
        "weighted": _class_figures(report["weighted avg"]),
    }


def _class_figures(figures: dict[str, float]) -> dict[str, float | int]:
    return {
        "precision": float(figures["precision"]),
        "recall": float(figures["recall"]),
        "f1": float(figures["f1-score"]),
        "support": int(figures["support"]),
    }
