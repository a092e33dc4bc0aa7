"""Whether the memory of prepare, predict and evaluate grows with the number of photographs.

    python benchmarks/streaming_memory.py [--count 20000] [--size 64] [--workers 2] [--plot FILE] [--stages prepare ...]

Drawn photographs are rotated, brightened or darkened, made noisy and re-encoded until there are `count` different ones,
in a temporary folder (TMPDIR; about 20 KiB per photograph). A grader is trained on the first 60. Then each stage
processes all of them in a process of its own, which records its resident memory together with that of its children
(pages that they share are counted for each). The benchmark prints the slope of a line fitted to the records after the
first fifth, in KiB per 1,000 photographs; its ratio to a program that holds the decoded photographs in memory; and the
peak memory of the process, which includes tables and figures at the end. It needs Linux, because it reads /proc.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras_dr as dr
from edge_demo.results import encode_outcomes
from keras_dr.core.folders import write_bytes
from keras_dr.synthetic.photographs import synthesise

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
STAGES = ("prepare", "predict", "evaluate")
DRAWN = 200  # photographs that are drawn; the others are made from them
TRAINED_ON = 60
RECORDS = 200  # per stage
HEIGHT = 96
WIDTH = 128
PAGE = os.sysconf("SC_PAGE_SIZE")


def write_photographs(target: Path, count: int) -> None:
    """Write `count` photographs, none of which is a copy of another, and labels.csv."""
    (target / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,grade"]
    drawn = [synthesise(seed, seed % 5, size=(HEIGHT, WIDTH)).image[..., ::-1] for seed in range(min(count, DRAWN))]
    for number in range(count):
        # a rotation by some degrees and another brightness make a photograph that does not count as a copy
        angle = float(number // DRAWN) * 25
        rotation = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, rng.uniform(0.9, 1))
        image = cv2.warpAffine(np.ascontiguousarray(drawn[number % DRAWN]), rotation, (WIDTH, HEIGHT))
        noisy = image * rng.uniform(0.8, 1.1) + rng.normal(0, 2, (HEIGHT, WIDTH, 1)) * (image > 8)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        cv2.imwrite(str(target / "images" / f"{number:06d}.jpg"), pixels, (cv2.IMWRITE_JPEG_QUALITY, 85))
        lines.append(f"images/{number:06d}.jpg,{number % DRAWN % 5}")
    (target / "labels.csv").write_text("\n".join(lines) + "\n")


def resident_kib(pid: int | str = "self") -> float:
    """Return the resident memory of a process and all its descendants."""
    total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1024
    children = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split()
    for child in children:
        try:
            total += resident_kib(child)
        except OSError:  # it has ended
            continue
    return total


class Recorder:
    """A progress function that records the memory at regular steps.

    Args:
        file: the file to write "photographs,KiB" to.
        photographs_per_step: number of photographs in a step of the progress.
    """

    def __init__(self, file: Path, photographs_per_step: int = 1) -> None:
        self.stream = file.open("w")
        self.photographs_per_step = photographs_per_step
        self.last = -1

    def __call__(self, done: int, total: int, text: str = "") -> None:
        record = done * RECORDS // total
        if record > self.last:
            self.last = record
            print(f"{done * self.photographs_per_step},{resident_kib()}", file=self.stream, flush=True)


def do_prepare(work: Path, size: int, workers: int, recorder: Recorder) -> None:
    dr.prepare(work / "source", work / "set", size=size, workers=workers, progress=recorder)


def do_predict(work: Path, size: int, workers: int, recorder: Recorder) -> None:
    graded = dr.predict(work / "run", [work / "source" / "images"], progress=recorder)
    write_bytes(work / "predictions.csv", encode_outcomes(graded.bundle, graded.outcomes))


def do_evaluate(work: Path, size: int, workers: int, recorder: Recorder) -> None:
    recorder.photographs_per_step = 16
    dr.evaluate(work / "run", work / "set", split="all", progress=recorder)


def train(work: Path, size: int, workers: int, recorder: Recorder) -> None:
    """Train a grader on the first photographs, and let `predict` make its TFLite file."""
    write_photographs(work / "first", TRAINED_ON)
    data = dr.prepare(work / "first", work / "first-set", size=size, workers=0)
    phase = {"epochs": 1, "learning_rate": 1e-3}
    recipe = dr.Recipe.load(backbone="tiny", weights="none", frozen=phase, finetune=phase)
    run = dr.train(data, work / "run", recipe)
    dr.predict(run.folder, [work / "first" / "images" / "000000.jpg"])


WORK: dict[str, Callable[[Path, int, int, Recorder], None]] = {
    "train": train,
    "prepare": do_prepare,
    "predict": do_predict,
    "evaluate": do_evaluate,
}


def start(stage: str, work: Path, arguments: argparse.Namespace) -> None:
    """Run a stage in a process of its own."""
    words = [sys.executable, __file__, "--inside", stage, "--work", str(work)]
    words += ["--size", str(arguments.size), "--workers", str(arguments.workers)]
    subprocess.run(words, check=True, env=os.environ | QUIET)


def measure(stage: str, work: Path, arguments: argparse.Namespace) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Run a stage; return its records (n, 2) of photographs and KiB, and its seconds and peaks in MiB."""
    start(stage, work, arguments)
    with (work / f"{stage}.csv").open() as stream:
        records = np.array([[float(cell) for cell in row] for row in csv.reader(stream)])
    return records, json.loads((work / f"{stage}.json").read_text())


def inside(stage: str, arguments: argparse.Namespace) -> None:
    """Run a stage in this process, and write its records."""
    start_time = perf_counter()
    WORK[stage](arguments.work, arguments.size, arguments.workers, Recorder(arguments.work / f"{stage}.csv"))
    totals = {
        "seconds": perf_counter() - start_time,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "largest_child_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    (arguments.work / f"{stage}.json").write_text(json.dumps(totals))


def slope_kib(records: NDArray[np.float64]) -> float:
    """Return KiB per 1,000 photographs, by least squares over the records after the first fifth."""
    late = records[records[:, 0] > records[-1, 0] / 5]
    return float(np.polyfit(late[:, 0] / 1000, late[:, 1], 1)[0])


def plot(file: Path, stages: dict[str, NDArray[np.float64]]) -> None:
    """Plot memory against photographs, with one panel per stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figsize = (4 * len(stages), 3.2)
    figure, panels = pyplot.subplots(1, len(stages), figsize=figsize, squeeze=False, layout="constrained")
    for panel, (stage, records) in zip(panels[0], stages.items(), strict=True):
        panel.plot(records[:, 0], records[:, 1] / 1024)
        panel.set(
            title=f"{stage}: {slope_kib(records):.0f} KiB per 1,000",
            xlabel="photographs",
            ylim=(0, records[:, 1].max() / 1024 * 1.2),
        )
    panels[0, 0].set_ylabel("resident memory, MiB")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("count", 20000), ("size", 64), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--plot", type=Path, default=Path("streaming_memory.png"))
    parser.add_argument("--inside", choices=list(WORK), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside, arguments)
        return
    decoded_kib = arguments.size**2 * 3 * 1000 / 1024
    print(
        f"{arguments.count} photographs of {HEIGHT} x {WIDTH}, prepared at {arguments.size}; "
        f"1,000 decoded photographs: {decoded_kib:.0f} KiB"
    )
    print(f"{'':9} {'KiB per 1,000':>14} {'ratio':>8} {'peak MiB':>9} {'child MiB':>10} {'seconds':>8}", flush=True)
    records = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_photographs(work / "source", arguments.count)
        if set(arguments.stages) - {"prepare"}:
            start("train", work, arguments)
        for stage in STAGES:
            if stage in arguments.stages or (stage == "prepare" and "evaluate" in arguments.stages):
                records[stage], totals = measure(stage, work, arguments)
                slope = slope_kib(records[stage])
                figures = f"{slope:14.1f} {slope / decoded_kib:8.4f} {totals['peak_mib']:9.0f}"
                print(f"{stage:9} {figures} {totals['largest_child_mib']:10.0f} {totals['seconds']:8.0f}", flush=True)
                plot(arguments.plot, records)
    print(f"Plot: {arguments.plot}")


if __name__ == "__main__":
    main()
