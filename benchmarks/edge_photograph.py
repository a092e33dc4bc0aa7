"""What a photograph costs beside the network: decode to overlay against the bare invoke.

    python benchmarks/edge_photograph.py [BUNDLE] [--variant float32] [--photograph FILE] [--backbone densenet121]
        [--size 224] [--threads 2] [--repeats 50]

Decode to overlay: the file's bytes (1072x712 without --photograph) to the grade and the picture of the heat map in
memory, as `edge_demo grade` makes them. Bare invoke: the runtime alone on the prepared image. Both in this process, in
turns. Without BUNDLE, the backbone from random weights.
"""

import tempfile
from pathlib import Path
from time import perf_counter

import common
import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.measurement import STAGES, WARM_UP, time_stages
from edge_demo.profiler import synthetic_photograph

GOAL = 1.2


def make(folder: Path, backbone: str, size: int) -> Path:
    """A float32 bundle of an untrained grader."""
    from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
    from keras_dr.core.preprocessing import Preprocessing, prepare_image
    from keras_dr.datasets.grades import TASKS
    from keras_dr.models.grader import build_model

    spec = Preprocessing(size)
    image = prepare_image(synthetic_photograph(), spec)[None]
    settings = GraderSettings(TASKS["icdr"], spec, 0.5, 1.0, "none", "")
    validation = Validation(image, np.zeros(1, np.int64))
    model = build_model(backbone, size, 5)
    export_bundle(model, folder, settings, Calibration(image, seed=0), validation, ("float32",), allow_drift=True)
    return folder


def measure(grader: Grader, photograph: bytes, repeats: int) -> np.ndarray:
    """Milliseconds, float (repeats, 6): the stages, all of them, the bare invoke."""
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
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--variant", default="float32")
    parser.add_argument("--photograph", type=Path)
    parser.add_argument("--backbone", default="densenet121")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Bundle.load(given.bundle or make(Path(temporary) / "bundle", given.backbone, given.size))
        grader = Grader(bundle, given.variant, given.threads)
        photograph = given.photograph.read_bytes() if given.photograph else synthetic_photograph()
        times = measure(grader, photograph, given.repeats)
    median, least = np.median(times, axis=0), times.min(axis=0)
    for name, m, low in zip((*STAGES, "all", "bare invoke"), median, least, strict=True):
        print(f"{name:11} median {m:7.2f} ms, least {low:7.2f} ms")
    print(f"ratio of the medians {median[4] / median[5]:.3f}, of the least {least[4] / least[5]:.3f}")
    common.report("decode to overlay / bare invoke", "LiteRT's bare invoke", times[:, 4] / times[:, 5], at_most=GOAL)


if __name__ == "__main__":
    main()
