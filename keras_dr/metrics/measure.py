"""The figures of an evaluation and their intervals, computed from arrays. A figure that does not exist is None."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decision import Decision
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import Task
from keras_dr.metrics import intervals, weighted
from keras_dr.metrics.operating_points import predictive_values
from keras_dr.metrics.predictions import Labels, Predictions, Probabilities

Path = tuple[str, ...]  # where a figure lies in a tree of dictionaries, such as ("classes", "mild", "f1")

# Figures that some tasks do not have; metrics.json gives null for them.
_OPTIONAL = ("quadratic_kappa", "auroc_referable", "auprc_referable", "brier_referable", "ece_referable")


def single(values: NDArray[np.float64]) -> float | None:
    """Return the only value of float (1,), or None for NaN."""
    return None if np.isnan(values[0]) else float(values[0])


def _once(n: int) -> NDArray[np.float64]:
    """Return weights (1, n) that count every photograph once."""
    return np.ones((1, n))


@dataclass(frozen=True)
class Share:
    """A figure that is a share of photographs.

    Attributes:
        hit: bool (n,), the photographs that count as successes.
        among: bool (n,), the photographs that count at all.
    """

    hit: NDArray[np.bool_]
    among: NDArray[np.bool_]

    def value(self) -> float | None:
        """Return the share, 0..1; None if no photograph counts."""
        return single(weighted.share(_once(len(self.hit)), self.hit, self.among))

    def interval(self, patients: NDArray[np.int64]) -> intervals.Interval:
        """Return its interval, see `intervals.proportion`; patients int (n,)."""
        return intervals.proportion(self.hit, self.among, patients)


def quadratic_kappa(labels: Labels, predictions: Labels, classes: int, ordered: int | None = None) -> float | None:
    """Return `weighted.quadratic_kappa` of class indices; None if all labels and predictions are of one class.

    Args:
        labels: int (n,), true class indices.
        predictions: int (n,), predicted class indices.
        classes: number of classes.
        ordered: use only the first `ordered` classes, see `Task.ordered`; None: all; 0: the result is None.
    """
    matrix = weighted.confusion(_once(len(labels)), labels, predictions, classes)
    used = classes if ordered is None else ordered
    if not used:
        return None
    return single(weighted.quadratic_kappa(matrix[:, :used, :used]))


def auroc(positive: NDArray[np.bool_], scores: Probabilities) -> float | None:
    """Return the area under the ROC curve of bool (n,) and float (n,).

    None unless there are positive and negative photographs.
    """
    return single(weighted.ranking(_once(len(scores)), positive, scores)[0])


def _negative_log_likelihood(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Return the negative log likelihood of each label in nats, float (n,)."""
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1))


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean negative log likelihood in nats of int (n,) and float (n, C)."""
    return float(_negative_log_likelihood(labels, probabilities).mean())


def validation_scores(
    labels: Labels, probabilities: Probabilities, task: Task, decision: Decision = "argmax"
) -> dict[str, float | None]:
    """Return the scores that training monitors: loss, accuracy, quadratic kappa and AUROC of the positive classes.

    Their names begin with "val_". All are None if a probability is not finite.

    Args:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        decision: see `decision.decide`.
    """
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_quadratic_kappa", "val_auroc"))
    predictions = Predictions(labels, probabilities, task, decision)
    return {
        "val_loss": log_loss(labels, probabilities),
        "val_accuracy": float(predictions.right.mean()),
        "val_quadratic_kappa": quadratic_kappa(labels, predictions.predicted, len(task.classes), task.ordered),
        "val_auroc": auroc(predictions.positive, predictions.scores),
    }


def goodness(value: float | None, monitor: str) -> float:
    """Return the value of a monitor with a sign such that more is better; a missing value is worst."""
    if value is None or math.isnan(value):
        return -math.inf
    return -value if monitor == "val_loss" else value


def proportions(predictions: Predictions) -> dict[str, Any]:
    """Return the figures that are shares of photographs, as a tree of dictionaries whose leaves are `Share`."""
    everyone = np.ones(len(predictions.labels), bool)
    classes = {}
    for index, name in enumerate(predictions.task.classes):
        true = predictions.labels == index
        predicted = predictions.predicted == index
        classes[name] = {
            "precision": Share(true, predicted),
            "recall": Share(predicted, true),
            "specificity": Share(~predicted, ~true),
        }
    return {"accuracy": Share(predictions.right, everyone), "classes": classes}


def _referral(predictions: Predictions, threshold: float) -> dict[str, Share]:
    """Return the shares that describe the final action at a threshold."""
    referred = predictions.referred(threshold)
    positive = predictions.positive
    return {
        "sensitivity": Share(referred, positive),
        "specificity": Share(~referred, ~positive),
        "ppv": Share(positive, referred),
        "npv": Share(~positive, ~referred),
    }


def kappa_interval(predictions: Predictions) -> intervals.Interval:
    """Return the 95 % interval of the quadratic kappa, from a bootstrap over patients; None where there is no kappa."""
    task = predictions.task
    if not task.ordered:
        return None

    def kappa(weights: weighted.Weights) -> dict[str, NDArray[np.float64]]:
        matrix = weighted.confusion(weights, predictions.labels, predictions.predicted, len(task.classes))
        return {"kappa": weighted.quadratic_kappa(matrix[:, : task.ordered, : task.ordered])}

    return intervals.bootstrap(kappa, predictions.patients)["kappa"]


def overall(predictions: Predictions, weights: weighted.Weights) -> dict[str, Any]:
    """Return the figures that are not simple proportions, as a tree of dictionaries whose leaves are float (R,).

    The Brier score (Monthly Weather Review 78(1), 1950) of all classes lies in 0..2, that of referral in 0..1. Kappa
    uses only the ordered classes. Calibration errors are those of the predicted class's probability and of p_referable.

    Args:
        predictions: of n photographs.
        weights: float (R, n).
    """
    task = predictions.task
    labels = predictions.labels
    probabilities = predictions.probabilities
    matrix = weighted.confusion(weights, labels, predictions.predicted, len(task.classes))
    figures = weighted.averages(matrix)
    if task.ordered:
        figures["quadratic_kappa"] = weighted.quadratic_kappa(matrix[:, : task.ordered, : task.ordered])
    truth = np.eye(len(task.classes))[labels]
    figures["brier"] = weighted.mean(weights, ((probabilities - truth) ** 2).sum(axis=1))
    figures["log_loss"] = weighted.mean(weights, _negative_log_likelihood(labels, probabilities))
    figures["ece"] = weighted.expected_calibration_error(weights, predictions.confidence, predictions.right)
    if task.referable:
        positive = predictions.positive
        scores = predictions.scores
        area, average_precision = weighted.ranking(weights, positive, scores)
        figures["auroc_referable"] = area
        figures["auprc_referable"] = average_precision
        figures["brier_referable"] = weighted.mean(weights, (scores - positive) ** 2)
        figures["ece_referable"] = weighted.expected_calibration_error(weights, scores, positive)
    f1 = weighted.class_figures(matrix)["f1"]
    figures["classes"] = {}
    for index, name in enumerate(task.classes):
        area, average_precision = weighted.ranking(weights, labels == index, probabilities[:, index])
        figures["classes"][name] = {"f1": f1[:, index], "auroc": area, "auprc": average_precision}
    return figures


def measure(
    predictions: Predictions,
    point: OperatingPoint,
    points: Mapping[str, OperatingPoint] | None = None,
    prevalence: float | None = None,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Any]:
    """Return all figures of one set of predictions, ready for JSON.

    Args:
        predictions: the predictions.
        point: decides who is referred; chosen elsewhere. Its figures are those of the final action.
        points: further operating points, by name.
        prevalence: share of positive photographs, 0..1, for which predictive values are given in addition.
        resamples: bootstrap resamples of patients; 0: no bootstrap.

    Returns:
        photographs, patients, positive (the positive classes in words), each figure, operating_point, operating_points,
        confusion_matrix (rows true, columns predicted), classes, macro and weighted averages; and intervals, which has
        the same keys as the figures and gives [low, high] or None for each.
    """
    task = predictions.task
    values, limits = _values_and_limits(predictions, resamples)
    once = _once(len(predictions.labels))
    matrix = weighted.confusion(once, predictions.labels, predictions.predicted, len(task.classes))[0]
    delong = intervals.delong_interval(predictions.positive, predictions.scores) if task.referable else None
    figures = {
        "photographs": len(predictions.labels),
        "patients": int(predictions.patients.max()) + 1,
        "positive": task.positive,
        "positive_classes": [task.classes[index] for index in task.referable],
        **_nested(values),
        "confusion_matrix": matrix.astype(int).tolist(),
        "operating_point": measure_point(predictions, point, prevalence),
        "operating_points": {
            name: measure_point(predictions, further, prevalence) for name, further in (points or {}).items()
        },
        "intervals": {**_nested(limits), "auroc_referable_delong": delong},
    }
    support = np.bincount(predictions.labels, minlength=len(task.classes))
    for name, count in zip(task.classes, support, strict=True):
        figures["classes"][name]["support"] = int(count)
    for name in ("macro", "weighted"):
        figures[name]["support"] = len(predictions.labels)
    return figures


def _values_and_limits(
    predictions: Predictions, resamples: int
) -> tuple[dict[Path, float | None], dict[Path, intervals.Interval]]:
    """Return the value and the interval of each figure; a figure without a value has no interval."""
    shares: dict[Path, Share] = _flat(proportions(predictions))
    figures = _flat(overall(predictions, _once(len(predictions.labels))))
    values: dict[Path, float | None] = {path: share.value() for path, share in shares.items()}
    values |= _flat(dict.fromkeys(_OPTIONAL))
    values |= {path: single(figure) for path, figure in figures.items()}
    limits: dict[Path, intervals.Interval] = dict.fromkeys(values)
    limits |= {path: share.interval(predictions.patients) for path, share in shares.items()}
    if resamples:
        limits |= intervals.bootstrap(
            lambda weights: _flat(overall(predictions, weights)), predictions.patients, resamples
        )
    return values, {path: limits[path] if value is not None else None for path, value in values.items()}


def measure_point(predictions: Predictions, point: OperatingPoint, prevalence: float | None = None) -> dict[str, Any]:
    """Return sensitivity, specificity, PPV and NPV of the final action at an operating point, with intervals.

    It also says whether the point's targets held.

    PPV and NPV at another prevalence rise with sensitivity and with specificity. The lower limit of their intervals
    follows from the lower limits of these two, the upper limit from the upper limits; they are wide rather than narrow.

    Args:
        predictions: the predictions.
        point: chosen elsewhere.
        prevalence: share of positive photographs, 0..1, for which PPV and NPV are given in addition.
    """
    refers = bool(predictions.task.referable)
    measured: dict[str, float | None] = {}
    limits: dict[str, intervals.Interval] = {}
    for name, share in _referral(predictions, point.value).items():
        measured[name] = share.value() if refers else None
        limits[name] = share.interval(predictions.patients) if measured[name] is not None else None
    if prevalence is not None and refers:
        sensitivity = _with_limits(measured["sensitivity"], limits["sensitivity"])
        specificity = _with_limits(measured["specificity"], limits["specificity"])
        ppv, npv = predictive_values(sensitivity, specificity, prevalence)
        for name, value in (("ppv_at_prevalence", ppv), ("npv_at_prevalence", npv)):
            measured[name] = single(value)
            limits[name] = None if np.isnan(value).any() else (float(value[1]), float(value[2]))
    reached = [point.reached(name, measured[name]) for name in point.targets]
    return {
        "threshold": point.value,
        "targets": dict(point.targets),
        "held": all(reached) if reached and None not in reached else None,
        **measured,
        "prevalence": prevalence,
        "intervals": limits,
    }


def _with_limits(value: float | None, interval: intervals.Interval) -> NDArray[np.float64]:
    """Return the value and its lower and upper limit, float (3,), NaN where they do not exist."""
    low, high = interval or (None, None)
    return np.array([value, low, high], float)


def _flat(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """{"a": {"b": 1}} -> {("a", "b"): 1}."""
    leaves: dict[Path, Any] = {}
    for key, value in tree.items():
        path = (*above, key)
        if isinstance(value, dict):
            leaves |= _flat(value, path)
        else:
            leaves[path] = value
    return leaves


def _nested(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """{("a", "b"): 1} -> {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return tree
