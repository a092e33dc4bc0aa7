"""Time from the start of a process to the first grade, and its peak memory: edge_demo compared with Keras.

    python benchmarks/edge_start.py [RUN BUNDLE] [--photograph FILE] [--size 224] [--repeats 5]

Each measurement is a fresh process; the two programs take turns. edge_demo: `python -m edge_demo grade` with the
float32 file, including the check of its hash and the trial of the model. Keras: Run.load, its model, the same
preparation and a forward pass in one Python process, which is the minimum to grade a photograph with a run. In addition
to the elapsed seconds, the processor time of the process and its children is measured, on which other programs have
less effect. Peak memory is the process's largest resident set; the trial of the model, a forked child that ends before
the model is loaded, does not hold more. Without RUN and BUNDLE, MobileNetV2 with random weights is used.
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

import keras_dr as dr
from edge_demo.profiler import synthetic_photograph

# Keras's figure divided by edge_demo's: elapsed seconds, seconds of processor time, memory.
GOALS = {"start to first grade": 20.0, "the same in seconds of work": None, "peak memory": 7.0}
KERAS = """
import sys
from pathlib import Path
import numpy as np
import keras_dr as dr
from keras_dr.models.heads import probabilities
from keras_dr.core.preprocessing import prepare_image
run = dr.Run.load(sys.argv[1])
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
    """Return the elapsed seconds, the seconds of processor time, and the peak memory in MiB of a program."""
    command = [sys.executable, "-c", program + PEAK, *words]
    before = os.times()
    start = perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds = perf_counter() - start
    after = os.times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, work, float(done.stdout.rsplit("peak", 1)[1])


def make_run_and_bundle(folder: Path, size: int) -> tuple[Path, Path]:
    """Make a run of MobileNetV2 with random weights on drawn photographs, and its float32 bundle."""
    recipe = dr.Recipe.load(
        backbone="mobilenetv2",
        weights="none",
        frozen={"epochs": 1, "learning_rate": 1e-3},
        finetune={"epochs": 0, "learning_rate": 1e-3},
    )
    run = dr.train(common.draw_set(folder, size), folder / "run", recipe)
    bundle = dr.export(run, folder / "bundle", ("float32",), allow_drift=True)
    return run.folder, bundle.folder


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, repeats=5)
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUN BUNDLE")
    parser.add_argument("--photograph", type=Path)
    arguments = parser.parse_args()
    if len(arguments.folders) not in (0, 2):
        parser.error("name a run and its bundle, or neither")
    with tempfile.TemporaryDirectory() as temporary:
        run, bundle = arguments.folders or make_run_and_bundle(Path(temporary), arguments.size)
        photograph = arguments.photograph or Path(temporary) / "eye.jpg"
        if not arguments.photograph:
            photograph.write_bytes(synthetic_photograph())
        run, bundle, photograph = (str(path.resolve()) for path in (run, bundle, photograph))
        programs = {
            "edge_demo": (EDGE, ["grade", bundle, photograph, "--variant", "float32"]),
            "Keras": (KERAS, [run, photograph]),
        }
        measurements: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
        for repeat in range(arguments.repeats + 1):
            for name, (program, words) in programs.items():
                seconds, work, peak_mib = measure(program, words)
                print(f"{name}: {seconds:.2f} s, {work:.2f} s of work, {peak_mib:.0f} MiB", flush=True)
                if repeat:  # the first round reads the packages from the disk and is not counted
                    measurements[name].append((seconds, work, peak_mib))
    ratios = np.array(measurements["Keras"]) / np.array(measurements["edge_demo"])
    for column, (what, goal) in enumerate(GOALS.items()):
        common.report(f"{what}, Keras / edge_demo", "Keras", ratios[:, column], at_least=goal)


if __name__ == "__main__":
    main()
