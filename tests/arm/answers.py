"""Grades photographs with the installed wheel, and writes everything on the way to a file that `parity` compares.

It runs on both kinds of processor: `python answers.py PLAN.json ANSWERS.npz`. PLAN names the photographs, the sizes and
enhancements of preprocessing, and the bundles.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing, prepare_photograph, read_photograph


def main() -> None:
    """Answer the plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    photographs = [Path(name) for name in plan["photographs"]]
    arrays: dict[str, np.ndarray] = {}
    words: dict[str, Any] = {}
    for photograph in photographs:
        for size in plan["sizes"]:
            _prepare(photograph, size, plan["enhancements"], arrays, words)
    for folder in plan["bundles"]:
        bundle = Bundle.load(Path(folder))
        for variant in bundle.models:
            grader = Grader(bundle, variant)
            # Emulation takes seconds for each photograph with a large network.
            for photograph in photographs[:: 1 if bundle.preprocessing.size < 200 else plan["step"]]:
                _grade(grader, photograph, f"{photograph.name}|{Path(folder).name} {variant}", arrays, words)
    np.savez(sys.argv[2], words=np.array(json.dumps(words)), **arrays)


def _prepare(
    file: Path, size: int, enhancements: list[str], arrays: dict[str, np.ndarray], words: dict[str, Any]
) -> None:
    try:
        photograph = read_photograph(file.read_bytes(), Preprocessing(size))  # the same for every enhancement
        arrays[f"{file.name}|{size}|decoded"] = photograph.pixels
        for enhance in enhancements:
            image, fundus = prepare_photograph(photograph, Preprocessing(size, enhance=enhance))
            arrays[f"{file.name}|{size} {enhance}|prepared"] = image
    except KerasDrError as error:
        words[f"{file.name}|{size}|refused"] = str(error)
        return
    arrays[f"{file.name}|{size}|circle"] = np.array([fundus.x, fundus.y, fundus.radius] if fundus else [])


def _grade(grader: Grader, photograph: Path, key: str, arrays: dict[str, np.ndarray], words: dict[str, Any]) -> None:
    try:
        prepared = grader.prepare(grader.decode(photograph.read_bytes()))
    except KerasDrError as error:
        words[f"{key}|refused"] = str(error)
        return
    probabilities, heatmaps = grader.invoke(prepared[0])
    arrays[f"{key}|probabilities"] = probabilities
    arrays[f"{key}|heat maps"] = heatmaps
    said = grader.conclude(photograph.name, prepared, (probabilities, heatmaps)).to_dict()
    numbers = ("probabilities", "p_referable")
    words[f"{key}|grading"] = {name: value for name, value in said.items() if name not in numbers}


if __name__ == "__main__":
    main()
