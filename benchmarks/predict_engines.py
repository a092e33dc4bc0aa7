"""Speed and probabilities of `predict --engine litert` compared with `--engine keras`, on the same photographs.

    python benchmarks/predict_engines.py [--backbone densenet121] [--size 224] [--count 16] [--repeats 3]
    python benchmarks/predict_engines.py --run RUN --folder FOLDER

Without RUN, a backbone with random weights grades drawn photographs; this takes about three minutes on two idle cores,
most of them to build and export the model. Both engines decode and prepare the photographs themselves and use all
cores. They take turns; the first round of each is not counted. The time to load a model is not included (Keras takes
longer).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

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
from keras_dr.prediction.engines import Engine, keras_engine, litert_engine
from keras_dr.prediction.predict import bundle_of, drawn
from keras_dr.synthetic.photographs import write_dataset

GOAL = 2.0


def engines_of_run(folder: Path) -> dict[str, Engine]:
    """Return both engines of a trained run."""
    bundle = dr.Bundle.load(bundle_of(folder))
    run = dr.Run.load(folder)
    return {"litert": litert_engine(bundle), "keras": keras_engine(run.model(), run.temperature, bundle)}


def engines_of_backbone(backbone: str, size: int, folder: Path) -> dict[str, Engine]:
    """Return both engines of a grader with random weights."""
    model = build_model(backbone, size, 5)
    spec = Preprocessing(size)
    images = drawn(spec)
    settings = GraderSettings(TASKS["icdr"], spec, OperatingPoint(0.5), 1.0, "none", "")
    validation = Validation(images, np.zeros(len(images), np.int64))
    export_bundle(model, folder, settings, Calibration(images, seed=0), validation, ("float32",))
    bundle = dr.Bundle.load(folder)
    return {"litert": litert_engine(bundle), "keras": keras_engine(model, 1.0, bundle)}


def measure(engines: dict[str, Engine], images: Sequence[Path], repeats: int) -> None:
    """Grade in turns, and print seconds and differences."""
    print(f"{len(images)} photographs, {usable_cores()} cores")
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    probabilities = {}
    for repeat in range(repeats + 1):
        for name, grade in engines.items():
            start = perf_counter()
            results = grade(images, lambda done, total: None)
            if repeat:
                seconds[name].append(perf_counter() - start)
            probabilities[name] = np.array([list(result.probabilities.values()) for result in results])
    for name, times in seconds.items():
        print(f"{name:7} {1000 * min(times) / len(images):6.1f} ms per photograph (best of {repeats})")
    ratios = np.array(seconds["keras"]) / np.array(seconds["litert"])
    difference = np.abs(probabilities["litert"] - probabilities["keras"]).max()
    print(f"largest difference of a probability {difference:.1e} (goal: at most 1e-4)")
    common.report("predict by Keras / by LiteRT", "Keras", ratios, at_least=GOAL)


def main() -> None:
    """Parse, build, measure."""
    parser = common.parser(__doc__, size=224, count=16, repeats=3)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, help="folder of photographs")
    parser.add_argument("--backbone", default="densenet121")
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
            engines = engines_of_run(arguments.run)
        else:
            print(f"{arguments.backbone}, {arguments.size} pixels, random weights:", end=" ", flush=True)
            engines = engines_of_backbone(arguments.backbone, arguments.size, Path(temporary) / "bundle")
        measure(engines, images, arguments.repeats)


if __name__ == "__main__":
    main()
