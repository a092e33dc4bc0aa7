"""HEADS: how a linear head turns pooled features into logits, what it is taught, and what its logits mean.

softmax     C logits, one a class.
ordinal     C-1 logits of "the grade is above k", one direction in feature space and ordered offsets: CORAL (W. Cao,
            V. Mirjalili and S. Raschka, Pattern Recognition Letters 140, 2020).
regression  one number, the grade, learned by squared error; cut-points are chosen on validation photographs when the
            training ends, and turn it into an ordinal head.

All are linear, so that heat maps have closed forms. Ordinal heads predict the median of their class probabilities,
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
_SLOPE = 4.0  # of a regression's steps before its sharpness is fitted: probability .88 half a grade beyond a cut-point


@keras.saving.register_keras_serializable("keras_dr")
class OrdinalHead(layers.Layer):
    """Logits of the C-1 steps between C ordered classes: one direction, an offset a step.

    Args:
        steps: C-1.
    """

    def __init__(self, steps: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps = steps

    def build(self, shape: tuple[int, ...]) -> None:
        """Kernel (channels, 1), and offsets that fall from step to step."""
        self.kernel = self.add_weight(shape=(shape[-1], 1), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.steps,), initializer=_falling, name="bias")

    def call(self, features: Any) -> Any:
        """Float (n, channels) -> float (n, steps)."""
        return ops.matmul(features, self.kernel) + self.bias

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the logits."""
        return (*shape[:-1], self.steps)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"steps": self.steps}


def _falling(shape: tuple[int, ...], dtype: str | None = None) -> Any:
    return ops.convert_to_tensor(np.linspace(1, -1, shape[0]) if shape[0] > 1 else np.zeros(1), dtype)


@dataclass(frozen=True)
class Head:
    """A kind of head.

    Attributes:
        layer: number of classes -> layer from float (n, channels) to float32 (n, K).
        targets: float (C, C) rows of class shares -> float32 (C, K), what the logits of each class are taught.
        loss: focal gamma >= 0 -> Keras loss of targets and logits (n, K).
        right: targets (n, K) and logits (n, K) -> float (n,), 1 where the class is right.
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
    """Share above each step: (C, C) -> (C, C-1)."""
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
    "regression": Head(  # of grades 0..4 alone
        layer=lambda classes: _dense(1),
        targets=lambda shares: shares @ np.arange(len(shares))[:, None],
        loss=lambda gamma: keras.losses.MeanSquaredError(),
        right=lambda targets, logits: ops.round(targets[:, 0]) == ops.round(ops.clip(logits[:, 0], 0, 4)),
        decision="median",
    ),
}


def probabilities(logits: NDArray[np.floating], classes: int, temperature: float = 1.0) -> NDArray[np.float64]:
    """Class probabilities of what a grader says.

    Args:
        logits: float (n, C) of a softmax head, (n, C-1) of an ordinal one, (n, 1) of a regression that is still
            learning, whose cut-points are then taken halfway between the grades.
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
    shares = np.maximum(ends[:, :-1] - ends[:, 1:], 0)  # CORAL's offsets are ordered when it has learned
    return shares / shares.sum(axis=1, keepdims=True)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities float64 (n, C) of logits float (n, C) divided by a temperature > 0."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def evidence_kernel(head: layers.Layer) -> NDArray[np.float32]:
    """What each feature says for each class, float32 (channels, C).

    Of a softmax its kernel. Of an ordinal head its one direction for every class above the lowest, and the opposite
    for the lowest: its heat map of a grade shows what speaks for a higher one.
    """
    kernel = head.get_weights()[0]
    if not isinstance(head, OrdinalHead):
        return kernel
    return np.concatenate([-kernel, *[kernel] * head.steps], axis=1)
