"""Procedural colour fundus photographs with graded lesions and exact lesion masks.

They replace photographs of patients in the demo and the tests; no clinical claim rests on them.
Lesions follow the International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003, "Proposed
international clinical diabetic retinopathy and diabetic macular edema disease severity scales", Ophthalmology
110(9):1677-1682): 0 none; 1 microaneurysms only; 2 more than microaneurysms, less than severe; 3 more than 20
haemorrhages with some in each of the four quadrants; 4 new vessels or preretinal haemorrhage. Lesions are about
two to four times larger and more visible than in real photographs, so that a small network that sees the whole
fundus at 128 to 160 pixels can learn the grade from a few hundred photographs.
"""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from keras_dr.core.machine import usable_cores
from keras_dr.synthetic.scene import (
    LESIONS,
    Bytes,
    Floats,
    Look,
    Scene,
    Size,
    draw_lesions,
    draw_look,
    draw_vessels,
    new_scene,
)

GRADE_MIX = (0.30, 0.17, 0.23, 0.15, 0.15)
# Optical density of blood to red, green and blue light.
BLOOD = np.array([0.6, 1.75, 1.75], np.float32)


@dataclass(frozen=True)
class SyntheticPhotograph:
    """A synthetic photograph with its grade and masks.

    Attributes:
        image: uint8 RGB (H, W, 3).
        grade: ICDR grade 0..4.
        eye: "left" or "right".
        masks: lesion -> uint8 (H, W), 0 or 255, before the camera's blur; holds the lesions that are present, and
            always "optic_disc".
        fundus: x, y and radius of the illuminated circle in pixels; the circle may reach beyond the sensor.
    """

    image: Bytes
    grade: int
    eye: str
    masks: dict[str, Bytes]
    fundus: tuple[float, float, float]


@dataclass(frozen=True)
class _Plan:
    """What determines one photograph of a data set."""

    folder: Path
    name: str
    patient: str
    seed: int
    grade: int
    eye: str
    patient_seed: int
    size: Size


def _smooth_noise(rng: np.random.Generator, size: Size, cells: int) -> Floats:
    grid = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _soft(layer: Bytes, sigma_px: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_px), np.float32) * np.float32(1 / 255)


def _blend(image: Floats, opacity: Floats, colour: tuple[float, float, float]) -> None:
    for channel, value in enumerate(colour):
        image[..., channel] += opacity * (np.float32(value) - image[..., channel])


def _render(scene: Scene, look: Look) -> Bytes:
    """Draw the pigment, the layers on it from back to front, then light, lens and sensor: uint8 RGB (H, W, 3)."""
    rng = scene.rng
    size = scene.size
    radius_px = scene.radius_px
    layers = scene.layers
    rows = ((np.arange(size[0], dtype=np.float32) - scene.centre[1]) / radius_px)[:, None]
    columns = ((np.arange(size[1], dtype=np.float32) - scene.centre[0]) / radius_px)[None]
    pale = np.array([0.86, 0.47, 0.24], np.float32)
    dark = np.array([0.64, 0.29, 0.13], np.float32)
    mottle = 1 + look["texture"] * (_smooth_noise(rng, size, 7) + 0.5 * _smooth_noise(rng, size, 40))
    image = mottle[..., None] * (pale + (dark - pale) * look["pigment"])
    fovea_x, fovea_y = scene.fovea.tolist()
    macula = np.exp((columns - fovea_x) ** 2 / -0.045) * np.exp((rows - fovea_y) ** 2 / -0.045)
    _blend(image, 0.42 * macula, (0.3, 0.05, 0.0))
    _blend(image, 0.85 * _soft(layers["optic_disc"], 0.012 * radius_px), (1.0, 0.74, 0.41))
    _blend(image, 0.75 * _soft(layers["cup"], 0.02 * radius_px), (1.0, 0.89, 0.63))
    blood = np.maximum(0.5 * _soft(layers["veins"], 0.5), 0.3 * _soft(layers["arteries"], 0.5))
    image *= np.exp(-blood[..., None] * BLOOD)
    if "soft_exudates" in layers:
        _blend(image, 0.85 * _soft(layers["soft_exudates"], 0.018 * radius_px), (1.0, 0.85, 0.64))
    if "hard_exudates" in layers:
        _blend(image, 0.9 * _soft(layers["hard_exudates"], 0.4), (1.0, 0.83, 0.38))
    density = {"haemorrhages": 0.85, "microaneurysms": 0.85, "new_vessels": 0.7}
    red = [density[name] * _soft(layers[name], 0.4) for name in density if name in layers]
    if red:
        image *= np.exp(-np.maximum.reduce(red)[..., None] * BLOOD)
    x, y = rng.normal(0, 0.12, 2).tolist()
    vignette = 1 - look["vignette"] * np.clip((columns - x) ** 2 + (rows - y) ** 2, 0, 1.5)
    light = look["exposure"] * vignette * _soft(scene.inside, 1.0)
    image *= light[..., None] * np.array([1 + look["warmth"], 1, 1 - 2 * look["warmth"]], np.float32)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), look["blur"] * max(0.5, size[0] / 360)), np.float32)
    image += look["noise"] * rng.standard_normal(image.shape, np.float32) + 0.012
    return np.asarray(np.clip(image * 255, 0, 255), np.uint8)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def synthesise(
    seed: int, grade: int, eye: str = "right", size: Size = (360, 480), patient_seed: int | None = None
) -> SyntheticPhotograph:
    """Draw one photograph; the same arguments give the same bytes.

    Args:
        seed: 0 or more.
        grade: ICDR grade 0..4.
        eye: "left" or "right".
        size: height and width in pixels, each at least 64.
        patient_seed: 0 or more; photographs with the same one share pigmentation and camera. None: `seed`.

    Raises:
        ValueError: an argument is out of its range.
    """
    _require(grade in range(5), f"The grade must be an ICDR grade from 0 to 4, not {grade!r}.")
    _require(eye in ("left", "right"), f'The eye must be "left" or "right", not {eye!r}.')
    _require(min(size) >= 64, f"The size must be at least 64 x 64 pixels, not {size!r}.")
    seeds = (seed, patient_seed)
    _require(seed >= 0 and (patient_seed or 0) >= 0, f"The seeds must be 0 or more, not {seeds!r}.")
    look = draw_look(np.random.default_rng([seed if patient_seed is None else patient_seed, 1]))
    scene = new_scene(np.random.default_rng([seed, 2]), look, size)
    draw_lesions(scene, grade, draw_vessels(scene))
    image = _render(scene, look)
    x, y = scene.centre
    drawn = {name: (scene.layer(name) >= 96) & (scene.inside > 0) for name in (*LESIONS, "optic_disc")}
    masks = {name: np.uint8(255) * mask for name, mask in drawn.items() if mask.any()}
    if eye == "left":
        image = np.ascontiguousarray(image[:, ::-1])
        x = size[1] - 1 - x
        masks = {name: np.ascontiguousarray(mask[:, ::-1]) for name, mask in masks.items()}
    return SyntheticPhotograph(image, grade, eye, masks, (x, y, scene.radius_px))


def _plan(folder: Path, count: int, seed: int, size: Size) -> list[_Plan]:
    """Plan a data set: grades of patients follow the quotas of GRADE_MIX, so that small sets hold every grade.

    The grades of the two eyes of a patient may differ by one.
    """
    rng = np.random.default_rng([seed, 3])
    quantiles = (np.arange((count + 1) // 2) + 0.5) / ((count + 1) // 2)
    grades = rng.permutation(np.searchsorted(np.cumsum(GRADE_MIX[:-1]), quantiles, side="right"))
    plans: list[_Plan] = []
    for patient, grade in enumerate(grades.tolist(), start=1):
        patient_seed, *seeds = rng.integers(2**31, size=3).tolist()
        fellow = min(max(grade + rng.choice([-1, 0, 0, 0, 0, 1]).item(), 0), 4)
        for eye, eye_grade, eye_seed in zip(("left", "right"), (grade, fellow), seeds, strict=True):
            name = f"p{patient:04d}"
            plans.append(_Plan(folder, f"{name}_{eye}", name, eye_seed, eye_grade, eye, patient_seed, size))
    return plans[:count]


def _write_photograph(plan: _Plan) -> None:
    photograph = synthesise(plan.seed, plan.grade, plan.eye, plan.size, plan.patient_seed)
    bgr = np.ascontiguousarray(photograph.image[..., ::-1])
    jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, 95))[1]
    (plan.folder / "images" / f"{plan.name}.jpg").write_bytes(jpeg.tobytes())
    for lesion in (*LESIONS, "optic_disc"):
        path = plan.folder / "masks" / lesion / f"{plan.name}.png"
        if lesion in photograph.masks:
            path.write_bytes(cv2.imencode(".png", photograph.masks[lesion])[1].tobytes())
        else:
            path.unlink(missing_ok=True)


def write_dataset(
    folder: Path,
    count: int = 400,
    seed: int = 42,
    size: Size = (360, 480),
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write labels.csv (image, grade, patient_id, eye), images/NAME.jpg and masks/LESION/NAME.png into `folder`.

    There is no mask file if the photograph has no such lesion. The bytes depend only on `count`, `seed` and `size`.
    labels.csv is written last, so a folder that has it is complete.

    Args:
        folder: the folder.
        count: number of photographs, 1 or more.
        seed: 0 or more.
        size: height and width in pixels, each at least 64.
        workers: number of processes, 1 or more; None: one per usable core. They are spawned, so a script that asks for
            more than one needs the `if __name__ == "__main__"` guard.
        progress: called with the number of photographs written so far.

    Raises:
        ValueError: an argument is out of its range.
    """
    workers = usable_cores() if workers is None else workers
    _require(count >= 1, f"The count must be 1 or more, not {count!r}.")
    _require(seed >= 0, f"The seed must be 0 or more, not {seed!r}.")
    _require(min(size) >= 64, f"The size must be at least 64 x 64 pixels, not {size!r}.")
    _require(workers >= 1, f"The number of workers must be 1 or more, not {workers!r}.")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for lesion in (*LESIONS, "optic_disc"):
        (folder / "masks" / lesion).mkdir(parents=True, exist_ok=True)
    labels = folder / "labels.csv"
    partial = folder / "labels.csv.part"
    labels.unlink(missing_ok=True)
    plans = _plan(folder, count, seed, size)
    with ExitStack() as stack:
        written: Iterable[None] = map(_write_photograph, plans)
        if workers > 1:
            spawn = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(workers, spawn, cv2.setNumThreads, (1,)))
            written = pool.map(_write_photograph, plans, chunksize=4)
        for done, _ in enumerate(written, start=1):
            if progress:
                progress(done)
    rows = [f"images/{plan.name}.jpg,{plan.grade},{plan.patient},{plan.eye}\n" for plan in plans]
    partial.write_text("image,grade,patient_id,eye\n" + "".join(rows), newline="\n")
    partial.replace(labels)
