"""Measures how much a variant differs from the float model on photographs, and checks the gate that it has to pass."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_demo.interpreter import Outputs
from keras_dr.core.decision import Decision, decide
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.datasets.grades import Task
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions
from keras_dr.models.grader import class_evidence, feature_layer
from keras_dr.models.heads import probabilities
from keras_dr.recipe import ParityLimits

_BATCH = 16
_AT_LEAST = ("grade_agreement", "heatmap_correlation")
Limits = Mapping[str, tuple[str, float]]  # name of a figure -> ("at most" or "at least", value)


def limits_of(recipe: ParityLimits) -> dict[str, Limits]:
    """Return the limits that a recipe sets for each variant."""
    limits_by_variant: dict[str, Limits] = {}
    for variant, values in recipe.model_dump().items():
        limits_by_variant[variant] = {
            figure: ("at least" if figure in _AT_LEAST else "at most", value)
            for figure, value in values.items()
            if value is not None
        }
    return limits_by_variant


@dataclass(frozen=True)
class Parity:
    """The figures of a variant compared with the float model.

    Figures named `*_float` and `*_variant` compare the float model and the variant with the labels; undefined figures
    are None.

    Attributes:
        photographs: number n of photographs.
        largest_probability_difference: absolute, over photographs and classes, 0..1.
        mean_probability_difference: absolute, over photographs and classes, 0..1.
        grade_agreement: share 0..1 of photographs for which both predict the same class.
        heatmap_correlation: mean over photographs of Pearson's r, -1..1, of the two raw maps of the class that the
            float model predicts; photographs with a constant map are left out; None if all have one.
        quadratic_kappa_float: quadratic weighted kappa.
        quadratic_kappa_variant: quadratic weighted kappa.
        auroc_float: AUROC of the positive classes.
        auroc_variant: AUROC of the positive classes.
        sensitivity_float: at the operating point.
        sensitivity_variant: at the operating point.
        specificity_float: at the operating point.
        specificity_variant: at the operating point.
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
        """Kappa of the float model minus that of the variant; below 0 if the variant is better."""
        return _difference(self.quadratic_kappa_float, self.quadratic_kappa_variant)

    @property
    def auroc_loss(self) -> float | None:
        """AUROC of the float model minus that of the variant; below 0 if the variant is better."""
        return _difference(self.auroc_float, self.auroc_variant)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as a dictionary for JSON."""
        losses = {"quadratic_kappa_loss": self.quadratic_kappa_loss, "auroc_loss": self.auroc_loss}
        return {**asdict(self), **losses}


def _difference(first: float | None, second: float | None) -> float | None:
    """Return the first figure minus the second; None if either is undefined."""
    if first is None or second is None:
        return None
    return first - second


def float_outputs(model: keras.Model, temperature: float, images: NDArray[np.uint8]) -> Outputs:
    """Return the outputs of the trained grader in Keras for photographs uint8 RGB (n, S, S, 3); see `float_grader`."""
    return float_grader(model, temperature)(images)


def float_grader(model: keras.Model, temperature: float) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Return the trained grader in Keras, compiled once, as a function: uint8 RGB (n, S, S, 3) -> its outputs.

    Args:
        model: the grader, float32 (n, S, S, 3) -> logits.
        temperature: > 0.
    """
    with_features = keras.Model(model.inputs[0], [model.output, feature_layer(model).output])
    kernel = class_evidence(model)

    def outputs(images: NDArray[np.uint8]) -> Outputs:
        logits = []
        heatmaps = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH].astype(np.float32)
            batch_logits, features = with_features.predict_on_batch(batch)
            logits.append(batch_logits)
            heatmaps.append(features @ kernel)
        classes = kernel.shape[1]
        return Outputs(probabilities(np.concatenate(logits), classes, temperature), np.concatenate(heatmaps))

    return outputs


def agreement(reference: Outputs, variant: Outputs, decision: Decision = "argmax") -> dict[str, float | None]:
    """Return the figures of `Parity` that need no labels: differences of probabilities, agreement, correlation."""
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
    decision: Decision = "argmax",
) -> Parity:
    """Compare a variant with the float model on the same n >= 1 photographs.

    Args:
        reference: outputs of the float model.
        variant: outputs of the variant.
        labels: int (n,), true class indices.
        task: the label space.
        threshold: the operating point, on the probability of a positive class.
        decision: how a class is predicted at this operating point, see `decision.decide`.
    """
    against_labels: dict[str, Any] = {}
    for which, outputs in (("float", reference), ("variant", variant)):
        predictions = Predictions(np.asarray(labels, np.int64), outputs.probabilities.astype(float), task, decision)
        against_labels[f"quadratic_kappa_{which}"] = measure.quadratic_kappa(
            predictions.labels, predictions.predicted, len(task.classes), task.ordered
        )
        against_labels[f"auroc_{which}"] = measure.auroc(predictions.positive, predictions.scores)
        point_figures = measure.measure_point(predictions, OperatingPoint(threshold))
        for name in ("sensitivity", "specificity"):
            against_labels[f"{name}_{which}"] = point_figures[name]
    figures: dict[str, Any] = agreement(reference, variant, decision) | against_labels
    return Parity(photographs=len(labels), **figures)


def _correlation(
    reference_maps: NDArray[np.float32], variant_maps: NDArray[np.float32], grades: NDArray[np.int64]
) -> float | None:
    """Return the mean Pearson's r of the maps of class grades[i]; None if every photograph has a constant map."""
    reference = _maps_of_grades(reference_maps, grades)
    variant = _maps_of_grades(variant_maps, grades)
    varied = (np.ptp(reference, axis=1) > 0) & (np.ptp(variant, axis=1) > 0)
    if not varied.any():
        return None
    pairs = zip(reference[varied], variant[varied], strict=True)
    return float(np.mean([np.corrcoef(first, second)[0, 1] for first, second in pairs]))


def _maps_of_grades(maps: NDArray[np.float32], grades: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the map of class grades[i] for each photograph i, flattened: float (n, h, w, C) -> float64 (n, h w)."""
    chosen = maps[np.arange(len(grades)), ..., grades]
    return chosen.reshape(len(grades), -1).astype(np.float64)


def failures(figures: Parity | Mapping[str, float | None], limits: Limits) -> list[str]:
    """Return the reasons why a variant fails its gate; empty if it passes. Undefined figures (None) are not checked.

    Args:
        figures: figures of the variant.
        limits: limits of the variant, from `limits_of`.
    """
    values = figures.to_dict() if isinstance(figures, Parity) else figures
    reasons = []
    for name, (bound, limit) in limits.items():
        value = values.get(name)
        if value is None:
            continue
        if bound == "at most" and not value <= limit:
            reasons.append(f"{name} {value:.4g}, at most {limit:g} allowed")
        if bound == "at least" and not value >= limit:
            reasons.append(f"{name} {value:.4g}, at least {limit:g} required")
    return reasons
