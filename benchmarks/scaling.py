"""Cost of a photograph on one core, step by step, and of a million photographs; comparison of the engines.

    python benchmarks/scaling.py BUNDLE FOLDER [--count 400] [--engines]

Steps are timed in seconds of processor time of this process (`time.process_time`) on one thread, on which other
programs have little effect. --engines adds the work of all processes of `predict --engine litert`, of `--engine ray` on
this machine's cores, and of the named peer, a Ray Data pipeline with the same grader (`from_items`, `map` with actors).
The work is measured from the first photographs' results to the last, so that the start of Ray is not included; it is
printed separately.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import mean
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

import keras_dr as dr
from edge_demo.grader import read_bytes
from edge_demo.photographs import grade_file
from edge_demo.results import column_types, table_row
from keras_dr.core.image_files import find_images
from keras_dr.core.machine import usable_cores
from keras_dr.datasets.records import Record
from keras_dr.prediction.cluster import grade_on_cluster
from keras_dr.prediction.parts import write_part
from keras_dr.preparation.duplicates import near_pairs
from keras_dr.preparation.photograph import write_photograph
from keras_dr.workers.ray_cluster import connected

COUNTS = (1_000_000, 100_000_000)


def steps(bundle: dr.Bundle, images: list[Path], folder: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the core seconds per photograph of each step, without the first photograph, and the result rows."""
    grader = dr.Grader(bundle, threads=1)
    times: dict[str, list[float]] = {}
    rows = []
    (folder / "images").mkdir()

    def timed(step: str, work: Callable[..., Any], *values: Any, **named: Any) -> Any:
        start = process_time()
        result = work(*values, **named)
        times.setdefault(step, []).append(process_time() - start)
        return result

    for image in images:
        data = timed("read", read_bytes, image)
        photograph = timed("decode, find fundus", grader.decode, data)
        prepared = timed("crop, resize, judge", grader.prepare, photograph)
        outputs = timed("model", grader.invoke, prepared[0])
        rows.append(table_row(timed("conclude", grader.conclude, str(image), prepared, outputs)))
        record = Record(image.stem, image, None)
        timed("prepare", write_photograph, record, source=folder, folder=folder, spec=bundle.preprocessing)
    return {step: mean(seconds[1:]) for step, seconds in times.items()}, rows


def pair_seconds(count: int = 16384) -> float:
    """Return the core seconds in which `prepare` compares the hashes of two photographs, unchanged and mirrored."""
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32).hex() for _ in range(count)]
    start = process_time()
    for mirrored in (False, True):
        near_pairs(hashes, mirrored=mirrored)
    return (process_time() - start) / (count**2 / 2)


def sizes(bundle: dr.Bundle, images: list[Path], rows: list[dict[str, Any]], folder: Path) -> dict[str, float]:
    """Return bytes per photograph: as published, prepared, and as a row of each table, with its share of the header."""
    for suffix in ("parquet", "csv"):
        write_part(folder / f"rows.{suffix}", column_types(bundle), rows)
    return {
        "published": mean(image.stat().st_size for image in images),
        "prepared PNG": mean(file.stat().st_size for file in (folder / "images").iterdir()),
        "row, Parquet": (folder / "rows.parquet").stat().st_size / len(rows),
        "row, CSV": (folder / "rows.csv").stat().st_size / len(rows),
    }


class Peer:
    """The class of Ray Data's actors."""

    def __init__(self, bundle: Path) -> None:
        cv2.setNumThreads(1)
        self.grader = dr.Grader(bundle, threads=1)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        return table_row(grade_file(self.grader, Path(row["path"])))


@dataclass(frozen=True)
class Progress:
    """The work until a number of photographs is graded.

    Attributes:
        photographs: their number.
        clock_s: the clock.
        grading_s: core seconds of this process and of those that grade.
        ray_s: core seconds of Ray's other processes, which work a little all the time.
    """

    photographs: int
    clock_s: float
    grading_s: float
    ray_s: float


@dataclass
class Watch:
    """Records the progress of an engine."""

    records: list[Progress] = field(default_factory=list)

    def record(self, done: int, total: int = 0) -> None:
        """Record the progress; called with the number of photographs that are graded."""
        import ray  # noqa: F401 # makes its copy of psutil importable

        psutil = import_module("psutil")
        grading_s = process_time()
        ray_s = 0.0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                core_seconds = sum(process.cpu_times()[:2])
                if "Worker" in process.cmdline()[0]:
                    grading_s += core_seconds
                else:
                    ray_s += core_seconds
        if done:
            self.records.append(Progress(done, perf_counter(), grading_s, ray_s))

    def rates(self) -> tuple[float, float, float]:
        """Return photographs per second, core seconds per photograph, and the cores that Ray itself uses."""
        first = self.records[0]
        last = self.records[-1]
        count = last.photographs - first.photographs
        seconds = last.clock_s - first.clock_s
        return count / seconds, (last.grading_s - first.grading_s) / count, (last.ray_s - first.ray_s) / seconds


def by_ray_data(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    with connected(None, cores) as ray:
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"path": str(image)} for image in images], override_num_blocks=len(images) // size)
        graded = rows.map(Peer, fn_constructor_args=(bundle,), concurrency=cores, num_cpus=1)
        done = 0
        for batch in graded.iter_batches(batch_size=None, prefetch_batches=0):
            done += len(batch["path"])
            watch.record(done)


def by_ray(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    grade_on_cluster(bundle, images, folder / "ours.parquet", workers=cores, part_size=size, progress=watch.record)


def by_threads(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    dr.predict(bundle, images, progress=lambda done, total: watch.record(done) if done % size == 0 else None)


def engines(bundle: Path, images: list[Path], folder: Path) -> None:
    """Run each engine once, and print its work compared with the first."""
    cores = usable_cores()
    part_size = 8
    litert_s = 0.0
    for name, work in {"litert": by_threads, "ray": by_ray, "Ray Data": by_ray_data}.items():
        watch = Watch()
        start = perf_counter()
        work(bundle, images, cores, part_size, folder, watch)
        per_second, core_seconds, ray_cores = watch.rates()
        litert_s = litert_s or core_seconds
        first_results_s = watch.records[0].clock_s - start
        print(
            f"{name:9} {1000 * core_seconds:6.1f} core ms per photograph, {core_seconds / litert_s:.2f} of litert, "
            f"in addition to {ray_cores:.2f} cores that Ray uses; {per_second:.1f} per second on {cores} cores, "
            f"first results after {first_results_s:.0f} s",
            flush=True,
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--engines", action="store_true", help="compare the engines as well")
    arguments = parser.parse_args()
    images = list(find_images([arguments.folder]))[: arguments.count]
    bundle = dr.Bundle.load(arguments.bundle)
    print(f"{len(images)} photographs, {bundle.default_variant()} at {bundle.preprocessing.size} pixels")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cv2.setNumThreads(1)
        costs, rows = steps(bundle, images, folder)
        grade_s = sum(seconds for step, seconds in costs.items() if step != "prepare")
        for step, seconds in (costs | {"grade, all steps": grade_s}).items():
            hours = "".join(f"{seconds * count / 3600:12,.0f} core hours" for count in COUNTS)
            print(f"{step:22} {1000 * seconds:7.1f} ms {hours}")
        pair_s = pair_seconds()
        hours = "".join(f"{pair_s * count**2 / 2 / 3600:12,.0f} core hours" for count in COUNTS)
        print(f"{'prepare: find copies':22} {1e9 * pair_s:7.1f} ns {hours}, because all pairs are compared")
        for what, size in sizes(bundle, images, rows, folder).items():
            space = "".join(f"{size * count / 1e9:12,.1f} GB" for count in COUNTS)
            print(f"{what:22} {size:9,.0f} B {space}")
        if arguments.engines:
            engines(arguments.bundle, images, folder)
    counts = " and ".join(f"{count:,}" for count in COUNTS)
    print(f"columns: one photograph, {counts} photographs; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
