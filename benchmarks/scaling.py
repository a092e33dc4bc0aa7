"""What a photograph costs on one core, step by step, and what a million cost; the engines against each other.

    python benchmarks/scaling.py BUNDLE FOLDER [--count 400] [--engines]

Steps are timed in seconds of work of this process (`time.process_time`), one thread, so that another program on the
same cores changes little. --engines adds the work of all processes of `predict --engine litert`, of `--engine ray` on
this machine's cores, and of the named peer, a Ray Data pipeline of the same grader (`from_items`, `map` with actors):
from the first photographs' results to the last, so that starting Ray is left out; it is told apart.
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

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, read_bytes
from edge_demo.photographs import grade_file
from edge_demo.results import column_types, table_row
from keras_dr.core.image_files import find_images
from keras_dr.core.machine import usable_cores
from keras_dr.datasets.records import Record
from keras_dr.prediction.cluster import grade_on_cluster
from keras_dr.prediction.parts import write_part
from keras_dr.prediction.predict import predict
from keras_dr.preparation.duplicates import near_pairs
from keras_dr.preparation.photograph import write_photograph
from keras_dr.workers.ray_cluster import connected

MANY = (1_000_000, 100_000_000)


def steps(bundle: Bundle, images: list[Path], folder: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Core seconds a photograph of each step, where the first photograph warms up; and the rows that come out."""
    grader = Grader(bundle, threads=1)
    times: dict[str, list[float]] = {}
    rows = []
    (folder / "images").mkdir()

    def timed(name: str, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        started = process_time()
        result = work(*given, **named)
        times.setdefault(name, []).append(process_time() - started)
        return result

    for image in images:
        data = timed("read", read_bytes, image)
        photograph = timed("decode, find fundus", grader.decode, data)
        prepared = timed("crop, resize, judge", grader.prepare, photograph)
        outputs = timed("model", grader.invoke, prepared[0])
        rows.append(table_row(timed("conclude", grader.conclude, str(image), prepared, outputs)))
        record, spec = Record(image.stem, image, None), bundle.preprocessing
        timed("prepare", write_photograph, record, source=folder, folder=folder, spec=spec)
    return {name: mean(values[1:]) for name, values in times.items()}, rows


def pair_seconds(count: int = 16384) -> float:
    """Core seconds in which `prepare` compares the hashes of two photographs, as they are and mirrored."""
    numbers = np.random.default_rng(0)
    hashes = [numbers.bytes(32).hex() for _ in range(count)]
    started = process_time()
    for mirrored in (False, True):
        near_pairs(hashes, mirrored=mirrored)
    return (process_time() - started) / (count**2 / 2)


def sizes(bundle: Bundle, images: list[Path], rows: list[dict[str, Any]], folder: Path) -> dict[str, float]:
    """Bytes a photograph: as published, prepared, and as a row of each table, its share of header and footer too."""
    for ending in ("parquet", "csv"):
        write_part(folder / f"rows.{ending}", column_types(bundle), rows)
    return {
        "published": mean(image.stat().st_size for image in images),
        "prepared PNG": mean(file.stat().st_size for file in (folder / "images").iterdir()),
        "row, Parquet": (folder / "rows.parquet").stat().st_size / len(rows),
        "row, CSV": (folder / "rows.csv").stat().st_size / len(rows),
    }


class Peer:
    """What Ray Data gives each actor."""

    def __init__(self, bundle: Path) -> None:
        cv2.setNumThreads(1)
        self.grader = Grader(Bundle.load(bundle), threads=1)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        return table_row(grade_file(self.grader, Path(row["path"])))


@dataclass
class Watch:
    """When how many photographs were done, and what processes had worked until then.

    Attributes:
        seen: photographs, clock, core seconds of this process and those that grade, core seconds of Ray's others, which
            idle along whatever is done.
    """

    seen: list[tuple[int, float, float, float]] = field(default_factory=list)

    def note(self, done: int, total: int = 0) -> None:
        """Called with photographs done."""
        import ray  # noqa: F401 # which brings psutil along

        psutil = import_module("psutil")
        worked = {True: 0.0, False: 0.0}
        for one in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                worked["Worker" in one.cmdline()[0]] += sum(one.cpu_times()[:2])
        if done:
            self.seen.append((done, perf_counter(), worked[True] + process_time(), worked[False]))

    def rates(self) -> tuple[float, float, float]:
        """Photographs a second, core seconds a photograph, cores that Ray takes; from first result to last."""
        (first, began, *before), (last, ended, *after) = self.seen[0], self.seen[-1]
        count, seconds = last - first, ended - began
        return count / seconds, (after[0] - before[0]) / count, (after[1] - before[1]) / seconds


def by_ray_data(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    with connected(None, cores) as ray:
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"path": str(image)} for image in images], override_num_blocks=len(images) // size)
        graded = rows.map(Peer, fn_constructor_args=(bundle,), concurrency=cores, num_cpus=1)
        done = 0
        for batch in graded.iter_batches(batch_size=None, prefetch_batches=0):
            done += len(batch["path"])
            watch.note(done)


def by_us(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    grade_on_cluster(bundle, images, folder / "ours.parquet", workers=cores, part_size=size, progress=watch.note)


def by_threads(bundle: Path, images: list[Path], cores: int, size: int, folder: Path, watch: Watch) -> None:
    predict(bundle, images, progress=lambda done, total: watch.note(done) if done % size == 0 else None)


def engines(bundle: Path, images: list[Path], folder: Path) -> None:
    """Each engine once; the first one is what the others are compared with."""
    cores, size, before = usable_cores(), 8, 0.0
    for name, work in {"litert": by_threads, "ray": by_us, "Ray Data": by_ray_data}.items():
        watch, started = Watch(), perf_counter()
        work(bundle, images, cores, size, folder, watch)
        rate, worked, idle = watch.rates()
        before = before or worked
        print(f"{name:9} {1000 * worked:6.1f} core ms a photograph, {worked / before:.2f} of litert,", end=" ")
        print(f"beside {idle:.2f} cores that Ray takes;", end=" ")
        print(
            f"{rate:.1f} a second on {cores} cores, first results after {watch.seen[0][1] - started:.0f} s", flush=True
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--engines", action="store_true", help="compare the engines on the clock")
    given = parser.parse_args()
    images, bundle = list(find_images([given.folder]))[: given.count], Bundle.load(given.bundle)
    print(f"{len(images)} photographs, {bundle.default_variant()} at {bundle.preprocessing.size} pixels")
    with tempfile.TemporaryDirectory() as name:
        cv2.setNumThreads(1)
        costs, rows = steps(bundle, images, Path(name))
        grade = sum(seconds for step, seconds in costs.items() if step != "prepare")
        for step, seconds in (costs | {"grade, all steps": grade}).items():
            hours = "".join(f"{seconds * many / 3600:12,.0f} core hours" for many in MANY)
            print(f"{step:22} {1000 * seconds:7.1f} ms {hours}")
        pair = pair_seconds()
        hours = "".join(f"{pair * many**2 / 2 / 3600:12,.0f} core hours" for many in MANY)
        print(f"{'prepare: find copies':22} {1e9 * pair:7.1f} ns {hours}, as each is compared with each")
        for what, size in sizes(bundle, images, rows, Path(name)).items():
            space = "".join(f"{size * many / 1e9:12,.1f} GB" for many in MANY)
            print(f"{what:22} {size:9,.0f} B {space}")
        if given.engines:
            engines(given.bundle, images, Path(name))
    print(f"columns: a photograph, {' and '.join(f'{many:,}' for many in MANY)}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
