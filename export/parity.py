"""How far a variant is from the float model on photographs, and the gate that it has to pass."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_demo.interpreter import Outputs
from keras_dr.core.decision import decide
from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure, predictions
from keras_dr.metrics.operating_points import OperatingPoint
from keras_dr.models.grader import class_evidence, feature_layer
from keras_dr.models.heads import probabilities
from keras_dr.recipe import ParityLimits

_BATCH = 16
_AT_LEAST = ("grade_agreement", "heatmap_correlation")
Limits = Mapping[str, tuple[str, float]]  # name of a figure -> ("at most" or "at least", value)


def limits_of(recipe: ParityLimits) -> dict[str, Limits]:
    """Variant -> what a recipe asks of it."""
    return {
        variant: {
            figure: ("at least" if figure in _AT_LEAST else "at most", value)
            for figure, value in limits.items()
            if value is not None
        }
        for variant, limits in recipe.model_dump().items()
    }


@dataclass(frozen=True)
class Parity:
    """A variant against the float model.

    Attributes:
        photographs: n.
        largest_probability_difference, mean_probability_difference: absolute, over photographs and classes, 0..1.
        grade_agreement: share 0..1 of photographs to which both give the same class.
        heatmap_correlation: mean over photographs of Pearson's r, -1..1, between both raw maps of the class that the
            float model predicts; photographs with a constant map are left out, None where all are.
        quadratic_kappa_float, quadratic_kappa_variant: against the labels; None where undefined.
        auroc_float, auroc_variant: of the positive classes, against the labels; None where undefined.
        sensitivity_float, sensitivity_variant, specificity_float, specificity_variant: at the operating point.
    """

    photographs: int
    largest_probability_difference: float
    mean_probability_difference: float
    grade_agreement: float
    heatmap_correlation: float | None
    quadratic_kappa_float: float | None
    quadratic_kappa_variant: float | None
    auroc_float: float | None
    auroc_variant: float | None
    sensitivity_float: float | None
    sensitivity_variant: float | None
    specificity_float: float | None
    specificity_variant: float | None

    @property
    def quadratic_kappa_loss(self) -> float | None:
        """Kappa of the float model minus the variant's; below 0 where the variant came out better."""
        return _difference(self.quadratic_kappa_float, self.quadratic_kappa_variant)

    @property
    def auroc_loss(self) -> float | None:
        """AUROC of the float model minus the variant's."""
        return _difference(self.auroc_float, self.auroc_variant)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        losses = {"quadratic_kappa_loss": self.quadratic_kappa_loss, "auroc_loss": self.auroc_loss}
        return {**asdict(self), **losses}


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def float_outputs(model: keras.Model, temperature: float, images: NDArray[np.uint8]) -> Outputs:
    """What the trained grader says of photographs, uint8 RGB (n, S, S, 3), by Keras; see `float_grader`."""
    return float_grader(model, temperature)(images)


def float_grader(model: keras.Model, temperature: float) -> Callable[[NDArray[np.uint8]], Outputs]:
    """The trained grader by Keras, compiled once: photographs uint8 RGB (n, S, S, 3) -> what it says of them.

    Args:
        model: the grader, float32 (n, S, S, 3) -> logits.
        temperature: > 0.
    """
    both = keras.Model(model.inputs[0], [model.output, feature_layer(model).output])
    kernel = class_evidence(model)

    def outputs(images: NDArray[np.uint8]) -> Outputs:
        parts = []
        for start in range(0, len(images), _BATCH):
            logits, features = both.predict_on_batch(images[start : start + _BATCH].astype(np.float32))
            parts.append((logits, features @ kernel))
        logits, heatmaps = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Outputs(probabilities(logits, kernel.shape[1], temperature), heatmaps)

    return outputs


def agreement(reference: Outputs, variant: Outputs, decision: str = "argmax") -> dict[str, float | None]:
    """The figures of `Parity` that need no labels: differences of probabilities, grade agreement, heat-map r."""
    difference = np.abs(reference.probabilities - variant.probabilities)
    grades = decide(reference.probabilities, decision)
    return {
        "largest_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
        "grade_agreement": float((grades == decide(variant.probabilities, decision)).mean()),
        "heatmap_correlation": _correlation(reference.heatmaps, variant.heatmaps, grades),
    }


def compare(
    reference: Outputs,
    variant: Outputs,
    labels: NDArray[np.integer],
    task: Task,
    threshold: float,
    decision: str = "argmax",
) -> Parity:
    """Figures of a variant against the float model, on the same n >= 1 photographs.

    Args:
        reference: of the float model.
        variant: of the variant.
        labels: int (n,), true class indices.
        task: the label space.
        threshold: the operating point, on the probability of a positive class.
        decision: key of `decision.DECISIONS`.
    """
    against_labels: dict[str, Any] = {}
    for which, outputs in (("float", reference), ("variant", variant)):
        of = predictions.Predictions(np.asarray(labels, np.int64), outputs.probabilities.astype(float), task, decision)
        kappa = measure.quadratic_kappa(of.labels, of.predicted, len(task.classes), task.ordered)
        against_labels[f"quadratic_kappa_{which}"] = kappa
        against_labels[f"auroc_{which}"] = measure.auroc(of.positive, of.scores)
        point = measure.measure_point(of, OperatingPoint(threshold))
        for name in ("sensitivity", "specificity"):
            against_labels[f"{name}_{which}"] = point[name]
    figures: dict[str, Any] = agreement(reference, variant, decision) | against_labels
    return Parity(photographs=len(labels), **figures)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32], grades: NDArray[np.int64]) -> float | None:
    """Mean Pearson's r of the maps of class grades[i]; None where every photograph has a constant map."""
    index = np.arange(len(grades))
    a, b = (maps[index, ..., grades].reshape(len(grades), -1).astype(np.float64) for maps in (one, other))
    varied = (np.ptp(a, axis=1) > 0) & (np.ptp(b, axis=1) > 0)
    if not varied.any():
        return None
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a[varied], b[varied], strict=True)]))


def failures(figures: Parity | Mapping[str, float | None], limits: Limits) -> list[str]:
    """Why a variant fails its gate; empty if it passes. A figure that does not exist (None) fails nothing.

    Args:
        figures: those of the variant.
        limits: of the variant, from `limits_of`.
    """
    values = figures.to_dict() if isinstance(figures, Parity) else figures
    reasons = []
    for name, (bound, limit) in limits.items():
        value = values.get(name)
        if value is not None and not (value <= limit if bound == "at most" else value >= limit):
            reasons.append(f"{name} {value:.4g}, {bound} {limit:g} allowed")
    return reasons
