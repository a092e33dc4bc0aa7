"""Photographs a second and numbers of `predict --engine litert` against `--engine keras`, on the same photographs.

    python benchmarks/predict_engines.py [--backbone densenet121] [--size 224] [--count 16] [--repeats 3]
    python benchmarks/predict_engines.py --run RUN --folder FOLDER

Without RUN, a backbone of random weights on synthetic photographs; some three minutes on two quiet cores, most of them
to build and export it. Both engines decode and prepare the photographs themselves and use all cores; a round of each
before the counted ones, which take turns. Loading is left out (Keras's is the longer).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import common
import numpy as np

from edge_demo.bundle import Bundle
from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
from keras_dr.core.image_files import find_images
from keras_dr.core.machine import usable_cores
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS
from keras_dr.models.grader import build_model
from keras_dr.prediction.engines import Engine, keras_engine, litert_engine
from keras_dr.prediction.predict import bundle_of, drawn
from keras_dr.synthetic.photographs import write_dataset
from keras_dr.training.run import Run

GOAL = 2.0


def engines_of_run(folder: Path) -> dict[str, Engine]:
    """Both engines of a trained run."""
    bundle, run = Bundle.load(bundle_of(folder)), Run.load(folder)
    return {"litert": litert_engine(bundle), "keras": keras_engine(run.model(), run.temperature, bundle)}


def engines_of_backbone(backbone: str, size: int, folder: Path) -> dict[str, Engine]:
    """Both engines of a grader with random weights."""
    model, spec = build_model(backbone, size, 5), Preprocessing(size)
    plain = drawn(spec)
    settings = GraderSettings(TASKS["icdr"], spec, 0.5, 1.0, "none", "")
    validation = Validation(plain, np.zeros(len(plain), np.int64))
    export_bundle(model, folder, settings, Calibration(plain, seed=0), validation, ("float32",))
    bundle = Bundle.load(folder)
    return {"litert": litert_engine(bundle), "keras": keras_engine(model, 1.0, bundle)}


def measure(engines: dict[str, Engine], images: Sequence[Path], repeats: int) -> None:
    """Grade in turns, print seconds and differences."""
    print(f"{len(images)} photographs, {usable_cores()} cores")
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    probabilities = {}
    for repeat in range(repeats + 1):
        for name, grade in engines.items():
            start = perf_counter()
            results = grade(images, lambda done, total: None)
            seconds[name] += [perf_counter() - start] if repeat else []
            probabilities[name] = np.array([list(result.probabilities.values()) for result in results])
    for name, times in seconds.items():
        print(f"{name:7} {1000 * min(times) / len(images):6.1f} ms a photograph (best of {repeats})")
    ratios = np.array(seconds["keras"]) / np.array(seconds["litert"])
    difference = np.abs(probabilities["litert"] - probabilities["keras"]).max()
    print(f"largest difference of a probability {difference:.1e} (goal: at most 1e-4)")
    common.report("predict by Keras / by LiteRT", "Keras", ratios, at_least=GOAL)


def main() -> None:
    """Parse, build, measure."""
    parser = common.parser(__doc__, size=224, count=16, repeats=3)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, help="of photographs")
    parser.add_argument("--backbone", default="densenet121")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder
        if folder is None:
            folder = Path(scratch) / "photographs"
            write_dataset(folder, count=given.count, seed=1, size=(712, 1072), workers=1)
            folder /= "images"
        images = list(find_images([folder]))[: given.count]
        if given.run:
            print(f"{given.run.name}:", end=" ")
            engines = engines_of_run(given.run)
        else:
            print(f"{given.backbone}, {given.size} pixels, random weights:", end=" ", flush=True)
            engines = engines_of_backbone(given.backbone, given.size, Path(scratch) / "bundle")
        measure(engines, images, given.repeats)


if __name__ == "__main__":
    main()
