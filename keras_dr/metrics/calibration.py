"""What is fitted on validation and frozen in run.json: temperature, operating points, certainty; and reliability."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure, operating_points, predictions, referral, weighted

TEMPERATURES = (0.1, 10.0)  # where none is best (every validation photograph right), an end is taken, or 1
_BINS = 10  # of the reliability diagram
Decode = Callable[[NDArray[np.floating], float], NDArray[np.float64]]


def fit_temperature(labels: NDArray[np.int64], logits: NDArray[np.floating], decode: Decode) -> float:
    """The temperature with the least negative log likelihood (Guo et al., ICML 2017).

    Args:
        labels: int (n,), class indices.
        logits: float (n, ...), the model's outputs.
        decode: from logits and a temperature to probabilities float (n, C), as `heads.softmax`.
    """

    def loss(log_temperature: float) -> float:
        return measure.log_loss(labels, decode(logits, math.exp(log_temperature)))

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    found = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)
    # logits so large that the loss is flat lead the search astray: never worse than an end or no temperature at all
    return math.exp(min((found, *bounds, 0.0), key=lambda one: (loss(one), abs(one))))


def calibrate(
    labels: NDArray[np.int64],
    logits: NDArray[np.floating],
    decode: Decode,
    task: Task,
    rule: str = "specificity",
    target: float = 0.85,
    decision: str = "argmax",
) -> dict[str, Any]:
    """Everything that a run chooses on validation photographs, as keys of run.json.

    Args:
        labels: int (n,), class indices of the validation photographs; both kinds where the task has a positive class.
        logits: float (n, ...), the model's outputs for them.
        decode: from logits and a temperature to probabilities float (n, C), as `heads.softmax`.
        task: the label space.
        rule, target: of the one operating point that photographs are referred by.
        decision: how a class is predicted, see `decision.decide`.

    Returns:
        decision, temperature, operating_point, operating_points (name -> `OperatingPoint`), certainty_quantiles (see
        `referral.certainty`; 101 of them, 0 to 100 %) and calibration: log loss and calibration error before and after.
    """
    temperature = fit_temperature(labels, logits, decode)
    before, after = (predictions.Predictions(labels, decode(logits, t), task, decision) for t in (1.0, temperature))
    point: dict[str, Any] = {"value": 1.0, "rule": rule, "target": target, "sensitivity": None, "specificity": None}
    points = {}
    if task.referable:
        point = operating_points.choose_threshold(after.positive, after.scores, rule, target).to_dict()
        points = {
            name: operating_points.choose(after.positive, after.scores, aim).to_dict()
            for name, aim in operating_points.AIMS.items()
        }
    certainty = referral.certainty(after, point["value"])
    return {
        "decision": decision,
        "temperature": temperature,
        "operating_point": point,
        "operating_points": points,
        "certainty_quantiles": np.quantile(certainty, np.linspace(0, 1, 101)).tolist(),
        "calibration": {"before": _errors(before), "after": _errors(after)},
    }


def _errors(of: predictions.Predictions) -> dict[str, float]:
    once = np.ones((1, len(of.labels)))
    error = weighted.expected_calibration_error(once, of.confidence, of.right)
    return {"log_loss": measure.log_loss(of.labels, of.probabilities), "ece": float(error[0])}


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """The points of a reliability diagram (Guo et al., ICML 2017): of ten bins (a, b] those that hold photographs.

    Args:
        confidence: float (n,), 0..1.
        right: bool (n,), whether what was held that likely is so.

    Returns:
        For each: photographs, their mean confidence, and frequency, the share of them that is right.
    """
    place, points = weighted.bin_of(confidence, _BINS), []
    for index in np.unique(place):
        inside = place == index
        points.append(
            {
                "photographs": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "frequency": float(right[inside].mean()),
            }
        )
    return points
