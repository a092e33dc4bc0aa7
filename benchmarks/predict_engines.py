"""Photographs a second and numbers of `predict --engine litert` against `--engine keras`, on the same run and files.

    python benchmarks/predict_engines.py RUN FOLDER [--count 40] [--repeats 3]

Both decode and prepare the photographs themselves and use all cores; a round of each before the counted ones, which
take turns. Loading is left out (Keras's is the longer).
"""

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.files import find_images
from export.predicting import _with_keras, _with_litert, bundle_of, usable_cores

GOALS = "Goals: LiteRT at least 2 times Keras, numbers equal to 1e-4."


def main() -> None:
    """Parse, grade, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    for name, default in (("count", 40), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    images = find_images([given.folder])[: given.count]
    bundle = Bundle.load(bundle_of(given.run))
    engines = {"litert": _with_litert(bundle), "keras": _with_keras(given.run, bundle)}
    print(f"{bundle.preprocessing.size} pixels, {len(images)} photographs, {usable_cores()} cores")
    seconds = {name: [] for name in engines}
    probabilities = {}
    for repeat in range(given.repeats + 1):
        for name, grade in engines.items():
            start = perf_counter()
            results = grade(images, lambda done, total: None)
            seconds[name] += [perf_counter() - start] if repeat else []
            probabilities[name] = np.array([list(result.probabilities.values()) for result in results])
    for name, times in seconds.items():
        print(f"{name:7} {1000 * min(times) / len(images):6.1f} ms a photograph (best of {given.repeats})")
    ratios = np.array(seconds["keras"]) / np.array(seconds["litert"])
    difference = np.abs(probabilities["litert"] - probabilities["keras"]).max()
    best = min(seconds["keras"]) / min(seconds["litert"])
    print(f"keras / litert: {best:.2f} by the best, {np.median(ratios):.2f} in the median of rounds")
    print(f"largest difference of a probability {difference:.1e}")
    print(GOALS)


if __name__ == "__main__":
    main()
