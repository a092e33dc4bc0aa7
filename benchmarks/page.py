"""The page in Chromium compared with `edge_demo profile`: a whole photograph and its stages, on one thread.

    python benchmarks/page.py [BUNDLE] [--photograph FILE] [--repeats 3]

The page's own measurement (20 rounds a variant) and `edge_demo profile --threads 1` take turns on the same photograph.
The largest memory is the proportional set size of the page's process. Without BUNDLE, the shipped grader grades one of
its examples. Needs Node 20 and Chromium; Linux only.
"""

import sys
import tempfile
import threading
from pathlib import Path
from time import sleep
from typing import Any

import common
import numpy as np

import keras_dr as dr
from edge_demo.measurement import STAGES
from edge_demo.profiler import profile

sys.path.insert(0, str(common.ROOT / "tests" / "helpers"))

VARIANTS = ("float32", "int8")


class LargestMemory:
    """Watches the page's processes, as a context; `mib` is the largest proportional set size of one of them."""

    def __enter__(self) -> "LargestMemory":
        self.mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if b"--type=renderer" not in (process / "cmdline").read_bytes():
                        continue
                    lines = (process / "smaps_rollup").read_text().splitlines()
                except OSError:  # it has just ended
                    continue
                kib = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
                self.mib = max(self.mib, kib / 1024)
            sleep(0.1)


def measure_page(site: Path, photograph: Path, variant: str, search: str = "") -> dict[str, Any]:
    """Return the page's profile of a variant."""
    from web_page import use_page

    steps: list[list[Any]] = [["open", None], ["variant", variant], ["grade", [str(photograph)]], ["profile", None]]
    with tempfile.TemporaryDirectory() as folder:
        profile: dict[str, Any] = use_page(site, Path(folder), steps, search=search)["profile"]
    return profile


def measure(bundle: dr.Bundle, site: Path, photograph: Path, variant: str, repeats: int) -> None:
    """Measure in turns, and print the stages of the last round and the ratios of all."""
    ratios = []
    largest_mib = 0.0
    for _ in range(repeats):
        with LargestMemory() as memory:
            (page,) = measure_page(site, photograph, variant)["measurements"]
        largest_mib = max(largest_mib, memory.mib)
        (edge,) = profile(bundle.folder, [variant], [1], photograph.read_bytes()).measurements
        ratios.append(page["total"]["p50_ms"] / edge.total.p50_ms)
    print(f"\n{variant}, ms: median (95 %)        page       edge_demo")
    for stage in STAGES:
        print(f"  {stage:24} {page['stages'][stage]['p50_ms']:10.0f} {edge.stages[stage].p50_ms:15.0f}")
    whole = (page["total"], {"p50_ms": edge.total.p50_ms, "p95_ms": edge.total.p95_ms})
    print("  whole photograph      ", *(f"{time['p50_ms']:10.0f} ({time['p95_ms']:.0f})" for time in whole))
    memory_words = f"{largest_mib:.0f} MiB" if largest_mib else "not measured"
    print(f"  loading {page['load_ms']:.0f} ms, first result after {page['first_result_ms']:.0f} ms, "
          f"largest memory of the page's process {memory_words}", flush=True)  # fmt: skip
    common.report(f"whole photograph, {variant}, page / edge_demo", "edge_demo profile --threads 1", np.array(ratios))


def main() -> None:
    """Parse, write the site, measure."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("bundle", nargs="?", default="idrid-lite")
    parser.add_argument("--photograph", type=Path)
    arguments = parser.parse_args()
    photograph = arguments.photograph or sorted((common.ROOT / "edge_demo" / "examples").glob("*.jpg"))[0]
    bundle = dr.Bundle.load(arguments.bundle)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        dr.export_web(bundle.folder, site)
        for variant in VARIANTS:
            measure(bundle, site, photograph.resolve(), variant, arguments.repeats)


if __name__ == "__main__":
    main()
