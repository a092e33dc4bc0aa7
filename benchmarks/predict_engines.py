"""How much of the machine each engine of `predict` uses, and whether both give the same probabilities.

    python benchmarks/predict_engines.py [--backbone efficientnetlite0] [--size 512] [--count 64] [--repeats 5]
    python benchmarks/predict_engines.py --run RUN --folder FOLDER

The peer of each engine is the same engine on one core, in a process of its own: its processor time is that of one whole
photograph, from the file to the grade. If the cores disturbed each other in nothing, an engine would grade as many
photographs a second as there are cores divided by that time. The figure is the share of this that it reaches.

Without RUN, a backbone with random weights grades drawn photographs. The four processes take turns; the first round of
each is not counted, nor is the loading of a model (Keras takes longer). Linux only: a process is held to its cores.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import common
import numpy as np

import keras_dr as dr
from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
from keras_dr.core.image_files import find_images
from keras_dr.core.machine import usable_cores
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS
from keras_dr.models.grader import build_model
from keras_dr.models.keras_files import load_grader
from keras_dr.prediction.engines import Engine, keras_engine, litert_engine
from keras_dr.prediction.predict import bundle_of, drawn
from keras_dr.synthetic.photographs import write_dataset

GOAL = 0.95
ENGINES = ("litert", "keras")


def export_untrained(backbone: str, size: int, folder: Path) -> tuple[Path, Path]:
    """Write the bundle and the Keras model of a grader with random weights, and return their paths."""
    model = build_model(backbone, size, 5)
    spec = Preprocessing(size)
    images = drawn(spec)
    settings = GraderSettings(TASKS["icdr"], spec, OperatingPoint(0.5), 1.0, "none", "")
    validation = Validation(images, np.zeros(len(images), np.int64))
    export_bundle(model, folder / "bundle", settings, Calibration(images, seed=0), validation, ("float32",))
    model.save(folder / "model.keras")
    return folder / "bundle", folder / "model.keras"


class Worker:
    """An engine in a process of its own, on some cores."""

    def __init__(self, name: str, bundle: Path, model: Path, temperature: float, cores: Sequence[int]) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _load, (name, bundle, model, temperature, cores))

    def grade(self, images: Sequence[Path]) -> tuple[float, float, np.ndarray]:
        """Grade photographs; return seconds, seconds of processor time, and the probabilities."""
        return self.pool.submit(_grade, images).result()


_engine: Engine  # of this process


def _load(name: str, bundle_folder: Path, model: Path, temperature: float, cores: Sequence[int]) -> None:
    """Hold this process to its cores before TensorFlow counts them, and load the engine."""
    global _engine
    os.sched_setaffinity(0, cores)
    bundle = dr.Bundle.load(bundle_folder)
    _engine = litert_engine(bundle) if name == "litert" else keras_engine(load_grader(model), temperature, bundle)


def _grade(images: Sequence[Path]) -> tuple[float, float, np.ndarray]:
    results: list[Any] = []
    seconds, processor_seconds = common.seconds(lambda: results.extend(_engine(images, _show_nothing)))
    return seconds, processor_seconds, np.array([list(result.probabilities.values()) for result in results])


def _show_nothing(done: int, total: int, text: str = "") -> None:
    """A progress without a display."""


def measure(bundle: Path, model: Path, temperature: float, images: Sequence[Path], repeats: int) -> None:
    """Grade in turns, and print seconds, shares and differences."""
    cores = sorted(os.sched_getaffinity(0))[: usable_cores()]
    print(f"{len(images)} photographs, {len(cores)} cores", flush=True)
    workers = {
        (name, count): Worker(name, bundle, model, temperature, cores[:count])
        for name in ENGINES
        for count in (1, len(cores))
    }
    times = {key: np.empty((repeats + 1, 2)) for key in workers}  # seconds per photograph
    probabilities = {}
    for repeat in range(repeats + 1):
        for key, worker in workers.items():
            *seconds, probabilities[key] = worker.grade(images)
            times[key][repeat] = np.array(seconds) / len(images)
    for name in ENGINES:
        one_ms = 1000 * times[name, 1][1:, 1]
        all_ms = 1000 * times[name, len(cores)][1:, 0]
        print(
            f"{name:7} on one core {np.median(one_ms):6.1f} ms of processor time per photograph, "
            f"on all cores {np.median(all_ms):6.1f} ms per photograph"
        )
        common.report(
            f"predict by {name}, photographs a second / (cores / processor time of one)",
            "the same engine on one core",
            one_ms / len(cores) / all_ms,
            at_least=GOAL,
        )
    all_cores = {name: times[name, len(cores)][1:, 0] for name in ENGINES}
    common.report("predict by Keras / by LiteRT", "Keras", all_cores["keras"] / all_cores["litert"])
    difference = np.abs(probabilities["litert", 1] - probabilities["keras", 1]).max()
    print(f"largest difference of a probability {difference:.1e} (goal: at most 1e-4)")


def main() -> None:
    """Parse, build, measure."""
    parser = common.parser(__doc__, size=512, count=64, repeats=5)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, help="folder of photographs")
    parser.add_argument("--backbone", default="efficientnetlite0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder
        if folder is None:
            folder = Path(temporary) / "photographs"
            write_dataset(folder, count=arguments.count, seed=1, size=(712, 1072), workers=1)
            folder /= "images"
        images = list(find_images([folder]))[: arguments.count]
        if arguments.run:
            print(f"{arguments.run.name}:", end=" ")
            run = dr.Run.load(arguments.run)
            bundle, model, temperature = bundle_of(arguments.run), arguments.run / "model.keras", run.temperature
        else:
            print(f"{arguments.backbone}, {arguments.size} pixels, random weights:", end=" ", flush=True)
            bundle, model = export_untrained(arguments.backbone, arguments.size, Path(temporary))
            temperature = 1.0
        measure(bundle, model, temperature, images, arguments.repeats)


if __name__ == "__main__":
    main()
