"""The largest differences between the page in Chromium and `edge_demo`, on photographs of a Prepared set.

    python benchmarks/page_agreement.py PREPARED [BUNDLE] [--split val] [--count 20] [--variant int8] [--without-fma]

Both decode, prepare and grade the original files, with one thread each. The prepared pixels must be equal. A heat map's
difference is a share of its range. Without BUNDLE, the shipped grader is compared. With --without-fma, the browser does
as on a processor that cannot multiply and add in one step. Needs Node 20 and Chromium.
"""

import argparse
import base64
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np

import keras_dr as dr
from keras_dr.core.folders import read_json

sys.path.insert(0, str(common.ROOT / "tests" / "helpers"))

WITHOUT_FMA = "--js-flags=--no-enable-fma3"  # of V8, Chromium's engine, on x86-64
PATIENCE_MS = 550_000  # a busy machine may take minutes to start the browser


def original_files(prepared: Path, split: str, count: int) -> list[Path]:
    """Return the original files of the first photographs of a split."""
    source = prepared / read_json(prepared / "prepared.json")["source"]
    with (prepared / "manifest.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == split]
    return [(source / row["source"]).resolve() for row in rows[:count]]


def page_outputs(site: Path, files: list[Path], variant: str, build: str, flags: list[str]) -> dict[str, Any]:
    """Return what the page's model gives for each file."""
    from web_page import use_page

    steps: list[list[Any]] = [["open", None], ["outputs", [[str(file) for file in files], variant, "outputs"]]]
    with tempfile.TemporaryDirectory() as folder:
        result = use_page(site, Path(folder), steps, search=f"?build={build}", flags=flags, timeout=PATIENCE_MS)
    outputs: dict[str, Any] = result["outputs"]
    return outputs


def main() -> None:
    """Parse, grade on both sides, print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("bundle", nargs="?", default="idrid-lite")
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--build", default="relaxed SIMD")
    parser.add_argument("--without-fma", action="store_true")
    arguments = parser.parse_args()
    flags = [WITHOUT_FMA] if arguments.without_fma else []
    files = original_files(arguments.prepared, arguments.split, arguments.count)
    with tempfile.TemporaryDirectory() as folder:
        site = dr.export_web(arguments.bundle, Path(folder) / "site")
        outputs = page_outputs(site, files, arguments.variant, arguments.build, flags)
    grader = dr.Grader(arguments.bundle, arguments.variant, threads=1)
    differences = []
    for file, shown in zip(files, outputs["photographs"], strict=True):
        prepared = grader.prepare(grader.decode(file.read_bytes())).image
        same_pixels = base64.b64decode(shown["prepared"]) == prepared.tobytes()
        probabilities, heatmaps = grader.invoke(prepared)
        of_probabilities = float(np.abs(np.array(shown["probabilities"]) - probabilities).max())
        of_heatmaps = float(np.abs(np.reshape(shown["heatmaps"], heatmaps.shape) - heatmaps).max() / np.ptp(heatmaps))
        differences.append((of_probabilities, of_heatmaps))
        pixels = "equal" if same_pixels else "DIFFERENT"
        print(f"{file.name}: pixels {pixels}, probabilities {of_probabilities:.1e}, heat maps {of_heatmaps:.1e}")
    largest = np.max(differences, axis=0)
    print(
        f"{arguments.variant}, build {outputs['build']!r}, {len(files)} photographs; largest differences: "
        f"probabilities {largest[0]:.1e}, heat maps {largest[1]:.1e} of their range"
    )


if __name__ == "__main__":
    main()
