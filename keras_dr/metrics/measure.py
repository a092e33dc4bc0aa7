"""Every number of an evaluation, on arrays, with its interval. A figure that does not exist is None."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.datasets.grades import Task
from keras_dr.metrics import intervals, weighted
from keras_dr.metrics.operating_points import OperatingPoint, predictive_values
from keras_dr.metrics.predictions import Labels, Predictions, Probabilities

Name = tuple[str, ...]
Share = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # what counts as a hit, among which


def single(values: NDArray[np.float64]) -> float | None:
    """The one value of float (1,), None for NaN."""
    return None if np.isnan(values[0]) else float(values[0])


def _once(n: int) -> NDArray[np.float64]:
    return np.ones((1, n))


def quadratic_kappa(labels: Labels, predictions: Labels, classes: int, ordered: int | None = None) -> float | None:
    """`weighted.quadratic_kappa` of class indices int (n,); None where labels and predictions are all one class.

    Over the first `ordered` classes alone, see `Task.ordered`; over all where that is not given, None where it is 0.
    """
    matrix = weighted.confusion(_once(len(labels)), labels, predictions, classes)
    of = classes if ordered is None else ordered
    return single(weighted.quadratic_kappa(matrix[:, :of, :of])) if of else None


def auroc(positive: NDArray[np.bool_], scores: Probabilities) -> float | None:
    """Area under the ROC curve; None unless both kinds are present. bool (n,), float (n,)."""
    return single(weighted.ranking(_once(len(scores)), positive, scores)[0])


def _surprise(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1))


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean negative log likelihood in nats. int (n,), float (n, C)."""
    return float(_surprise(labels, probabilities).mean())


def validation_scores(
    labels: Labels, probabilities: Probabilities, task: Task, decision: str = "argmax"
) -> dict[str, float | None]:
    """What training watches: loss, accuracy, quadratic kappa and AUROC of the positive classes, named val_....

    All None where a probability is no finite number.

    Args:
        labels: int (n,), class indices.
        probabilities: float (n, C), rows summing to 1.
        task: the label space.
        decision: see `decision.decide`.
    """
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_quadratic_kappa", "val_auroc"))
    of = Predictions(labels, probabilities, task, decision)
    return {
        "val_loss": log_loss(labels, probabilities),
        "val_accuracy": float(of.right.mean()),
        "val_quadratic_kappa": quadratic_kappa(labels, of.predicted, len(task.classes), task.ordered),
        "val_auroc": auroc(of.positive, of.scores),
    }


def goodness(value: float | None, monitor: str) -> float:
    """A monitor's value turned so that more is better; what does not exist is worst."""
    if value is None or math.isnan(value):
        return -math.inf
    return -value if monitor == "val_loss" else value


def proportions(of: Predictions) -> dict[Name, Share]:
    """Figures that are shares of photographs: name -> (what counts as a hit, among which), bool (n,) each."""
    found: dict[Name, Share] = {("accuracy",): (of.right, np.ones(len(of.labels), bool))}
    for index, name in enumerate(of.task.classes):
        true, predicted = of.labels == index, of.predicted == index
        found["classes", name, "precision"] = (true, predicted)
        found["classes", name, "recall"] = (predicted, true)
        found["classes", name, "specificity"] = (~predicted, ~true)
    return found


def _referral(of: Predictions, threshold: float) -> dict[Name, Share]:
    referred = of.scores >= threshold
    return {
        ("sensitivity",): (referred, of.positive),
        ("specificity",): (~referred, ~of.positive),
        ("ppv",): (of.positive, referred),
        ("npv",): (~of.positive, ~referred),
    }


def overall(of: Predictions, weights: weighted.Weights) -> dict[Name, NDArray[np.float64]]:
    """Figures that are no plain proportions, under weights float (R, n): name -> (R,).

    Brier scores (Monthly Weather Review 78(1), 1950): over all classes, 0..2; of referral 0..1. Kappa is over the
    ordered classes alone. Calibration errors are of the predicted class's probability, and of p_referable.
    """
    task, classes = of.task, len(of.task.classes)
    matrix = weighted.confusion(weights, of.labels, of.predicted, classes)
    found = weighted.averages(matrix)
    if task.ordered:
        found["quadratic_kappa",] = weighted.quadratic_kappa(matrix[:, : task.ordered, : task.ordered])
    truth = np.eye(classes)[of.labels]
    found["brier",] = weighted.mean(weights, ((of.probabilities - truth) ** 2).sum(axis=1))
    found["log_loss",] = weighted.mean(weights, _surprise(of.labels, of.probabilities))
    found["ece",] = weighted.expected_calibration_error(weights, of.confidence, of.right)
    if task.referable:
        found["auroc_referable",], found["auprc_referable",] = weighted.ranking(weights, of.positive, of.scores)
        found["brier_referable",] = weighted.mean(weights, (of.scores - of.positive) ** 2)
        found["ece_referable",] = weighted.expected_calibration_error(weights, of.scores, of.positive)
    f1 = weighted.class_figures(matrix)["f1"]
    for index, name in enumerate(task.classes):
        found["classes", name, "f1"] = f1[:, index]
        ranked = weighted.ranking(weights, of.labels == index, of.probabilities[:, index])
        found["classes", name, "auroc"], found["classes", name, "auprc"] = ranked
    return found


# What a task may lack, and metrics.json then says null of.
_ALWAYS: tuple[Name, ...] = (
    *(("quadratic_kappa",), ("auroc_referable",), ("auprc_referable",), ("brier_referable",), ("ece_referable",)),
)


def measure(
    of: Predictions,
    point: OperatingPoint,
    points: Mapping[str, OperatingPoint] | None = None,
    prevalence: float | None = None,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Any]:
    """All figures of one set of predictions, ready for JSON.

    Args:
        of: the predictions.
        point: whom to refer; chosen elsewhere.
        points: further operating points, by name.
        prevalence: share of positive photographs, 0..1, for which predictive values are wanted as well.
        resamples: bootstrap resamples of patients; 0: no bootstrap.

    Returns:
        photographs, patients, positive (in words, what figures of referral are of), each figure, operating_point,
        operating_points, confusion_matrix (rows true, columns predicted), classes, macro and weighted averages; and
        intervals, which has the same keys as the figures and [low, high] or None for each.
    """
    task, shares = of.task, proportions(of)
    values = {path: single(weighted.share(_once(len(of.labels)), *pair)) for path, pair in shares.items()}
    values |= dict.fromkeys(_ALWAYS) | {path: single(v) for path, v in overall(of, _once(len(of.labels))).items()}
    limits: dict[Name, intervals.Interval] = dict.fromkeys(values)
    limits |= {path: intervals.proportion(*pair, of.patients) for path, pair in shares.items()}
    if resamples:
        limits |= intervals.bootstrap(lambda weights: overall(of, weights), of.patients, resamples)
    known = {path: limits[path] if value is not None else None for path, value in values.items()}
    figures = {
        "photographs": len(of.labels),
        "patients": int(of.patients.max()) + 1,
        "positive": task.positive,
        **_nested(values),
        "confusion_matrix": weighted.confusion(_once(len(of.labels)), of.labels, of.predicted, len(task.classes))[0]
        .astype(int)
        .tolist(),
        "operating_point": measure_point(of, point, prevalence),
        "operating_points": {name: measure_point(of, one, prevalence) for name, one in (points or {}).items()},
        "intervals": _nested(known)
        | {"auroc_referable_delong": intervals.delong_interval(of.positive, of.scores) if task.referable else None},
    }
    support = np.bincount(of.labels, minlength=len(task.classes))
    for name, count in zip(task.classes, support, strict=True):
        figures["classes"][name]["support"] = int(count)
    for name in ("macro", "weighted"):
        figures[name]["support"] = len(of.labels)
    return figures


def measure_point(of: Predictions, point: OperatingPoint, prevalence: float | None = None) -> dict[str, Any]:
    """Sensitivity, specificity, PPV and NPV at an operating point, their intervals, and whether its targets held.

    PPV and NPV at another prevalence rise with sensitivity and with specificity; their intervals are what both lower
    and both upper limits of these give: wide rather than narrow.

    Args:
        of: the predictions.
        point: chosen elsewhere.
        prevalence: share of positive photographs, 0..1, for which PPV and NPV are given as well.
    """
    once, shares = _once(len(of.labels)), _referral(of, point.value)
    known = bool(of.task.referable)
    measured = {path[0]: single(weighted.share(once, *pair)) if known else None for path, pair in shares.items()}
    limits = {
        path[0]: intervals.proportion(*pair, of.patients) if measured[path[0]] is not None else None
        for path, pair in shares.items()
    }
    if prevalence is not None and known:
        keys = ("sensitivity", "specificity")
        hits, cleared = (np.array([measured[key], *(limits[key] or (None, None))], float) for key in keys)
        for key, found in zip(("ppv", "npv"), predictive_values(hits, cleared, prevalence), strict=True):
            measured[f"{key}_at_prevalence"] = single(found)
            limits[f"{key}_at_prevalence"] = None if np.isnan(found).any() else (float(found[1]), float(found[2]))
    held = {name: point.reached(name, measured[name]) for name in point.targets}
    return {
        "threshold": point.value,
        "targets": dict(point.targets),
        "held": all(held.values()) if held and None not in held.values() else None,
        **measured,
        "prevalence": prevalence,
        "intervals": limits,
    }


def _nested(values: Mapping[Name, Any]) -> dict[str, Any]:
    """{("a", "b"): 1} -> {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return tree
