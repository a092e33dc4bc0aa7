"""The scene of a synthetic photograph: eye, vessels and graded lesions as layers of opacity. See `photographs`.

Lengths without a unit in their name are in fundus radii, with the origin in the centre of the fundus, x to the
right, y down. Every scene is drawn as a right eye (optic disc on the right) and mirrored for a left one.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

LESIONS = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates", "new_vessels")
# Fewest and most of each lesion, by grade; for hard exudates, of clusters. Grade 4 has new vessels in addition.
COUNTS: dict[int, dict[str, tuple[int, int]]] = {
    0: {},
    1: {"microaneurysms": (4, 12)},
    2: {"hard_exudates": (0, 3), "haemorrhages": (5, 11), "microaneurysms": (10, 20)},
    3: {"soft_exudates": (3, 6), "hard_exudates": (2, 5), "haemorrhages": (26, 40), "microaneurysms": (14, 26)},
}
SHIFT = 5  # fractional bits of the coordinates that OpenCV's drawing functions take

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Points = NDArray[np.float64]
Size = tuple[int, int]  # height, width in pixels
Look = dict[str, float]


@dataclass
class Scene:
    """The photograph while it is drawn; layers are uint8 (H, W) opacities.

    Points are float64 (..., 2), x to the right and y down, in radii of the fundus from its centre.
    """

    rng: np.random.Generator
    size: Size
    centre: tuple[float, float]
    radius_px: float
    inside: Bytes
    free: Bytes  # 255 where a new lesion may be centred
    disc: Points
    disc_radius: float
    fovea: Points
    layers: dict[str, Bytes] = field(default_factory=dict)

    def layer(self, name: str) -> Bytes:
        """Return the layer with this name, uint8 (H, W), 0..255; create it if it does not exist."""
        if name not in self.layers:
            self.layers[name] = np.zeros(self.size, np.uint8)
        return self.layers[name]

    def pixels(self, points: Points, scale: int = 1) -> NDArray[np.int32]:
        """Return points float64 (n, 2) as pixels int32 (n, 2), column and row, times `scale`."""
        return np.rint((points * self.radius_px + self.centre) * scale).astype(np.int32)

    def draw(self, name: str, outline: Points, opacity: float = 1.0, filled: bool = True) -> None:
        """Draw an outline float64 (n, 2) on a layer, with an opacity 0..1."""
        points = [self.pixels(outline, 2**SHIFT)]
        value = (255.0 * opacity,)
        if filled:
            cv2.fillPoly(self.layer(name), points, value, cv2.LINE_AA, SHIFT)
        else:
            thickness = max(1, round(self.radius_px / 170))
            cv2.polylines(self.layer(name), points, False, value, thickness, cv2.LINE_AA, SHIFT)

    def take(self, centre: Points, radius: float) -> None:
        """Prevent that a lesion is centred in a circle around float64 (2,)."""
        x, y = self.pixels(centre).tolist()
        cv2.circle(self.free, (x, y), round(radius * self.radius_px) + 1, (0,), -1)

    def place(self, radius: float, around: Points, reach: tuple[float, float], quadrant: int = -1) -> Points | None:
        """Take a circle with a free centre within `reach` of `around`; return the centre float64 (2,), or None."""
        distance = np.sqrt(self.rng.uniform(reach[0] ** 2, reach[1] ** 2, 512))
        points = around + _polar(distance, self.rng.uniform(0, 2 * np.pi, 512))
        column, row = self.pixels(points).T
        ok = (row >= 0) & (row < self.size[0]) & (column >= 0) & (column < self.size[1])
        ok[ok] = self.free[row[ok], column[ok]] > 0
        if quadrant >= 0:  # a lesion counts for a quadrant only if it lies well inside
            ok &= ((points > 0) == (bool(quadrant & 1), bool(quadrant & 2))).all(axis=1)
            ok &= np.abs(points).min(axis=1) > 0.06
        if not ok.any():
            return None
        point: Points = points[np.argmax(ok)]
        self.take(point, radius)
        return point


def _polar(distance: ArrayLike, angle: ArrayLike) -> Points:
    return np.stack([np.multiply(distance, np.cos(angle)), np.multiply(distance, np.sin(angle))], axis=-1)


def _blob(
    rng: np.random.Generator, centre: Points, radius: float, rough: float, stretch: float = 1, angle: float = 0
) -> Points:
    """Return a closed irregular outline, float64 (36, 2); `stretch` lengthens it along `angle` (radians)."""
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    waves = np.arange(2, 8)
    profile = 1 + (rng.normal(0, rough, 6) / waves**0.7) @ np.cos(waves[:, None] * turn + rng.uniform(0, 6.28, (6, 1)))
    x, y = (_polar(radius * np.clip(profile, 0.35, 1.8), turn) * (stretch**0.5, stretch**-0.5)).T
    return centre + np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the properties that both eyes of a patient share: pigmentation and camera."""
    return {
        "radius": rng.uniform(0.52, 0.57) if rng.random() < 0.4 else rng.uniform(0.45, 0.475),  # share of the height
        "pigment": rng.uniform(0, 1),
        "warmth": rng.normal(0, 0.05),
        "exposure": rng.uniform(0.85, 1.12),
        "vignette": rng.uniform(0.25, 0.55),
        "texture": rng.uniform(0.03, 0.06),
        "noise": rng.uniform(0.006, 0.014),
        "blur": rng.uniform(0.5, 0.8),
    }


def new_scene(rng: np.random.Generator, look: Look, size: Size) -> Scene:
    """Return a scene that holds only the optic disc and its cup."""
    height, width = size
    radius_px = min(look["radius"] * height, 0.485 * width)
    slack = min(width / 2 - radius_px, 0.04 * width)
    x = width / 2 + rng.uniform(-0.5, 0.5) * slack
    y = height / 2 + rng.normal(0, 0.005) * height
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(columns - x, rows - y)
    inside = np.where(distance <= radius_px - 1.5, 255, 0).astype(np.uint8)
    free = np.where(distance <= 0.9 * radius_px, 255, 0).astype(np.uint8)
    border = round(0.04 * radius_px)
    free[:border] = free[-border:] = 0
    disc = np.array([rng.uniform(0.48, 0.58), rng.uniform(-0.06, 0.06)])
    disc_radius = rng.uniform(0.125, 0.15)
    fovea = disc + (-rng.uniform(0.6, 0.66), rng.uniform(0.02, 0.08))
    scene = Scene(rng, size, (x, y), radius_px, inside, free, disc, disc_radius, fovea)
    scene.draw("optic_disc", _blob(rng, disc, disc_radius, 0.015, 1 / rng.uniform(1.0, 1.15)))
    scene.draw("cup", _blob(rng, disc, disc_radius * rng.uniform(0.3, 0.55), 0.04))
    return scene


def _trunks(scene: Scene) -> tuple[Points, Points]:
    """Return Bezier trunks that start in the disc: paths float64 (8, 48, 2), arteries before veins, and widths (8,)."""
    rng = scene.rng
    disc = scene.disc
    fovea = scene.fovea
    paths = []
    widths = []
    t = np.linspace(0, 1, 48)[:, None]
    for scale in (0.72, 1.0):  # arteries are thinner than the veins next to them
        for side in (-1, 1):
            arcade = [disc + (0.03, side * 0.36), fovea + (0.25, side * 0.78), fovea + (-0.95, side * 0.5)]
            nasal = [disc + (0.06, side * 0.2), disc + (0.2, side * 0.3), disc + (0.42, side * 0.8)]
            for course, width in ((arcade, 0.038), (nasal, 0.024)):
                a = disc + rng.normal(0, 0.02, 2)
                b, c, d = (point + rng.normal(0, 0.05, 2) for point in course)
                path = a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3
                wave = np.sin(t * rng.uniform(14, 26) + rng.uniform(0, 6, 2)) * t * (1 - t)
                paths.append(path + wave * rng.uniform(0.02, 0.06))
                widths.append(width * scale * rng.uniform(0.9, 1.1))
    return np.stack(paths), np.array(widths)


def _branches(
    rng: np.random.Generator, paths: Points, widths: Points, count: int, length: float
) -> tuple[Points, Points]:
    """Return `count` winding branches of every path, in the order of the paths: paths (n * count, 24, 2) and widths."""
    parent = np.repeat(np.arange(len(paths)), count)
    at = (np.tile(np.arange(count), len(paths)) + rng.uniform(0.3, 1, len(parent))) / count
    index = (at * (paths.shape[1] - 2)).astype(int)
    start = paths[parent, index][:, None]
    ahead = paths[parent, index + 1] - start[:, 0]
    side = np.where((np.arange(len(parent)) + rng.integers(2)) % 2, 1, -1)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0]) + side * rng.uniform(0.35, 0.95, len(parent))
    turns = rng.normal(0, 0.13, (len(parent), 23)) - (side * rng.uniform(-0.01, 0.03, len(parent)))[:, None]
    steps = length * rng.uniform(0.4, 1.3, (len(parent), 1)) / 23
    course = np.cumsum(_polar(steps, heading[:, None] + np.cumsum(turns, axis=1)), axis=1)
    children = np.concatenate([start, start + course], axis=1)
    return children, widths[parent] * (1 - 0.6 * at) * rng.uniform(0.5, 0.75, len(parent))


def draw_vessels(scene: Scene) -> Points:
    """Draw the tree of vessels, thin before thick, and return the trunks, float64 (8, 48, 2)."""
    levels = [_trunks(scene)]
    for count, length in ((8, 0.5), (4, 0.26), (2, 0.13)):
        levels.append(_branches(scene.rng, *levels[-1], count, length))
    for paths, widths in reversed(levels):
        offset = paths - scene.fovea  # pushed away from the fovea, which has no vessels
        paths = scene.fovea + offset * np.sqrt(1 + 0.13**2 / ((offset**2).sum(axis=-1, keepdims=True) + 1e-6))
        tangent = np.gradient(paths, axis=1)
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        taper = np.linspace(0.5, 0.2, paths.shape[1])[:, None] * widths[:, None, None]
        half = np.maximum(taper - 0.4 / scene.radius_px, 0.05 / scene.radius_px) * normal
        outlines = np.concatenate([paths + half, (paths - half)[:, ::-1]], axis=1)
        opacities = np.clip(0.2 + widths * scene.radius_px / 4, 0.25, 1).tolist()
        for i, (outline, opacity) in enumerate(zip(outlines, opacities, strict=True)):
            scene.draw("arteries" if 2 * i < len(paths) else "veins", outline, opacity)
    trunks = levels[0][0]
    for path in trunks[:4]:  # the light reflex along the larger arteries
        scene.draw("arteries", path, 0.55, filled=False)
    return trunks


def _draw_haemorrhages(scene: Scene, count: int) -> None:
    """Draw dots, blots and flames, in each of the four quadrants in turn."""
    rng = scene.rng
    for number in range(count):
        radius = rng.uniform(0.02, 0.045)
        centre = scene.place(2.2 * radius + 0.02, np.zeros(2), (0.1, 0.88), number % 4)
        if centre is not None:
            x, y = centre - scene.disc  # flames follow the nerve fibres, which leave the disc almost radially
            stretch = rng.uniform(2, 3.5) if rng.random() < 0.35 else rng.uniform(1, 1.6)
            outline = _blob(rng, centre, radius, 0.13, stretch, np.arctan2(y, x) + rng.normal(0, 0.2))
            scene.draw("haemorrhages", outline, rng.uniform(0.75, 1))


def _draw_hard_exudates(scene: Scene, clusters: int) -> None:
    rng = scene.rng
    for _ in range(clusters):
        spread = rng.uniform(0.04, 0.1)
        count = rng.integers(8, 22)
        centre = scene.place(1.5 * spread, scene.fovea, (0.14, 0.6))
        if centre is not None:
            circinate = rng.random() < 0.4
            distance = spread * (rng.normal(1, 0.12, count) if circinate else np.abs(rng.normal(0, 0.7, count)))
            for point in centre + _polar(distance, rng.uniform(0, 2 * np.pi, count)):
                scene.draw("hard_exudates", _blob(rng, point, 0.006 + rng.exponential(0.007), 0.12))


def _draw_proliferation(scene: Scene, trunks: Points) -> None:
    """Draw tangles of new vessels at the disc and along the arcades, and sometimes a preretinal haemorrhage."""
    rng = scene.rng
    for net in range(rng.integers(2, 4)):
        centre = trunks[rng.choice([0, 2, 4, 6]), rng.integers(14, 34)]
        extent = rng.uniform(0.15, 0.23)
        if net == 0:
            centre = scene.disc + _polar(scene.disc_radius * rng.uniform(0.4, 1.1), rng.uniform(0, 2 * np.pi))
        for heading in rng.uniform(0, 2 * np.pi, rng.integers(14, 22)):
            bend = rng.choice([-1, 1]) * rng.uniform(0.04, 0.22)
            steps = _polar(extent * rng.uniform(0.05, 0.09), heading + np.cumsum(rng.normal(bend, 0.3, 26)))
            path = centre + rng.normal(0, 0.25 * extent, 2) + np.cumsum(steps, axis=0)
            scene.draw("new_vessels", path, rng.uniform(0.75, 1), filled=False)
        scene.take(centre, extent)
    radius = rng.uniform(0.13, 0.24)
    boat = scene.place(1.5 * radius, np.zeros(2), (0.35, 0.65)) if rng.random() < 0.45 else None
    if boat is not None:  # blood settles in front of the retina under a level surface
        outline = _blob(rng, boat, radius, 0.04, 1.7)
        outline[:, 1] = np.maximum(outline[:, 1], boat[1] - 0.1 * radius + rng.normal(0, 0.004, 36))
        scene.draw("haemorrhages", outline)


def draw_lesions(scene: Scene, grade: int, trunks: Points) -> None:
    """Draw the lesions of a grade 0..4; `trunks`, float64 (8, 48, 2), is the result of `draw_vessels`."""
    rng = scene.rng
    vessels = np.maximum(scene.layer("veins"), scene.layer("arteries"))
    scene.free[cv2.dilate(vessels, np.ones((3, 3), np.uint8)) > 128] = 0
    scene.take(scene.disc, 1.3 * scene.disc_radius)
    scene.take(scene.fovea, 0.06)
    if grade == 4:
        _draw_proliferation(scene, trunks)
    ranges = COUNTS[int(rng.integers(2, 4)) if grade == 4 else grade]
    count = {name: int(rng.integers(*ranges.get(name, (0, 0)), endpoint=True)) for name in LESIONS}
    for _ in range(count["soft_exudates"]):
        radius = rng.uniform(0.04, 0.065)
        centre = scene.place(1.6 * radius, scene.disc, (0.24, 0.75))
        if centre is not None:
            scene.draw("soft_exudates", _blob(rng, centre, radius, 0.09, 1.5, rng.uniform(0, np.pi)))
    _draw_hard_exudates(scene, count["hard_exudates"])
    _draw_haemorrhages(scene, count["haemorrhages"])
    for _ in range(count["microaneurysms"]):
        centre = scene.place(0.03, scene.fovea, (0.1, 0.95))
        if centre is not None:
            scene.draw("microaneurysms", _blob(rng, centre, rng.uniform(0.011, 0.017), 0.05), rng.uniform(0.8, 1))
