"""From the start of a process to the first grade, and its peak memory: edge_demo against the same model by Keras.

    python benchmarks/edge_start.py [RUN BUNDLE] [--photograph FILE] [--size 224] [--repeats 5]

Each measurement is a fresh process; the two take turns. edge_demo: `python -m edge_demo grade` with the float32 file,
its hash and a trial of it included. Keras: load_run, its model, the same preparation and a forward pass in one Python
process, the least that grades a photograph with a run. Beside the seconds on the clock stand those that the processors
worked for it and its children, in which other programs on the machine show less. Peak memory is the process's largest
resident set; the trial of the model, a forked child that ends before the model is loaded, holds no more. Without
RUN and BUNDLE, MobileNetV2 from random weights.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import common
import numpy as np
from common import ROOT

from edge_demo.profiler import synthetic_photograph

# What Keras takes, in shares of what edge_demo takes: seconds on the clock, of work, and memory.
GOALS = {"start to first grade": 20.0, "the same in seconds of work": None, "peak memory": 7.0}
KERAS = """
import os, sys
from pathlib import Path
import numpy as np
from keras_dr.training.run import Run
from keras_dr.models.heads import probabilities
from keras_dr.core.preprocessing import prepare_image
run = Run.load(Path(sys.argv[1]))
image = prepare_image(Path(sys.argv[2]).read_bytes(), run.preprocessing)
logits = np.asarray(run.model()(image[None].astype(np.float32), training=False))
p = probabilities(logits, len(run.task.classes), run.temperature)[0]
print(run.task.classes[int(p.argmax())], p)
"""
EDGE = """
import sys
from edge_demo.__main__ import main
main(sys.argv[1:])
"""
PEAK = """
from edge_demo.measurement import peak_rss_mib
print("peak", peak_rss_mib())
"""


def measure(program: str, words: list[str]) -> tuple[float, float, float]:
    """Seconds on the clock, seconds of work, MiB at the peak."""
    before, start = os.times(), perf_counter()
    command = [sys.executable, "-c", program + PEAK, *words]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, after = perf_counter() - start, os.times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, work, float(done.stdout.rsplit("peak", 1)[1])


def make(folder: Path, size: int) -> tuple[Path, Path]:
    """A run of untrained MobileNetV2 on drawn photographs, and its float32 bundle."""
    from export.export_run import export
    from keras_dr.recipe import recipe_from_dict
    from keras_dr.training.train import train

    phase = {"epochs": 0, "learning_rate": 1e-3}
    values = {"backbone": "mobilenetv2", "weights": "none", "frozen": phase | {"epochs": 1}, "finetune": phase}
    train(common.draw_set(folder, size), folder / "run", recipe_from_dict(values))
    export(folder / "run", folder / "bundle", ("float32",), allow_drift=True)
    return folder / "run", folder / "bundle"


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, repeats=5)
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUN BUNDLE")
    parser.add_argument("--photograph", type=Path)
    given = parser.parse_args()
    if len(given.folders) not in (0, 2):
        parser.error("a run and its bundle, or neither")
    with tempfile.TemporaryDirectory() as temporary:
        run, bundle = given.folders or make(Path(temporary), given.size)
        photograph = given.photograph or Path(temporary) / "eye.jpg"
        if not given.photograph:
            photograph.write_bytes(synthetic_photograph())
        where = [str(path.resolve()) for path in (run, bundle, photograph)]
        ways = {
            "edge_demo": (EDGE, ["grade", where[1], where[2], "--variant", "float32"]),
            "Keras": (KERAS, [where[0], where[2]]),
        }
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for repeat in range(given.repeats + 1):  # the first reads the packages from the disk and is not counted
            for name, (program, words) in ways.items():
                figures = measure(program, words)
                print("{}: {:.2f} s, {:.2f} s of work, {:.0f} MiB".format(name, *figures), flush=True)
                found[name] += [figures] if repeat else []
    ratios = np.array(found["Keras"]) / np.array(found["edge_demo"])
    for column, (what, goal) in enumerate(GOALS.items()):
        common.report(f"{what}, Keras / edge_demo", "Keras", ratios[:, column], at_least=goal)


if __name__ == "__main__":
    main()
