"""Whether the memory that prepare, predict and evaluate take grows with the number of photographs.

    python benchmarks/streaming_memory.py [--count 20000] [--size 64] [--workers 2] [--plot FILE] [--stages prepare ...]

Some drawn photographs are turned, re-lit, made noisy and re-encoded until there are `count` different ones, in a
temporary folder (TMPDIR; some 20 KiB a photograph). A grader learns from the first 60. Then each stage goes over all of
them in a process of its own, which notes along the way its resident memory and that of its children together
(pages that they share count once for each). Printed is the slope of a line fitted to what was noted after the first
fifth, in KiB per 1,000 photographs, its ratio to that of a program that holds the decoded photographs, and the most
memory that the process ever took, tables and figures at the end included. Linux: it reads /proc.
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

from keras_dr.synthetic.photographs import synthesise

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
STAGES = ("prepare", "predict", "evaluate")
DRAWN, TAUGHT, NOTES = 200, 60, 200
HEIGHT, WIDTH = 96, 128
PAGE = os.sysconf("SC_PAGE_SIZE")


def write_photographs(target: Path, count: int) -> None:
    """`count` photographs, none a copy of another, and labels.csv."""
    (target / "images").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), ["image,grade"]
    drawn = [synthesise(seed, seed % 5, size=(HEIGHT, WIDTH)).image[..., ::-1] for seed in range(min(count, DRAWN))]
    for number in range(count):
        # a turn of some degrees and another light make another photograph of it, which is no copy
        angle = float(number // DRAWN) * 25
        turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, rng.uniform(0.9, 1))
        image = cv2.warpAffine(np.ascontiguousarray(drawn[number % DRAWN]), turn, (WIDTH, HEIGHT))
        noisy = image * rng.uniform(0.8, 1.1) + rng.normal(0, 2, (HEIGHT, WIDTH, 1)) * (image > 8)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        cv2.imwrite(str(target / "images" / f"{number:06d}.jpg"), pixels, (cv2.IMWRITE_JPEG_QUALITY, 85))
        lines.append(f"images/{number:06d}.jpg,{number % DRAWN % 5}")
    (target / "labels.csv").write_text("\n".join(lines) + "\n")


def resident_kib(pid: int | str = "self") -> float:
    """Resident memory of a process and all below it."""
    own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1024
    below = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split()
    for child in below:
        try:
            own += resident_kib(child)
        except OSError:  # it ended meanwhile
            continue
    return own


class Notes:
    """A progress that notes the memory every so often.

    Args:
        file: to write "photographs,KiB" to.
        each: photographs a step of progress.
    """

    def __init__(self, file: Path, each: int = 1) -> None:
        self.stream, self.each, self.last = file.open("w"), each, -1

    def __call__(self, done: int, total: int, text: str = "") -> None:
        place = done * NOTES // total
        if place > self.last:
            self.last = place
            print(f"{done * self.each},{resident_kib()}", file=self.stream, flush=True)


def do_prepare(work: Path, size: int, workers: int, notes: Notes) -> None:
    from keras_dr.core.preprocessing import Preprocessing
    from keras_dr.datasets import read_records
    from keras_dr.preparation.prepare import prepare_records

    source = work / "source"
    name, records = read_records(source)
    prepare_records(records, source, work / "set", Preprocessing(size), dataset=name, workers=workers, progress=notes)


def do_predict(work: Path, size: int, workers: int, notes: Notes) -> None:
    from edge_demo.results import encode_outcomes
    from keras_dr.core.folders import write_bytes
    from keras_dr.core.image_files import find_images
    from keras_dr.prediction.predict import bundle_of, predict

    found = predict(bundle_of(work / "run"), list(find_images([work / "source" / "images"])), progress=notes)
    write_bytes(work / "predictions.csv", encode_outcomes(found.bundle, found.outcomes))


def do_evaluate(work: Path, size: int, workers: int, notes: Notes) -> None:
    from keras_dr.evaluation import evaluate
    from keras_dr.training.run import Run

    notes.each = 16
    run = Run.load(work / "run")
    evaluate.evaluate_photographs(run, run.prepared_set(work / "set").split("all"), "all", progress=notes)


def teach(work: Path, size: int, workers: int, notes: Notes) -> None:
    """A grader of the first photographs, and its TFLite file."""
    from keras_dr.core.preprocessing import Preprocessing
    from keras_dr.datasets import read_records
    from keras_dr.prediction.predict import bundle_of
    from keras_dr.preparation.prepare import prepare_records
    from keras_dr.preparation.prepared_set import PreparedSet
    from keras_dr.recipe import recipe_from_dict
    from keras_dr.training import train

    name, records = read_records(work / "source")
    target, spec = work / "small", Preprocessing(size)
    prepare_records(records[:TAUGHT], work / "source", target, spec, dataset=name, workers=0)
    phase = {"epochs": 1, "learning_rate": 1e-3}
    values = {"backbone": "tiny", "weights": "none", "frozen": phase, "finetune": phase}
    train.train(PreparedSet.load(target), work / "run", recipe_from_dict(values))
    bundle_of(work / "run")


WORK: dict[str, Callable[[Path, int, int, Notes], None]] = {
    "teach": teach,
    "prepare": do_prepare,
    "predict": do_predict,
    "evaluate": do_evaluate,
}


def start(stage: str, work: Path, given: argparse.Namespace) -> None:
    """Do a stage in a process of its own."""
    words = [sys.executable, __file__, "--inside", stage, "--work", str(work)]
    subprocess.run(
        [*words, "--size", str(given.size), "--workers", str(given.workers)], check=True, env=os.environ | QUIET
    )


def measure(stage: str, work: Path, given: argparse.Namespace) -> tuple[NDArray[np.float64], dict[str, float]]:
    """A stage's notes (n, 2) of photographs and KiB; its seconds, its peaks in MiB."""
    start(stage, work, given)
    with (work / f"{stage}.csv").open() as stream:
        notes = np.array([[float(cell) for cell in row] for row in csv.reader(stream)])
    return notes, json.loads((work / f"{stage}.json").read_text())


def inside(stage: str, given: argparse.Namespace) -> None:
    """Do a stage here, and write its notes."""
    started = perf_counter()
    WORK[stage](given.work, given.size, given.workers, Notes(given.work / f"{stage}.csv"))
    own, below = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    told = {"seconds": perf_counter() - started, "peak_mib": own, "largest_child_mib": below}
    (given.work / f"{stage}.json").write_text(json.dumps(told))


def slope_kib(notes: NDArray[np.float64]) -> float:
    """KiB per 1,000 photographs, least squares over what was noted after the first fifth."""
    late = notes[notes[:, 0] > notes[-1, 0] / 5]
    return float(np.polyfit(late[:, 0] / 1000, late[:, 1], 1)[0])


def plot(file: Path, noted: dict[str, NDArray[np.float64]]) -> None:
    """Memory against photographs, a panel a stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(noted), figsize=(4 * len(noted), 3.2), squeeze=False, layout="constrained")
    for panel, (stage, notes) in zip(panels[0], noted.items(), strict=True):
        panel.plot(notes[:, 0], notes[:, 1] / 1024)
        panel.set(
            title=f"{stage}: {slope_kib(notes):.0f} KiB per 1,000",
            xlabel="photographs",
            ylim=(0, notes[:, 1].max() / 1024 * 1.2),
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
    given = parser.parse_args()
    if given.inside:
        inside(given.inside, given)
        return
    held_kib = given.size**2 * 3 * 1000 / 1024
    print(
        f"{given.count} photographs of {HEIGHT} x {WIDTH}, prepared at {given.size}; held decoded: {held_kib:.0f} KiB"
    )
    print(f"{'':9} {'KiB per 1,000':>14} {'of held':>8} {'most MiB':>9} {'child MiB':>10} {'seconds':>8}", flush=True)
    noted = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_photographs(work / "source", given.count)
        if set(given.stages) - {"prepare"}:
            start("teach", work, given)
        for stage in STAGES:
            if stage in given.stages or (stage == "prepare" and "evaluate" in given.stages):
                noted[stage], told = measure(stage, work, given)
                slope = slope_kib(noted[stage])
                figures = f"{slope:14.1f} {slope / held_kib:8.4f} {told['peak_mib']:9.0f}"
                print(f"{stage:9} {figures} {told['largest_child_mib']:10.0f} {told['seconds']:8.0f}", flush=True)
                plot(given.plot, noted)
    print(f"Plot: {given.plot}")


if __name__ == "__main__":
    main()
