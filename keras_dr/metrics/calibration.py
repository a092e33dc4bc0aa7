"""Fits temperature, operating points and quantiles of certainty on validation, for run.json; measures reliability."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from keras_dr.core.decision import name_of_rule, rule_of
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure, operating_points, referral, weighted
from keras_dr.metrics.predictions import Predictions

# The range that is searched. If every validation photograph is graded correctly, there is no best temperature; the
# result is then an end of the range, or 1.
TEMPERATURES = (0.1, 10.0)
_BINS = 10  # of the reliability diagram
Decode = Callable[[NDArray[np.floating], float], NDArray[np.float64]]


def fit_temperature(labels: NDArray[np.int64], logits: NDArray[np.floating], decode: Decode) -> float:
    """Return the temperature with the least negative log likelihood (Guo et al., ICML 2017).

    Args:
        labels: int (n,), class indices.
        logits: float (n, ...), the model's outputs.
        decode: turns logits and a temperature into probabilities float (n, C), as `heads.softmax` does.
    """

    def loss(log_temperature: float) -> float:
        return measure.log_loss(labels, decode(logits, math.exp(log_temperature)))

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    fitted = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)
    # Very large logits make the loss flat and mislead the search, so its result competes with both ends of the range
    # and with no scaling at all (log temperature 0). Of equal losses the one nearest to no scaling wins.
    candidates = (fitted, *bounds, 0.0)
    return math.exp(min(candidates, key=lambda candidate: (loss(candidate), abs(candidate))))


def calibrate(
    labels: NDArray[np.int64],
    logits: NDArray[np.floating],
    decode: Decode,
    task: Task,
    figure: str = "sensitivity",
    target: float = 0.9,
    decision: str = "argmax",
    patients: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Return everything that a run chooses on its validation photographs, as keys of run.json.

    Args:
        labels: int (n,), class indices of the validation photographs; if the task has positive classes, positive and
            negative photographs must both be present.
        logits: float (n, ...), the model's outputs for them.
        decode: turns logits and a temperature into probabilities float (n, C), as `heads.softmax` does.
        task: the label space.
        figure: the figure, "sensitivity" or "specificity", that the threshold for referral has to reach.
        target: the value, 0..1, that this figure has to reach.
        decision: how a class is predicted, see `decision.decide`.
        patients: int (n,), the patient of each photograph; None: each photograph is of a different patient.

    Returns:
        decision, temperature, operating_point, operating_points (name -> `OperatingPoint`), certainty_quantiles (see
        `referral.certainty`; 101 of them, 0 to 100 %) and calibration: log loss and calibration error before and after.
    """
    temperature = fit_temperature(labels, logits, decode)
    codes = np.empty(0, np.int64) if patients is None else patients
    name = name_of_rule(decision, task.classes, task.referable)
    rule = rule_of(name, task.referable, 0.5)  # as long as no threshold is chosen
    before = Predictions(labels, decode(logits, 1.0), task, rule, codes)
    after = Predictions(labels, decode(logits, temperature), task, rule, codes)
    point = OperatingPoint(1.0)
    points = {}
    if task.referable:
        point = operating_points.choose(after, operating_points.Aim({figure: target}))
        points = {name: operating_points.choose(after, aim).to_dict() for name, aim in operating_points.AIMS.items()}
    certainty = referral.certainty(replace(after, decision=rule_of(name, task.referable, point.value)), point.value)
    return {
        "decision": name,
        "temperature": temperature,
        "operating_point": point.to_dict() | {"rule": figure, "target": target},
        "operating_points": points,
        "certainty_quantiles": np.quantile(certainty, np.linspace(0, 1, 101)).tolist(),
        "calibration": {"before": _errors(before), "after": _errors(after)},
    }


def _errors(predictions: Predictions) -> dict[str, float]:
    weights = np.ones((1, len(predictions.labels)))
    error = weighted.expected_calibration_error(weights, predictions.confidence, predictions.right)
    return {"log_loss": measure.log_loss(predictions.labels, predictions.probabilities), "ece": float(error[0])}


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return the points of a reliability diagram (Guo et al., ICML 2017): one for each of ten bins (a, b] with data.

    Args:
        confidence: float (n,), 0..1, the predicted probabilities.
        right: bool (n,), whether the event with that probability occurred.

    Returns:
        For each bin that is not empty: the number of photographs, their mean confidence, and frequency, the share of
        them whose event occurred.
    """
    bins = weighted.bin_of(confidence, _BINS)
    points = []
    for index in np.unique(bins):
        inside = bins == index
        points.append(
            {
                "photographs": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "frequency": float(right[inside].mean()),
            }
        )
    return points
