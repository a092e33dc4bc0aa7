"""Where the fundus lies in a photograph, whether the photograph was squashed, and whether it shows two fundi.

Needs NumPy and OpenCV alone; `edge_demo` runs this very module.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image

THUMBNAIL = 256  # longest side in pixels of the copy on which the fundus is sought
_THIN = 40  # longer than this many widths: its thumbnail has too few rows for a circle, or none at all
# An ellipse is a squashed circle where its axes are as 1.05 or more (of IDRiD's 516 photographs as the camera took
# them, the most was 1.015), three fifths of its outline lie within 2 % of it, and the best circle is twice as far off.
_SQUASHED, _MOST_SQUASHED = 1.05, 3.0
_KEPT, _CLOSE, _BETTER = 0.6, 0.02, 2.0
_ROUND = 0.01  # so near a circle, no ellipse of these can be: one of 1.05 is 0.02 off
_SECOND = 0.25  # of the largest bright part's area: a second fundus is not smaller
_APART = 0.75  # of the sum of the radii: centres of two fundi are farther apart
_ALIKE = 2.0  # two fundi in one picture differ by less in radius
_LONG = 1.6  # a bright part that is so many times as long as wide may be two fundi that touch


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


@dataclass(frozen=True)
class Finding:
    """What the outline of the bright parts in a photograph shows.

    Attributes:
        fundus: the circle, in the photograph as it is; None where there is no bright disc on a dark surround.
        widen, heighten: how much wider or higher the photograph must become for its ellipse to be a circle: one of
            them is 1, both where nothing was squashed.
        several: whether two fundi or more lie in it.
    """

    fundus: Fundus | None = None
    widen: float = 1.0
    heighten: float = 1.0
    several: bool = False


@dataclass(frozen=True)
class _Ellipse:
    """One whose axes lie along those of the picture, through the centres of the outline's pixels."""

    x: float
    y: float
    across: float
    down: float

    def off(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far (n, 2) points lie from it, in shares of its radius."""
        return np.abs(np.hypot((points[:, 0] - self.x) / self.across, (points[:, 1] - self.y) / self.down) - 1)


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
    return examine(image).fundus


def examine(image: Image) -> Finding:
    """Find the fundus, the factor by which the photograph was squashed, and a second fundus.

    The circle is sought as `find_fundus` says. An ellipse along the picture's axes is fitted to the same outline in the
    same way; see `_SQUASHED` for when it counts. Two bright parts of like size, or the two halves of a long one, whose
    outlines are ellipses apart from each other are two fundi.

    Args:
        image: uint8 RGB (H, W, 3).
    """
    if max(image.shape[:2]) > _THIN * min(image.shape[:2]):
        return Finding()
    small, factor = _thumbnail(image)
    found = _foreground(small)
    if found is None:
        return Finding()
    mask, outlines = found
    outline = outlines[0]
    circle = _fit_circle(outline, mask.shape)
    fundus = circle.scaled(factor) if circle and _plausible(circle, mask) else None
    points = _inner(outline, mask.shape)
    round_off = _typical(_as_ellipse(circle).off(points)) if circle else math.inf
    if len(outlines) == 1 and round_off < _ROUND:  # as nearly every fundus is
        return Finding(fundus)
    if _shows_several(outlines, mask.shape):
        return Finding(fundus, several=True)
    return Finding(fundus, *_find_stretch(points, round_off))


def _as_ellipse(circle: Fundus) -> _Ellipse:
    """The circle through the centres of the outline's pixels; a fundus ends at their outer edge."""
    return _Ellipse(circle.x, circle.y, circle.radius - 0.5, circle.radius - 0.5)


def _thumbnail(image: Image) -> tuple[Image, float]:
    """The photograph with its longest side at `THUMBNAIL` pixels or fewer, and how much larger it was."""
    factor = max(1.0, max(image.shape[:2]) / THUMBNAIL)
    small = image
    while max(small.shape[:2]) >= 2 * THUMBNAIL:  # OpenCV halves an image many times faster than by another factor
        height, width = small.shape[0] // 2, small.shape[1] // 2
        small = cv2.resize(small[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA), factor


def _foreground(small: Image) -> tuple[Image, list[NDArray[np.float64]]] | None:
    """The largest bright part of the thumbnail: uint8 (h, w), 1 on it and in its holes; all outlines, (n, 2) as x, y.

    The largest comes first, others by their areas if these are a `_SECOND` of its own. None if all is alike.
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
    others = [one for one in contours if one is not outline and cv2.contourArea(one) >= least]
    return filled, [one[:, 0].astype(np.float64) for one in (outline, *others)]


def _inner(outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The points of an outline (n, 2) that do not lie on the border of a thumbnail of (h, w)."""
    limit = np.array(shape[::-1]) - 3
    return outline[((outline > 2) & (outline < limit)).all(axis=1)]


def _fit_circle(outline: NDArray[np.float64], shape: tuple[int, ...]) -> Fundus | None:
    """The circle through an outline (n, 2) as x, y in a thumbnail of (h, w), or None."""
    points = _inner(outline, shape)
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


def _fit_ellipse(points: NDArray[np.float64]) -> _Ellipse | None:
    """The ellipse about the `_KEPT` nearest of the points (n, 2) of an outline, or None.

    In six rounds from all points on: what the sensor or a glare makes of the others must not count.
    """
    ellipse = _ellipse_through(points)
    for _ in range(6):
        if ellipse is None:
            return None
        off = ellipse.off(points)
        ellipse = _ellipse_through(points[off <= _typical(off)])
    return ellipse


def _ellipse_through(points: NDArray[np.float64]) -> _Ellipse | None:
    """Kasa's fit with one unknown more: x^2 + k y^2 = 2 a x + 2 b y + c."""
    if len(points) < 24:
        return None
    centre, unit = points.mean(axis=0), float(np.ptp(points, axis=0).max()) / 2
    x, y = ((points - centre) / unit).T
    system = np.column_stack([2 * x, 2 * y, np.ones(len(points)), -(y**2)])
    try:
        a, b, c, k = (float(value) for value in np.linalg.solve(system.T @ system, system.T @ x**2))
    except np.linalg.LinAlgError:  # all on one line
        return None
    if k <= 1 / _MOST_SQUASHED**2 or k >= _MOST_SQUASHED**2:
        return None
    across = math.sqrt(max(c + a * a + b * b / k, 0.0)) * unit
    down = across / math.sqrt(k)
    return _Ellipse(a * unit + float(centre[0]), b / k * unit + float(centre[1]), across, down)


def _find_stretch(points: NDArray[np.float64], round_off: float) -> tuple[float, float]:
    """How much wider and higher a squashed photograph must become, both 1 where it was not squashed.

    Args:
        points: float64 (n, 2), of the outline.
        round_off: how far they typically lie from the best circle, in shares of its radius.
    """
    ellipse = _fit_ellipse(points)
    if ellipse is None:
        return 1.0, 1.0
    ratio = (ellipse.down + 0.5) / (ellipse.across + 0.5)  # the outer edge of these pixels
    off = _typical(ellipse.off(points))
    if max(ratio, 1 / ratio) < _SQUASHED or off > _CLOSE or round_off < _BETTER * off:
        return 1.0, 1.0
    return (ratio, 1.0) if ratio > 1 else (1.0, 1 / ratio)


def _typical(off: NDArray[np.float64]) -> float:
    """Within which `_KEPT` of the points lie; infinite where there are none."""
    if not len(off):
        return math.inf
    return float(np.partition(off, last := int(_KEPT * (len(off) - 1)))[last])


def _shows_several(outlines: list[NDArray[np.float64]], shape: tuple[int, ...]) -> bool:
    """Whether two of the bright parts, or the halves of a long one, are discs apart from each other."""
    discs: list[_Ellipse] = []
    for outline in outlines:
        whole = _disc_of(outline, shape)
        parts = [whole] if whole else [_disc_of(half, shape) for half in _halves(outline)]
        discs += [disc for disc in parts if disc is not None]
    return any(_are_two(one, other) for number, one in enumerate(discs) for other in discs[:number])


def _disc_of(outline: NDArray[np.float64], shape: tuple[int, ...]) -> _Ellipse | None:
    """The ellipse that an outline follows and fills, or None."""
    points = _inner(outline, shape)
    ellipse = _fit_ellipse(points)
    if ellipse is None or _typical(ellipse.off(points)) > _CLOSE:
        return None
    area = cv2.contourArea(outline.astype(np.float32)[:, None])
    return ellipse if area >= 0.6 * math.pi * ellipse.across * ellipse.down else None


def _are_two(one: _Ellipse, other: _Ellipse) -> bool:
    radii = [math.sqrt(disc.across * disc.down) for disc in (one, other)]
    across, down = (one.x - other.x) / (one.across + other.across), (one.y - other.y) / (one.down + other.down)
    return max(radii) <= _ALIKE * min(radii) and math.hypot(across, down) >= _APART


def _halves(outline: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The outline of a long bright part, cut across in its middle; nothing where it is not long."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    sides = high - low + 1
    if sides.max() < _LONG * sides.min():
        return []
    axis = int(sides.argmax())
    first = outline[:, axis] < (low + high)[axis] / 2
    return [outline[first], outline[~first]]
