"""Finds the fundus in a photograph, whether the photograph was squashed, and whether it shows two fundi.

Needs only NumPy and OpenCV, because `edge_demo` runs this module too.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image
from keras_dr.core.exact import shrink

THUMBNAIL = 256  # longest side in pixels of the copy in which the fundus is searched for
_THIN = 40  # if the length exceeds this many widths, the thumbnail has too few rows for a circle, or none
# An ellipse counts as a squashed circle if the ratio of its axes is 1.05 or more (for the 516 photographs of IDRiD, as
# the camera took them, it is at most 1.015), three fifths of the outline lie within 2 % of it, and the best circle is
# twice as far off.
_SQUASHED = 1.05
_MOST_SQUASHED = 3.0
_KEPT = 0.6
_CLOSE = 0.02
_BETTER = 2.0
_ROUND = 0.01  # an outline so close to a circle is no such ellipse: an ellipse with the ratio 1.05 is 0.02 off
_SECOND = 0.25  # a second fundus has at least this share of the area of the largest bright part
_APART = 0.75  # the centres of two fundi are at least this share of the sum of their radii apart
_ALIKE = 2.0  # the radii of two fundi in one picture differ by less than this factor
_LONG = 1.6  # a bright part with this ratio of length to width or more may be two fundi that touch


@dataclass(frozen=True)
class Fundus:
    """The circle of the fundus in a photograph.

    Attributes:
        x, y: centre in pixels of the photograph, x to the right, y down; (0, 0) is the centre of the first pixel.
        radius: radius in pixels.
    """

    x: float
    y: float
    radius: float

    def scaled(self, factor: float) -> "Fundus":
        """Return the circle in the photograph enlarged by a factor; coordinates refer to the centres of pixels."""
        shift = (factor - 1) / 2
        return Fundus(self.x * factor + shift, self.y * factor + shift, self.radius * factor)


@dataclass(frozen=True)
class Finding:
    """The result of examining the outlines of the bright parts in a photograph.

    Attributes:
        fundus: the circle in the photograph as it is; None if there is no bright disc on a dark surround.
        widen, heighten: factors by which the photograph must become wider and higher so that its ellipse is a circle.
            At least one of them is 1, and both are 1 if the photograph was not squashed.
        several: whether the photograph shows two fundi or more.
    """

    fundus: Fundus | None = None
    widen: float = 1.0
    heighten: float = 1.0
    several: bool = False


@dataclass(frozen=True)
class _Ellipse:
    """An ellipse through the centres of an outline's pixels, whose axes are parallel to the sides of the picture."""

    x: float
    y: float
    across: float
    down: float

    def distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far points (n, 2) lie from the ellipse, in shares of its radius."""
        return np.abs(np.hypot((points[:, 0] - self.x) / self.across, (points[:, 1] - self.y) / self.down) - 1)


def find_fundus(image: Image) -> Fundus | None:
    """Find the circle of the fundus, also where the sensor cuts it at the sides and on dark photographs.

    It is searched for in a thumbnail. Its foreground are the pixels that are brighter than the surround by more than a
    tenth of the difference between the brightest pixels and the surround. A circle is fitted to the outline of the
    largest part of the foreground (algebraic least squares: Kasa, IEEE Trans. Instrum. Meas. 25(1), 1976). Points on
    the border of the image are left out, because the sensor cut the disc there, and so are, in three rounds, the points
    farthest from the circle.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        The circle, or None if there is no bright disc on a dark surround.
    """
    return examine(image).fundus


def examine(image: Image) -> Finding:
    """Find the fundus, the factor by which the photograph was squashed, and a second fundus.

    The circle is found as described for `find_fundus`. An ellipse with axes parallel to the sides of the picture is
    fitted to the same outline in the same way; see `_SQUASHED` for when it counts. Two bright parts of similar size, or
    the two halves of a long part, are two fundi if their outlines are ellipses at a distance from each other.

    Args:
        image: uint8 RGB (H, W, 3).
    """
    if max(image.shape[:2]) > _THIN * min(image.shape[:2]):
        return Finding()
    small, factor = _thumbnail(image)
    foreground = _foreground(small)
    if foreground is None:
        return Finding()
    mask, outlines = foreground
    outline = outlines[0]
    circle = _fit_circle(outline, mask.shape)
    fundus = circle.scaled(factor) if circle and _plausible(circle, mask) else None
    points = _inner(outline, mask.shape)
    circle_distance = _typical(_as_ellipse(circle).distances(points)) if circle else math.inf
    if len(outlines) == 1 and circle_distance < _ROUND:  # true of nearly every fundus
        return Finding(fundus)
    if _shows_several(outlines, mask.shape):
        return Finding(fundus, several=True)
    return Finding(fundus, *_find_stretch(points, circle_distance))


def _as_ellipse(circle: Fundus) -> _Ellipse:
    """Return the circle through the centres of the outline's pixels; the circle of a fundus is at their outer edge."""
    return _Ellipse(circle.x, circle.y, circle.radius - 0.5, circle.radius - 0.5)


def _thumbnail(image: Image) -> tuple[Image, float]:
    """Return the photograph, reduced to a longest side of at most `THUMBNAIL` pixels, and the factor between them."""
    factor = max(1.0, max(image.shape[:2]) / THUMBNAIL)
    small = image
    while max(small.shape[:2]) >= 2 * THUMBNAIL:  # OpenCV is much faster at halving than at other factors
        height, width = small.shape[0] // 2, small.shape[1] // 2
        small = cv2.resize(small[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return shrink(small, width, height), factor


def _foreground(small: Image) -> tuple[Image, list[NDArray[np.float64]]] | None:
    """Return the bright parts of the thumbnail, or None if it is equally bright everywhere.

    Returns:
        uint8 (h, w), 1 on the largest part and in its holes; and the outlines (n, 2), as x and y, of the largest part
        and of the others whose area is at least `_SECOND` of its area.
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
    least = _SECOND * cv2.contourArea(outline)
    others = [contour for contour in contours if contour is not outline and cv2.contourArea(contour) >= least]
    return filled, [contour[:, 0].astype(np.float64) for contour in (outline, *others)]


def _inner(outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the points of an outline (n, 2) that do not lie on the border of a thumbnail of (h, w)."""
    limit = np.array(shape[::-1]) - 3
    return outline[((outline > 2) & (outline < limit)).all(axis=1)]


def _fit_circle(outline: NDArray[np.float64], shape: tuple[int, ...]) -> Fundus | None:
    """Return the circle through an outline (n, 2), as x and y, in a thumbnail of (h, w), or None."""
    points = _inner(outline, shape)
    circle = _kasa(points)
    for keep in (0.9, 0.8):
        if circle is None:
            return None
        distances = np.abs(np.hypot(points[:, 0] - circle.x, points[:, 1] - circle.y) - circle.radius)
        points = points[distances <= _ranked(distances, keep)]
        circle = _kasa(points)
    return circle


def _kasa(points: NDArray[np.float64]) -> Fundus | None:
    """Return the best circle at the outer edge of pixels at float64 (n, 2) points (x, y), or None."""
    if len(points) < 24:
        return None
    centre = points.mean(axis=0)  # with it as origin, the normal equations are well conditioned
    points = points - centre
    system = np.column_stack([2 * points, np.ones(len(points))])
    try:
        x, y, c = (float(value) for value in np.linalg.solve(system.T @ system, system.T @ (points**2).sum(axis=1)))
    except np.linalg.LinAlgError:  # all points are on one line
        return None
    return Fundus(x + float(centre[0]), y + float(centre[1]), math.sqrt(max(c + x * x + y * y, 0.0)) + 0.5)


def _plausible(circle: Fundus, mask: Image) -> bool:
    """Whether the circle has the size of a fundus, and its inside is foreground and its outside not (each to 85 %)."""
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


def _fit_ellipse(points: NDArray[np.float64]) -> _Ellipse | None:
    """Return the ellipse through the share `_KEPT` of an outline's points (n, 2) that are nearest to it, or None.

    It begins with all points and leaves out the farthest in six rounds, because a cut or glare may have moved them.
    """
    ellipse = _ellipse_through(points)
    for _ in range(6):
        if ellipse is None:
            return None
        distances = ellipse.distances(points)
        ellipse = _ellipse_through(points[distances <= _typical(distances)])
    return ellipse


def _ellipse_through(points: NDArray[np.float64]) -> _Ellipse | None:
    """Fit an ellipse as Kasa fits a circle, with one more unknown: x^2 + k y^2 = 2 a x + 2 b y + c."""
    if len(points) < 24:
        return None
    centre = points.mean(axis=0)
    unit = float(np.ptp(points, axis=0).max()) / 2
    x, y = ((points - centre) / unit).T
    system = np.column_stack([2 * x, 2 * y, np.ones(len(points)), -(y**2)])
    try:
        a, b, c, k = (float(value) for value in np.linalg.solve(system.T @ system, system.T @ x**2))
    except np.linalg.LinAlgError:  # all points are on one line
        return None
    if k <= 1 / _MOST_SQUASHED**2 or k >= _MOST_SQUASHED**2:
        return None
    across = math.sqrt(max(c + a * a + b * b / k, 0.0)) * unit
    down = across / math.sqrt(k)
    return _Ellipse(a * unit + float(centre[0]), b / k * unit + float(centre[1]), across, down)


def _find_stretch(points: NDArray[np.float64], circle_distance: float) -> tuple[float, float]:
    """Return the factors by which a squashed photograph must become wider and higher; (1, 1) if it was not squashed.

    Args:
        points: the points of the outline, float64 (n, 2).
        circle_distance: how far they typically lie from the best circle, in shares of its radius.
    """
    ellipse = _fit_ellipse(points)
    if ellipse is None:
        return 1.0, 1.0
    ratio = (ellipse.down + 0.5) / (ellipse.across + 0.5)  # the outer edge of these pixels
    distance = _typical(ellipse.distances(points))
    if max(ratio, 1 / ratio) < _SQUASHED or distance > _CLOSE or circle_distance < _BETTER * distance:
        return 1.0, 1.0
    return (ratio, 1.0) if ratio > 1 else (1.0, 1 / ratio)


def _typical(distances: NDArray[np.float64]) -> float:
    """Return the distance within which the share `_KEPT` of the points lies; infinity if there are no points."""
    return _ranked(distances, _KEPT) if len(distances) else math.inf


def _ranked(distances: NDArray[np.float64], share: float) -> float:
    """Return the distance that a share of the distances does not exceed."""
    last = int(share * (len(distances) - 1))
    return float(np.partition(distances, last)[last])


def _shows_several(outlines: list[NDArray[np.float64]], shape: tuple[int, ...]) -> bool:
    """Whether two of the bright parts, or the halves of a long part, are discs at a distance from each other."""
    discs: list[_Ellipse] = []
    for outline in outlines:
        whole = _disc_of(outline, shape)
        parts = [whole] if whole else [_disc_of(half, shape) for half in _halves(outline)]
        discs += [disc for disc in parts if disc is not None]
    return any(_are_two(first, second) for first, second in combinations(discs, 2))


def _disc_of(outline: NDArray[np.float64], shape: tuple[int, ...]) -> _Ellipse | None:
    """Return the ellipse that an outline follows and fills, or None."""
    points = _inner(outline, shape)
    ellipse = _fit_ellipse(points)
    if ellipse is None or _typical(ellipse.distances(points)) > _CLOSE:
        return None
    area = cv2.contourArea(outline.astype(np.float32)[:, None])
    return ellipse if area >= 0.6 * math.pi * ellipse.across * ellipse.down else None


def _are_two(first: _Ellipse, second: _Ellipse) -> bool:
    """Whether two discs are two fundi: their radii are similar, and their centres far enough apart."""
    radii = [math.sqrt(disc.across * disc.down) for disc in (first, second)]
    across = (first.x - second.x) / (first.across + second.across)
    down = (first.y - second.y) / (first.down + second.down)
    return max(radii) <= _ALIKE * min(radii) and math.hypot(across, down) >= _APART


def _halves(outline: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the halves of the outline of a long bright part, cut across its middle; [] if the part is not long."""
    low = outline.min(axis=0)
    high = outline.max(axis=0)
    sides = high - low + 1
    if sides.max() < _LONG * sides.min():
        return []
    axis = int(sides.argmax())
    first = outline[:, axis] < (low + high)[axis] / 2
    return [outline[first], outline[~first]]
