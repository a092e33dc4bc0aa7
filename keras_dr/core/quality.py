"""How good a photograph is to grade: four measures on the prepared image, and limits learned from the training split.

A constant limit fits one camera. Here a photograph stands out where a measure lies below Tukey's lower fence of the
training photographs, or its illumination above the upper one (J. W. Tukey, Exploratory Data Analysis, 1977): 1.5
interquartile ranges beyond the quartiles, on a logarithmic scale, and never nearer than a tenth of the quartile. So
`gradable` is relative: it tells who stands out in this set, not whether an ophthalmologist could grade the photograph;
of a set that is blurred throughout, none does.
Nothing is removed: `gradable` and `reasons` stand in the manifest for whoever wants to select.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MEASURES = ("coverage", "illumination", "contrast", "sharpness")
COLUMNS = (*MEASURES, "gradable", "reasons")
# measure, side of the fence -> what is wrong beyond it
_REASONS = {
    ("coverage", 0): "cut off",
    ("illumination", 0): "dark",
    ("illumination", 1): "bright",
    ("contrast", 0): "flat",
    ("sharpness", 0): "blurred",
}
_FENCE = 1.5
_TENTH = np.log(0.9)
_LEAST = 1e-6  # measures below count as this, for the logarithm
Limits = Mapping[str, Sequence[float]]


def measure(image: NDArray[np.uint8], inside: NDArray[np.bool_]) -> dict[str, str]:
    """The four measures of a photograph, as the manifest writes them.

    - coverage, 0..1: share of the circle where the brightest channel exceeds a tenth of its 95th percentile there (the
      surround, or what the sensor cuts off, does not): field definition.
    - illumination, 0..1: mean luma (Rec. ITU-R BT.601) of these lit pixels.
    - contrast: root mean square contrast, their standard deviation by their mean (E. Peli, "Contrast in complex
      images", J. Opt. Soc. Am. A 7(10), 1990).
    - sharpness: variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
      ICPR 2000) by the squared mean luma, so that exposure does not count, times 1000. It depends on the prepared
      size: compare within a set.

    Args:
        image: uint8 RGB (S, S, 3), cropped to the fundus, not enhanced.
        inside: bool (S, S), True on the fundus's circle.
    """
    brightest = image.max(axis=2)
    lit = inside & (brightest > 0.1 * np.percentile(brightest[inside], 95))
    if not lit.any():
        return dict.fromkeys(MEASURES, "0.0000")
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
    # The rim is the sharpest edge there is, and tells nothing of the focus.
    margin = max(3, image.shape[0] // 16) | 1
    core = cv2.erode(lit.astype(np.uint8), np.ones((margin, margin), np.uint8), borderValue=0) > 0
    laplacian = cv2.Laplacian(luma, cv2.CV_32F)[core if core.any() else lit]
    mean = max(float(luma[lit].mean()), 1 / 255)
    values = (lit.sum() / inside.sum(), mean, luma[lit].std() / mean, 1000 * laplacian.var() / mean**2)
    return {name: f"{value:.4f}" for name, value in zip(MEASURES, values, strict=True)}


def find_limits(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Measure -> [lowest, highest] value that does not stand out, from the rows of the training split."""
    limits = {}
    for name in MEASURES:
        values = np.log([max(float(row[name]), _LEAST) for row in rows])
        low, high = np.quantile(values, (0.25, 0.75))
        reach = max(_FENCE * (high - low), -_TENTH)
        limits[name] = [round(float(np.exp(value)), 4) for value in (low - reach, high + reach)]
    return limits


def judge(row: Mapping[str, Any], limits: Limits) -> dict[str, str]:
    """`gradable` ("yes", "no") and `reasons` ("", or e.g. "dark;blurred") of a row with the four measures."""
    beyond = {name: (float(row[name]) < limits[name][0], float(row[name]) > limits[name][1]) for name in MEASURES}
    reasons = [reason for (name, side), reason in _REASONS.items() if beyond[name][side]]
    return {"gradable": "no" if reasons else "yes", "reasons": ";".join(reasons)}
