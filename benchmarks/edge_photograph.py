"""Time per photograph, from decoding to overlay, compared with the bare invoke of the network.

    python benchmarks/edge_photograph.py [BUNDLE] [--variant float32] [--photograph FILE] [--backbone densenet121]
        [--size 224] [--threads 2] [--repeats 50]

Decode to overlay: from the file's bytes (1072x712 without --photograph) to the grade and the picture of the heat map in
memory, as `edge_demo grade` does it. Bare invoke: only the runtime on the prepared image. Both run in this process and
take turns. Without BUNDLE, the backbone has random weights.
"""

import tempfile
from pathlib import Path
from time import perf_counter

import common
import cv2
import numpy as np

import keras_dr as dr
from edge_demo.measurement import STAGES, WARM_UP, time_stages
from edge_demo.profiler import synthetic_photograph

GOAL = 1.15


def write_untrained_bundle(folder: Path, backbone: str, size: int) -> Path:
    """Write a float32 bundle of an untrained grader, and return its folder."""
    from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
    from keras_dr.core.operating_point import OperatingPoint
    from keras_dr.core.preprocessing import Preprocessing, prepare_image
    from keras_dr.datasets.grades import TASKS
    from keras_dr.models.grader import build_model

    spec = Preprocessing(size)
    image = prepare_image(synthetic_photograph(), spec)[None]
    settings = GraderSettings(TASKS["icdr"], spec, OperatingPoint(0.5), 1.0, "none", "")
    validation = Validation(image, np.zeros(1, np.int64))
    model = build_model(backbone, size, 5)
    export_bundle(model, folder, settings, Calibration(image, seed=0), validation, ("float32",), allow_drift=True)
    return folder


def measure(grader: dr.Grader, photograph: bytes, repeats: int) -> np.ndarray:
    """Return milliseconds, float (repeats, 6): each stage, all stages together, the bare invoke."""
    image = grader.prepare(grader.decode(photograph))[0]
    rows = []
    for _ in range(repeats + WARM_UP):
        stages = time_stages(grader, photograph)
        start = perf_counter()
        grader.invoke(image)
        rows.append([*stages, perf_counter() - start])
    return 1000 * np.array(rows[WARM_UP:])


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, threads=2, repeats=50)
    parser.add_argument("bundle", nargs="?")
    parser.add_argument("--variant", default="float32")
    parser.add_argument("--photograph", type=Path)
    parser.add_argument("--backbone", default="densenet121")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        bundle = arguments.bundle
        if bundle is None:
            bundle = write_untrained_bundle(Path(temporary) / "bundle", arguments.backbone, arguments.size)
        grader = dr.Grader(bundle, arguments.variant, arguments.threads)
        photograph = arguments.photograph.read_bytes() if arguments.photograph else synthetic_photograph()
        times_ms = measure(grader, photograph, arguments.repeats)
    medians = np.median(times_ms, axis=0)
    least = times_ms.min(axis=0)
    for name, median_ms, least_ms in zip((*STAGES, "all", "bare invoke"), medians, least, strict=True):
        print(f"{name:11} median {median_ms:7.2f} ms, least {least_ms:7.2f} ms")
    print(f"ratio of the medians {medians[4] / medians[5]:.3f}, of the least {least[4] / least[5]:.3f}")
    ratios = times_ms[:, 4] / times_ms[:, 5]
    common.report("decode to overlay / bare invoke", "LiteRT's bare invoke", ratios, at_most=GOAL)


if __name__ == "__main__":
    main()
