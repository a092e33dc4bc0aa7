"""Where the fundus lies in a photograph. Needs NumPy and OpenCV alone; `edge_demo` runs this very module."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image

THUMBNAIL = 256  # longest side in pixels of the copy on which the fundus is sought
_THIN = 40  # longer than this many widths: its thumbnail has too few rows for a circle, or none at all


@dataclass(frozen=True)
class Fundus:
    """The circle of the fundus in a photograph.

    Attributes:
        x, y: centre in pixels of the photograph, x to the right, y down, (0, 0) the centre of the first pixel.
        radius: in pixels.
    """

    x: float
    y: float
    radius: float

    def scaled(self, factor: float) -> "Fundus":
        """The same circle in the photograph enlarged by this factor (pixel centres, not corners, are the origin)."""
        shift = (factor - 1) / 2
        return Fundus(self.x * factor + shift, self.y * factor + shift, self.radius * factor)


def find_fundus(image: Image) -> Fundus | None:
    """Find the circle of the fundus, also where the sensor cuts it at the sides and on dark photographs.

    On a thumbnail: pixels brighter than the surround by a tenth of the bright end's excess over it are foreground;
    a circle is fitted to the outline of its largest part (algebraic least squares: Kasa, IEEE Trans. Instrum. Meas.
    25(1), 1976), leaving out points on the image's border (there the sensor cut the disc) and, in three rounds, the
    points farthest from the circle.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        The circle, or None where there is no bright disc on a dark surround.
    """
    if max(image.shape[:2]) > _THIN * min(image.shape[:2]):
        return None
    small, factor = _thumbnail(image)
    found = _foreground(small)
    if found is None:
        return None
    mask, outline = found
    circle = _fit_circle(outline, mask.shape)
    return circle.scaled(factor) if circle and _plausible(circle, mask) else None


def _thumbnail(image: Image) -> tuple[Image, float]:
    """The photograph with its longest side at `THUMBNAIL` pixels or fewer, and how much larger it was."""
    factor = max(1.0, max(image.shape[:2]) / THUMBNAIL)
    small = image
    while max(small.shape[:2]) >= 2 * THUMBNAIL:  # OpenCV halves an image many times faster than by another factor
        height, width = small.shape[0] // 2, small.shape[1] // 2
        small = cv2.resize(small[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA), factor


def _foreground(small: Image) -> tuple[Image, NDArray[np.float64]] | None:
    """The largest bright part of the thumbnail: uint8 (h, w), 1 on it and in its holes; its outline, (n, 2) as x, y.

    None if all is alike.
    """
    if min(small.shape[:2]) < 8:
        return None
    red, green, blue = cv2.split(small)
    light = cv2.medianBlur(cv2.max(cv2.max(red, green), blue), 5)
    ranks = np.cumsum(cv2.calcHist([light], [0], None, [256], [0, 256]))
    surround, bright = (int(level) for level in np.searchsorted(ranks, (0.01 * light.size, 0.95 * light.size)))
    if bright - surround < 8:
        return None
    mask = (light > surround + max(3.0, 0.1 * (bright - surround))).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    outline = max(contours, key=cv2.contourArea)
    filled = cv2.drawContours(np.zeros_like(mask), [outline], -1, 1, cv2.FILLED)
    return filled, outline[:, 0].astype(np.float64)


def _fit_circle(outline: NDArray[np.float64], shape: tuple[int, ...]) -> Fundus | None:
    """The circle through an outline (n, 2) as x, y in a thumbnail of (h, w), or None."""
    limit = np.array(shape[::-1]) - 3
    points = outline[((outline > 2) & (outline < limit)).all(axis=1)]
    circle = _kasa(points)
    for keep in (0.9, 0.8):
        if circle is None:
            return None
        off = np.abs(np.hypot(points[:, 0] - circle.x, points[:, 1] - circle.y) - circle.radius)
        points = points[off <= np.partition(off, last := int(keep * (len(off) - 1)))[last]]
        circle = _kasa(points)
    return circle


def _kasa(points: NDArray[np.float64]) -> Fundus | None:
    """The circle that lies best about the outer edge of pixels at float64 (n, 2) points (x, y)."""
    if len(points) < 24:
        return None
    centre = points.mean(axis=0)  # as origin, it keeps the normal equations well conditioned
    points = points - centre
    system = np.column_stack([2 * points, np.ones(len(points))])
    try:
        x, y, c = (float(value) for value in np.linalg.solve(system.T @ system, system.T @ (points**2).sum(axis=1)))
    except np.linalg.LinAlgError:  # all on one line
        return None
    return Fundus(x + float(centre[0]), y + float(centre[1]), math.sqrt(max(c + x * x + y * y, 0.0)) + 0.5)


def _plausible(circle: Fundus, mask: Image) -> bool:
    """Whether the circle is of a fundus's size, its inside is foreground, and its outside is not (each to 85 %)."""
    height, width = mask.shape
    if not 0.2 * min(height, width) <= circle.radius <= 0.75 * max(height, width):
        return False
    rows, columns = np.ogrid[:height, :width]
    inside = (columns - circle.x) ** 2 + (rows - circle.y) ** 2 <= circle.radius**2
    count, bright = np.count_nonzero(inside), np.count_nonzero(mask)
    if count in (0, mask.size):
        return False
    hit = np.count_nonzero(mask.view(bool) & inside)
    return bool(hit >= 0.85 * count and bright - hit <= 0.15 * (mask.size - count))
