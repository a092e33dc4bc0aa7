"""Rounds weights so that a layer's output is preserved. The result is float, so that any quantiser finds the same grid.

With weights rounded to the nearest value, MobileNetV2 fine-tuned on IDRiD gives different grades. Int8 weights, float
activations, 83 validation photographs; agreement of grades, mean probability difference, heat-map correlation:

    to nearest                                            .831  .039  .904
    plus the mean error added to the bias                 .988  .014  .994
    plus errors passed on to weights not yet rounded      .988  .005  .998

Half precision is similar: the largest probability difference is .019 to nearest, and .0055 with the corrected bias.
`benchmarks/quantisers.py` compares the variants with those of TensorFlow's own converter.
"""

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from export.activation_statistics import Statistics
from export.tflite_graph import FloatModel, Operator

Weights = NDArray[np.float32]
_LEVELS = 127  # int8 weights of TFLite are symmetric, -127..127
_DAMPING = 0.01  # of the mean diagonal, as in GPTQ's published code


def round_weights(content: bytes, bits: int, statistics: Statistics, kept: Collection[str] = ()) -> bytes:
    """Round the weights of a float model's convolutions, and let their biases compensate for the rounding.

    Args:
        content: content of a float TFLite file.
        bits: 8 (integers, one scale per channel) or 16 (half precision).
        statistics: from `activation_statistics.observe`.
        kept: names of operators that are not changed.

    Returns:
        The TFLite file, still float.
    """
    model = FloatModel(content)
    for operator in model.body():
        if operator.is_convolution and operator.name not in kept:
            weights = model.weights(operator)
            rounded = ROUNDING[bits](weights, operator, statistics.moments.get(operator.name))
            error = mean_error(weights, rounded, operator, statistics)
            model.replace(operator, rounded, model.bias(operator) + error)
    return model.content()


def mean_error(weights: Weights, rounded: Weights, operator: Operator, statistics: Statistics) -> NDArray[np.float64]:
    """Return the mean loss of a convolution's outputs by rounding, float64 (O,): (W - W') E[x].

    Bias correction of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
    2019, section 4.2, with E[x] from photographs; the zeros that pad the border are ignored.
    """
    error = (weights.astype(np.float64) - rounded) * statistics.means[operator.name]
    return error.sum(axis=_other_axes(operator))


def _other_axes(operator: Operator) -> tuple[int, ...]:
    """Return the axes of a convolution's weights except the axis of its output channels."""
    return tuple(axis for axis in range(4) if axis != operator.channel_axis)


def _to_half(weights: Weights, operator: Operator, moments: NDArray[np.float32] | None) -> Weights:
    """Return weights rounded to half precision."""
    return weights.astype(np.float16).astype(np.float32)


def _to_grid(weights: Weights, operator: Operator, moments: NDArray[np.float32] | None) -> Weights:
    """Return weights rounded to int8 with one scale per channel.

    In 1x1 convolutions, which have `moments`, the errors are passed on; other weights are rounded to nearest.
    """
    if moments is not None:
        return pass_errors_on(weights[:, 0, 0, :], moments)[:, None, None, :]
    scale = _scale(np.abs(weights).max(axis=_other_axes(operator), keepdims=True))
    return (np.rint(weights / scale) * scale).astype(np.float32)


def _scale(largest: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the step of the int8 grid for weights of this largest magnitude."""
    return np.where(largest > 0, largest, 1.0).astype(np.float64) / _LEVELS


def pass_errors_on(weights: Weights, moments: NDArray[np.float32]) -> Weights:
    """Round a matrix to int8 with one scale per row; columns not yet rounded compensate for each column's error.

    GPTQ (Frantar et al., ICLR 2023, algorithm 1), with the columns in descending order of their inputs' energy. The
    largest weight of a row is kept, so that a quantiser finds the same scale.

    Args:
        weights: float32 (O, I).
        moments: float32 (I, I), mean of x x^T over inputs x.

    Returns:
        float32 (O, I), on the int8 grid.
    """
    energy = np.diag(moments).astype(np.float64)
    order = np.argsort(-energy, kind="stable")
    hessian = moments.astype(np.float64)[np.ix_(order, order)]
    hessian[np.diag_indices_from(hessian)] += max(_DAMPING * energy.mean(), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    remaining = weights.astype(np.float64)[:, order]  # weights still to be rounded, with the errors passed on
    largest = np.abs(remaining).argmax(axis=1)
    fixed = remaining[np.arange(len(remaining)), largest].copy()
    scale = _scale(np.abs(fixed))
    rounded = np.empty_like(remaining)
    for column in range(remaining.shape[1]):
        nearest = np.clip(np.rint(remaining[:, column] / scale), -_LEVELS, _LEVELS) * scale
        rounded[:, column] = np.where(largest == column, fixed, nearest)
        error = (remaining[:, column] - rounded[:, column]) / upper[column, column]
        remaining[:, column:] -= np.outer(error, upper[column, column:])
    return rounded[:, np.argsort(order)].astype(np.float32)


ROUNDING: dict[int, Callable[[Weights, Operator, NDArray[np.float32] | None], Weights]] = {16: _to_half, 8: _to_grid}
