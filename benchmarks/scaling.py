"""What a photograph costs on one core, step by step, and what a million cost; the engines against each other.

    python benchmarks/scaling.py BUNDLE FOLDER [--count 60] [--engines]

Steps are timed in seconds of work of this process (`time.process_time`), one thread, so that another program on the
same cores changes little. --engines adds photographs a second on the clock: `predict --engine litert`, `--engine ray`
on this machine's cores, and the named peer, a Ray Data pipeline of the same grader (`from_items`, `map` with actors,
`write_parquet`); of both on Ray from the first photographs' results on, so that starting Ray is left out, and it is
given apart.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2

from edge_demo.bundle import Bundle
from edge_demo.files import find_images, grade_file, read_photograph
from edge_demo.grader import Grader
from edge_demo.results import table_row
from keras_dr.cluster.grading import grade_on_cluster, result_columns
from keras_dr.cluster.parts import write_part
from keras_dr.cluster.spreading import connected
from keras_dr.photograph import write_photograph
from keras_dr.records import Record

MANY = (1_000_000, 100_000_000)


def steps(bundle: Bundle, images: list[Path], folder: Path) -> dict[str, float]:
    """Core seconds a photograph of each step; the first photograph warms up."""
    grader = Grader(bundle, threads=1)
    times: dict[str, list[float]] = {}
    (folder / "images").mkdir()

    def timed(name: str, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        started = process_time()
        result = work(*given, **named)
        times.setdefault(name, []).append(process_time() - started)
        return result

    for image in images:
        data = timed("read", read_photograph, image)
        photograph = timed("decode, find fundus", grader.decode, data)
        prepared = timed("crop, resize, judge", grader.prepare, photograph)
        timed("model", grader.invoke, prepared[0])
        record, spec = Record(image.stem, image, None), bundle.preprocessing
        timed("prepare", write_photograph, record, source=folder, folder=folder, spec=spec)
    return {name: mean(values[1:]) for name, values in times.items()}


def sizes(bundle: Bundle, images: list[Path], folder: Path) -> dict[str, float]:
    """Bytes a photograph: as published, prepared, and as a row of each table."""
    grader = Grader(bundle, threads=1)
    rows = [table_row(grade_file(grader, image)) for image in images]
    for ending in ("parquet", "csv"):
        write_part(folder / f"rows.{ending}", result_columns(bundle), rows * max(1, 1000 // len(rows)))
    count = len(rows) * max(1, 1000 // len(rows))
    return {
        "published": mean(image.stat().st_size for image in images),
        "prepared PNG": mean(file.stat().st_size for file in (folder / "images").iterdir()),
        "row, Parquet": (folder / "rows.parquet").stat().st_size / count,
        "row, CSV": (folder / "rows.csv").stat().st_size / count,
    }


class Peer:
    """What Ray Data gives each actor."""

    def __init__(self, bundle: Path) -> None:
        cv2.setNumThreads(1)
        self.grader = Grader(Bundle.load(bundle), threads=1)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        return table_row(grade_file(self.grader, Path(row["path"])))


def by_ray_data(bundle: Path, images: list[Path], cores: int, size: int) -> list[tuple[float, int]]:
    with connected(None, cores) as ray:
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"path": str(image)} for image in images], override_num_blocks=len(images) // size)
        graded = rows.map(Peer, fn_constructor_args=(bundle,), concurrency=cores, num_cpus=1)
        seen, done = [], 0
        for batch in graded.iter_batches(batch_size=None, prefetch_batches=0):
            done += len(batch["path"])
            seen.append((perf_counter(), done))
    return seen


def by_us(bundle: Path, images: list[Path], cores: int, size: int, folder: Path) -> list[tuple[float, int]]:
    seen: list[tuple[float, int]] = []
    grade_on_cluster(
        bundle,
        images,
        folder / "ours.parquet",
        workers=cores,
        part_size=size,
        progress=lambda done, total: seen.append((perf_counter(), done)),
    )
    return [one for one in seen if one[1]]


def engines(bundle: Path, images: list[Path], folder: Path) -> None:
    from export.predicting import predict, usable_cores

    cores, size = usable_cores(), 8
    started = perf_counter()
    predict(bundle, images)
    local = len(images) / (perf_counter() - started)
    print(f"{'litert':9} {local:6.1f} photographs a second, {cores} cores")
    for name, work in {
        "ray": lambda: by_us(bundle, images, cores, size, folder),
        "Ray Data": lambda: by_ray_data(bundle, images, cores, size),
    }.items():
        started = perf_counter()
        seen = work()
        rate = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
        print(f"{name:9} {rate:6.1f} photographs a second, {rate / local:.2f} of litert;", end=" ")
        print(f"first results after {seen[0][0] - started:.0f} s")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--engines", action="store_true", help="compare the engines on the clock")
    given = parser.parse_args()
    images, bundle = find_images([given.folder])[: given.count], Bundle.load(given.bundle)
    print(f"{len(images)} photographs, {bundle.default_variant()} at {bundle.preprocessing.size} pixels")
    with tempfile.TemporaryDirectory() as name:
        cv2.setNumThreads(1)
        costs = steps(bundle, images, Path(name))
        grade = sum(seconds for step, seconds in costs.items() if step != "prepare")
        for step, seconds in (costs | {"grade, all steps": grade}).items():
            hours = "".join(f"{seconds * many / 3600:12,.0f} core hours" for many in MANY)
            print(f"{step:22} {1000 * seconds:7.1f} ms {hours}")
        for what, size in sizes(bundle, images, Path(name)).items():
            space = "".join(f"{size * many / 1e9:12,.1f} GB" for many in MANY)
            print(f"{what:22} {size:9,.0f} B {space}")
        if given.engines:
            engines(given.bundle, images, Path(name))
    print(f"columns: a photograph, {' and '.join(f'{many:,}' for many in MANY)}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
