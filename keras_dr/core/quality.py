"""Quality and colours of a photograph: measures on the prepared image, and limits from the training split.

A constant limit would fit only one camera. Here a photograph stands out if a measure lies below Tukey's lower fence of
the training photographs, or its illumination above the upper one (J. W. Tukey, Exploratory Data Analysis, 1977): 1.5
interquartile ranges beyond the quartiles, on a logarithmic scale, and never nearer than a tenth of the quartile. So
`gradable` is relative: it shows which photographs stand out in this set, not whether an ophthalmologist could grade
them. In a set that is blurred throughout, no photograph stands out.

A grader may have limits of its own besides, from degraded photographs on which it failed (`evaluation.gradability`). A
photograph beyond such a limit is not merely "blurred", but "too blurred to grade".
Nothing is removed: the manifest holds `gradable` and `reasons` for anyone who wants to select photographs.

Colours are no fault of a photograph, but a grader that learned from one camera may grade those of another wrongly. So
two ratios of colours have limits of the same kind, and a device reports a photograph beyond them as unfamiliar.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MEASURES = ("coverage", "illumination", "contrast", "sharpness")
COLUMNS = (*MEASURES, "gradable", "reasons")
COLOURS = ("red_to_green", "blue_to_green")
# (measure, 0 for the lower and 1 for the upper limit) -> the fault of a photograph beyond it
_REASONS = {
    ("coverage", 0): "cut off",
    ("illumination", 0): "dark",
    ("illumination", 1): "bright",
    ("contrast", 0): "flat",
    ("sharpness", 0): "blurred",
}
# fault -> its measure, and 0 for the lower and 1 for the upper limit
FAULTS = {word: place for place, word in _REASONS.items()}
_UNFAMILIAR = {
    ("red_to_green", 0): "less red",
    ("red_to_green", 1): "redder",
    ("blue_to_green", 0): "less blue",
    ("blue_to_green", 1): "bluer",
}
_FENCE = 1.5
_TENTH = np.log(0.9)
_LEAST = 1e-6  # smaller measures count as this, for the logarithm
Limits = Mapping[str, Sequence[float]]


def measure(image: NDArray[np.uint8], inside: NDArray[np.bool_]) -> dict[str, str]:
    """Return the measures and the colours of a photograph as text for the manifest.

    - coverage, 0..1: share of the circle that is lit, which means that the brightest channel exceeds a tenth of its
      95th percentile in the circle. The surround and parts that the sensor cuts off are not lit.
    - illumination, 0..1: mean luma (Rec. ITU-R BT.601) of the lit pixels.
    - contrast: root mean square contrast, which is their standard deviation divided by their mean (E. Peli, "Contrast
      in complex images", J. Opt. Soc. Am. A 7(10), 1990).
    - sharpness: variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
      ICPR 2000) divided by the squared mean luma, so that exposure has no effect, times 1000. It depends on the
      prepared size, so it can be compared only within a set.
    - red_to_green, blue_to_green: mean red, and mean blue, of the lit pixels, divided by their mean green.

    Args:
        image: uint8 RGB (S, S, 3), cropped to the fundus, not enhanced.
        inside: bool (S, S), True in the circle of the fundus.
    """
    red, green, blue = cv2.split(image)
    brightest = cv2.max(cv2.max(red, green), blue)
    # A whole number exceeds another number if it exceeds its whole part, and bytes are compared faster.
    lit = inside & (brightest > np.uint8(0.1 * _percentile(brightest, inside, 0.95)))
    lit_count = np.count_nonzero(lit)
    if not lit_count:
        return dict.fromkeys((*MEASURES, *COLOURS), "0.0000")
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
    # The rim is the sharpest edge in the image and shows nothing about the focus, so it is left out.
    margin = max(3, image.shape[0] // 16) | 1
    core = cv2.erode(lit.view(np.uint8), np.ones((margin, margin), np.uint8), borderValue=0).view(bool)
    laplacian = cv2.Laplacian(luma, cv2.CV_32F)[core if core.any() else lit]
    lit_luma = luma[lit]
    mean = max(float(lit_luma.mean()), 1 / 255)
    # Sums of whole numbers, which are exact.
    means = [value / lit_count for value in cv2.sumElems(cv2.copyTo(image, lit.view(np.uint8)))[:3]]
    least_green = max(means[1], 1 / 255)
    measures = {
        "coverage": lit_count / np.count_nonzero(inside),
        "illumination": mean,
        "contrast": lit_luma.std() / mean,
        "sharpness": 1000 * laplacian.var() / mean**2,
        "red_to_green": means[0] / least_green,
        "blue_to_green": means[2] / least_green,
    }
    return {name: f"{value:.4f}" for name, value in measures.items()}


def _percentile(levels: NDArray[np.uint8], inside: NDArray[np.bool_], share: float) -> float:
    """Return the level that a share of the pixels inside do not exceed, as `np.percentile` interpolates it.

    A histogram needs a tenth of the time of sorting.

    Args:
        levels: uint8 (S, S).
        inside: bool (S, S), not empty.
        share: 0..1.
    """
    histogram = cv2.calcHist([levels], [0], inside.view(np.uint8), [256], [0, 256])
    ranks = np.cumsum(histogram.ravel(), dtype=np.float64)
    place = share * (ranks[-1] - 1)
    low, high = np.searchsorted(ranks, (np.floor(place), np.ceil(place)), side="right")
    return float(low + (high - low) * (place - np.floor(place)))


def find_limits(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = MEASURES) -> dict[str, list[float]]:
    """Return measure -> [lowest, highest] value that does not stand out.

    Args:
        rows: of the training split.
        names: the measures, `MEASURES` or `COLOURS`.
    """
    limits = {}
    for name in names:
        values = np.log([max(float(row[name]), _LEAST) for row in rows])
        low, high = np.quantile(values, (0.25, 0.75))
        reach = max(_FENCE * (high - low), -_TENTH)
        limits[name] = [round(float(np.exp(value)), 4) for value in (low - reach, high + reach)]
    return limits


def judge(row: Mapping[str, Any], limits: Limits) -> dict[str, str]:
    """Return `gradable` ("yes", "no") and `reasons` ("", or for example "dark;blurred") for a row with the measures."""
    reasons = _beyond(row, limits, _REASONS)
    return {"gradable": "no" if reasons else "yes", "reasons": ";".join(reasons)}


def too_poor(row: Mapping[str, Any], limits: Mapping[str, float]) -> tuple[str, ...]:
    """Return the faults for which a photograph lies beyond what its grader withstands.

    Args:
        row: from `measure`.
        limits: key of `FAULTS` -> value of its measure beyond which the grader fails; a fault may be absent.
    """
    beyond = []
    for fault, (name, side) in FAULTS.items():
        value = float(row[name])
        if fault in limits and (value > limits[fault] if side else value < limits[fault]):
            beyond.append(fault)
    return tuple(beyond)


def gradability_limits_of(about: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits in run.json for `too_poor`; empty if `gradability` has not been run.

    Args:
        about: the content of run.json.
    """
    return dict((about.get("gradability") or {}).get("limits") or {})


def faults_of(row: Mapping[str, Any], limits: Limits, gradability: Mapping[str, float]) -> tuple[str, ...]:
    """Return the faults of a photograph in words, such as ("dark", "too blurred to grade").

    Args:
        row: from `measure`.
        limits: from `find_limits`; if empty, the photograph is not compared with those of the training.
        gradability: as for `too_poor`.
    """
    unusual = _beyond(row, limits, _REASONS) if limits else []
    poor = too_poor(row, gradability)
    words = {fault: f"too {fault} to grade" if fault in poor else fault for fault in FAULTS}
    return tuple(words[fault] for fault in FAULTS if fault in unusual or fault in poor)


def unfamiliar(row: Mapping[str, Any], limits: Limits) -> tuple[str, ...]:
    """Return how colours differ from those of the training photographs: (), or for example ("redder", "less blue").

    Args:
        row: from `measure`.
        limits: from `find_limits` of `COLOURS`.
    """
    return tuple(_beyond(row, limits, _UNFAMILIAR))


def _beyond(row: Mapping[str, Any], limits: Limits, words: Mapping[tuple[str, int], str]) -> list[str]:
    """Return the words for the limits that a row's measures lie beyond."""
    beyond = []
    for (name, side), word in words.items():
        value = float(row[name])
        limit = limits[name][side]
        is_beyond = value > limit if side else value < limit
        if is_beyond:
            beyond.append(word)
    return beyond
