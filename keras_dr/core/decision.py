"""The rule that turns probabilities into one grade; the same on the workstation and on the device."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError


def _median(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the first class at which the cumulative probability reaches one half."""
    cumulative = np.cumsum(np.asarray(probabilities, np.float64), axis=1)
    # half of the sum, not half of 1: float32 probabilities of a device add up to 1 only up to rounding
    return (cumulative < 0.5 * cumulative[:, -1:]).sum(axis=1)


# The most probable class is right most often; the median has the least expected distance, as an ordinal head intends.
DECISIONS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.int64]]] = {
    "argmax": lambda probabilities: probabilities.argmax(axis=1),
    "median": _median,
}


def positive_words(classes: Sequence[str], referable: Sequence[int]) -> str:
    """Which classes send a patient on, for a line of text: "positive: moderate, severe, proliferative"."""
    names = ", ".join(classes[index] for index in referable)
    return f"positive: {names}" if names else "positive: none, so that nobody is referred"


def decide(probabilities: NDArray[np.floating], decision: str = "argmax") -> NDArray[np.int64]:
    """Return class indices int64 (n,) for probabilities float (n, C), by a key of `DECISIONS`.

    Raises:
        KerasDrError: the decision is unknown.
    """
    if decision not in DECISIONS:
        raise KerasDrError(f"The decision {decision!r} is not one of {', '.join(DECISIONS)}.", "Export the run again.")
    return DECISIONS[decision](probabilities)
