"""Selective quantisation: finds the operators of the backbone that must stay in float for a variant to pass its gate.

They are chosen on calibration photographs, by comparison with the float32 file. Validation photographs are used only
to measure the result.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_demo import interpreter
from export import parity
from export.activation_statistics import Statistics
from export.tflite_graph import FloatModel
from export.variants import VARIANTS, quantise
from keras_dr.core.decision import Decision

SEARCHING = "searching for the layers that lose most in"  # followed by the variant: the progress text of the search
_SEARCH_PHOTOGRAPHS = 4  # number of photographs on which each operator is quantised alone
_COUNTS = (2, 4, 8, 16)  # numbers of operators to keep in float, tried in turn
# This limit comes in addition to the gate's limits, because the grades of photographs near a tie change by chance,
# while this difference falls steadily. The validation figures of one run were known when it was chosen, so those
# figures are slightly too good. For IDRiD, MobileNetV2 at 512 pixels, int8: operators in float, mean difference on
# calibration and on validation photographs, agreement on validation:
#     0  .0078  .0084  .976        4 (stem, first bottleneck, next expansion)  .0049  .0052  .988
#     2  .0075  .0069  .976        16                                          .0038  .0037  .988
_AIM = {"mean_probability_difference": ("at most", 0.005)}


def quantise_within(
    content: bytes,
    variant: str,
    statistics: Statistics,
    photographs: NDArray[np.uint8],
    limits: parity.Limits,
    decision: Decision = "argmax",
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[bytes, list[str]]:
    """Make a variant's file, with as few operators kept in float as its limits allow.

    Args:
        content: the float32 file.
        variant: key of `VARIANTS`.
        statistics: statistics of that file, from `activation_statistics.observe`.
        photographs: uint8 RGB (n, S, S, 3), for calibration.
        limits: limits of the variant, from `parity.limits_of`.
        decision: how probabilities become a grade, see `decision.decide`.
        progress: called before the search, which takes minutes, with a line of text that begins with `SEARCHING`.

    Returns:
        The TFLite file, and the names of the operators in float, the most harmful first. If no trial meets the limits,
        these are the file and the operators of the last trial.
    """
    kept: list[str] = []
    file = quantise(content, variant, statistics)
    if VARIANTS[variant].activation_bits == 16:
        return file, kept  # int16 kernels are so slow that the search would take most of an hour
    aims = dict(limits)
    if VARIANTS[variant].activation_bits:
        aims |= _AIM
    reference = interpreter.outputs_of_file(content, photographs)
    most_harmful: list[str] = []
    for count in _COUNTS:
        outputs = interpreter.outputs_of_file(file, photographs)
        if not parity.failures(parity.agreement(reference, outputs, decision), aims):
            return file, kept
        if not most_harmful:
            progress(f"{SEARCHING} {variant}")
            most_harmful = rank_by_harm(content, variant, statistics, photographs[:_SEARCH_PHOTOGRAPHS])
        kept = most_harmful[:count]
        file = quantise(content, variant, statistics, kept)
    return file, kept


def rank_by_harm(content: bytes, variant: str, statistics: Statistics, photographs: NDArray[np.uint8]) -> list[str]:
    """Return the names of the operators whose quantisation changes the heat maps, the most harmful first.

    The harm is the mean squared error of the heat maps when only this operator is quantised.

    Args:
        content: the float32 file.
        variant: key of `VARIANTS`.
        statistics: statistics of that file, from `activation_statistics.observe`.
        photographs: uint8 RGB (n, S, S, 3).
    """
    names = [operator.name for operator in FloatModel(content).body()]
    reference = interpreter.outputs_of_file(content, photographs).heatmaps
    errors = {}
    for name in names:
        file = quantise(content, variant, statistics, kept=[other for other in names if other != name])
        errors[name] = float(np.square(interpreter.outputs_of_file(file, photographs).heatmaps - reference).mean())
    return sorted((name for name in names if errors[name] > 0), key=lambda name: -errors[name])
