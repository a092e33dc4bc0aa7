"""HEADS: how a linear head turns pooled features into logits, its targets, and the meaning of its logits.

softmax     C logits, one per class.
ordinal     C-1 logits of "the grade is above k", with one direction in feature space and ordered offsets: CORAL (W.
            Cao, V. Mirjalili and S. Raschka, Pattern Recognition Letters 140, 2020).
regression  one number, the grade, learned by squared error. After the training, cut-points are chosen on validation
            photographs; they turn it into an ordinal head.

All are linear, so heat maps have closed forms. Ordinal heads predict the median of their class probabilities,
which is the number of steps with a probability above one half.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

NAME = "logits"
# Slope of a regression's steps until it is fitted: half a grade above a cut-point, the probability is .88.
_SLOPE = 4.0


@keras.saving.register_keras_serializable("keras_dr")
class OrdinalHead(layers.Layer):
    """Logits of the C-1 steps between C ordered classes: one direction for all steps, one offset per step.

    Args:
        steps: number of steps, C-1.
    """

    def __init__(self, steps: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps = steps

    def build(self, shape: tuple[int, ...]) -> None:
        """Add the kernel (channels, 1), and offsets that decrease from step to step."""
        self.kernel = self.add_weight(shape=(shape[-1], 1), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.steps,), initializer=_decreasing, name="bias")

    def call(self, features: Any) -> Any:
        """Return logits float (n, steps) of features float (n, channels)."""
        return ops.matmul(features, self.kernel) + self.bias

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the logits."""
        return (*shape[:-1], self.steps)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return super().get_config() | {"steps": self.steps}


def _decreasing(shape: tuple[int, ...], dtype: str | None = None) -> Any:
    return ops.convert_to_tensor(np.linspace(1, -1, shape[0]) if shape[0] > 1 else np.zeros(1), dtype)


@dataclass(frozen=True)
class Head:
    """A kind of head.

    Attributes:
        layer: number of classes -> layer from float (n, channels) to float32 (n, K).
        targets: float (C, C) rows of class shares -> float32 (C, K), the targets of the logits for each class.
        loss: focal gamma >= 0 -> Keras loss of targets and logits (n, K).
        right: targets (n, K) and logits (n, K) -> float (n,), 1 if the predicted class is correct.
        decision: how a class is predicted from probabilities, see `decision.decide`.
    """

    layer: Callable[[int], layers.Layer]
    targets: Callable[[NDArray[np.floating]], NDArray[np.floating]]
    loss: Callable[[float], keras.losses.Loss]
    right: Callable[[Any, Any], Any]
    decision: str


def _dense(outputs: int) -> layers.Layer:
    return layers.Dense(outputs, dtype="float32", name=NAME)


def _categorical(gamma: float) -> keras.losses.Loss:
    if not gamma:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True)


def _binary(gamma: float) -> keras.losses.Loss:
    if not gamma:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)


def _above(shares: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the share above each step: (C, C) -> (C, C-1)."""
    return 1 - np.cumsum(shares, axis=1)[:, :-1]


HEADS = {
    "softmax": Head(
        layer=_dense,
        targets=lambda shares: shares,
        loss=_categorical,
        right=lambda targets, logits: ops.argmax(targets, -1) == ops.argmax(logits, -1),
        decision="argmax",
    ),
    "ordinal": Head(
        layer=lambda classes: OrdinalHead(classes - 1, dtype="float32", name=NAME),
        targets=_above,
        loss=_binary,
        right=lambda targets, logits: ops.sum(targets > 0.5, -1) == ops.sum(logits > 0, -1),
        decision="median",
    ),
    "regression": Head(  # only for grades 0..4
        layer=lambda classes: _dense(1),
        targets=lambda shares: shares @ np.arange(len(shares))[:, None],
        loss=lambda gamma: keras.losses.MeanSquaredError(),
        right=lambda targets, logits: ops.round(targets[:, 0]) == ops.round(ops.clip(logits[:, 0], 0, 4)),
        decision="median",
    ),
}


def probabilities(logits: NDArray[np.floating], classes: int, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the class probabilities of a grader's logits.

    Args:
        logits: float (n, C) of a softmax head, (n, C-1) of an ordinal head, or (n, 1) of a regression that is still
            learning; its cut-points are then halfway between the grades.
        classes: number C of classes, at least 2.
        temperature: > 0; logits are divided by it.

    Returns:
        float64 (n, C), rows summing to 1.
    """
    scaled = np.asarray(logits, np.float64)
    if scaled.shape[1] == classes:
        return softmax(scaled, temperature)
    if scaled.shape[1] != classes - 1:
        scaled = _SLOPE * (scaled - (np.arange(classes - 1) + 0.5))
    above = 0.5 + 0.5 * np.tanh(scaled / (2 * temperature))  # the logistic function, without overflow
    ends = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
    shares = np.maximum(ends[:, :-1] - ends[:, 1:], 0)  # CORAL's offsets are ordered only after training
    return shares / shares.sum(axis=1, keepdims=True)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the probabilities float64 (n, C) of logits float (n, C) divided by a temperature > 0."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def evidence_kernel(head: layers.Layer) -> NDArray[np.float32]:
    """Return the weight of each feature for each class, float32 (channels, C).

    For a softmax head, this is its kernel. For an ordinal head, every class above the lowest has the head's only
    direction, and the lowest has the opposite direction: the heat map of a grade shows the evidence for a higher grade.
    """
    kernel = head.get_weights()[0]
    if not isinstance(head, OrdinalHead):
        return kernel
    return np.concatenate([-kernel, *[kernel] * head.steps], axis=1)
