"""Whether the memory that `prepare` takes grows with the number of photographs.

    python benchmarks/prepare_memory.py [FOLDER] [--counts 500 2000 5000] [--workers 2]

The photographs of FOLDER (IDRiD) are reduced, turned, re-lit and re-encoded until there are enough different ones, in a
temporary folder; each number of them is prepared by a process of its own. Printed are the peaks of resident memory of
that process and of its largest worker.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import cv2
import numpy as np

from keras_dr.datasets import read_records

PHOTOGRAPHS = common.ROOT.parent / "shared" / "data" / "idrid"
HEIGHT = 192  # pixels of the re-encoded photographs
PREPARE = """
import json, resource, sys, time
from pathlib import Path
from keras_dr import preparing
from keras_dr.datasets import read_records
from keras_dr.preprocessing import Preprocessing

if __name__ == "__main__":
    started = time.perf_counter()
    name, records = read_records(Path(sys.argv[1]))
    about = preparing.prepare(
        records, Path(sys.argv[1]), Path(sys.argv[2]), Preprocessing(64), dataset=name, workers=int(sys.argv[3])
    )
    used = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([*used, time.perf_counter() - started, about["near_duplicates"]]))
"""


def write_photographs(source: Path, target: Path, count: int) -> None:
    """`count` different small photographs and their labels.csv."""
    records = read_records(source)[1]
    (target / "images").mkdir()
    rng, lines = np.random.default_rng(0), ["image,grade"]
    originals = []
    for record in records:
        image = cv2.imread(str(record.path), cv2.IMREAD_REDUCED_COLOR_2)
        width = round(HEIGHT * image.shape[1] / image.shape[0])
        originals.append((cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA), record.grade))
    for number in range(count):
        image, grade = originals[number % len(originals)]
        # a turn of some degrees makes another photograph of it, which is no copy
        turn = cv2.getRotationMatrix2D(
            (image.shape[1] / 2, HEIGHT / 2), float(number // len(originals)) * 25, rng.uniform(0.95, 1)
        )
        turned = cv2.warpAffine(image, turn, (image.shape[1], HEIGHT))
        cv2.imwrite(str(target / "images" / f"{number:06d}.jpg"), turned, (cv2.IMWRITE_JPEG_QUALITY, 85))
        lines.append(f"images/{number:06d}.jpg,{grade}")
    (target / "labels.csv").write_text("\n".join(lines) + "\n")


def measure(source: Path, target: Path, workers: int) -> tuple[float, float, float, int]:
    """Peak MiB of the process and of its largest worker, seconds, near copies."""
    script = target.with_suffix(".py")
    script.write_text(PREPARE)
    words = [sys.executable, str(script), str(source), str(target), str(workers)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(common.ROOT)})
    parent_mib, worker_mib, seconds, near = json.loads(done.stdout)
    return parent_mib, worker_mib, seconds, near


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, workers=2)
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOGRAPHS, help="a published data set")
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000, 5000])
    given = parser.parse_args()
    print(f"{'photographs':>11} {'process MiB':>12} {'worker MiB':>11} {'seconds':>8} {'near copies':>12}", flush=True)
    peaks = []
    for count in given.counts:
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary) / "source"
            source.mkdir()
            write_photographs(given.folder, source, count)
            parent_mib, worker_mib, seconds, near = measure(source, Path(temporary) / "set", given.workers)
        peaks.append((parent_mib, worker_mib))
        print(f"{count:11} {parent_mib:12.1f} {worker_mib:11.1f} {seconds:8.1f} {near:12}", flush=True)
    grown = (np.array(peaks[-1]) - peaks[0]) / max(1, given.counts[-1] - given.counts[0]) * 1024
    print(f"KiB a photograph: process {grown[0]:.1f} (its rows), worker {grown[1]:.1f} (goal: 0).")


if __name__ == "__main__":
    main()
