"""How long one photograph takes from file bytes to the model's input, against other ways to do it, on one core.

    python benchmarks/prepare.py FOLDER [--sizes 224 448] [--repeats 5]

Prints a table a size. Every way takes its turn on every photograph within each repeat, so that whatever else the
machine does falls on all of them alike; a way's time for a photograph is its median over the repeats (and, less
noisy, its minimum), and a line of the table is the median over the photographs.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import common
import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.preprocessing import Preprocessing, prepare_image, read_photograph

REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
OURS, OURS_ENHANCED = "ours, enhance none", "ours, enhance clahe+green"
PUBLISHED, REDUCED_DECODE, FULL_DECODE = "published order at full size", "bare reduced decode", "bare full decode"
GOAL_PUBLISHED, GOAL_DECODE = 20, 1.6


def decode(data: bytes, mode: int) -> NDArray[np.uint8]:
    """OpenCV's decoder and nothing else, uint8 BGR (H, W, 3)."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), mode)


def published(data: bytes, size: int) -> NDArray[np.uint8]:
    """The steps of dr-xai in its authors' order, all at the photograph's full size, resized last.

    Circular mask (green channel, median 9, Otsu, 9x9 opening, largest contour, circle of .98 radius), CLAHE on L (clip
    limit 2.0, 8x8 tiles), green emphasis (.1 R + .8 G + .1 B on all three channels); each by OpenCV's own function.
    """
    image = cv2.cvtColor(decode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    smooth = cv2.medianBlur(np.ascontiguousarray(image[..., 1]), 9)
    _, mask = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    (x, y), radius = cv2.minEnclosingCircle(max(contours, key=cv2.contourArea))
    circle = cv2.circle(np.zeros_like(mask), (round(x), round(y)), round(0.98 * radius), 255, -1)
    lab = cv2.cvtColor(cv2.bitwise_and(image, image, mask=circle), cv2.COLOR_RGB2LAB)
    lightness, a, b = cv2.split(lab)
    lightness = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lightness)
    enhanced = cv2.cvtColor(cv2.merge([lightness, a, b]), cv2.COLOR_LAB2RGB)
    green = cv2.transform(enhanced, np.full((3, 3), [0.1, 0.8, 0.1], np.float32))
    return cv2.resize(green, (size, size), interpolation=cv2.INTER_AREA)


def ways(size: int, reduction: int) -> dict[str, Callable[[bytes], object]]:
    """What is timed: name -> function of a file's bytes."""
    return {
        OURS: partial(prepare_image, spec=Preprocessing(size)),
        OURS_ENHANCED: partial(prepare_image, spec=Preprocessing(size, "clahe+green")),
        PUBLISHED: partial(published, size=size),
        REDUCED_DECODE: partial(decode, mode=REDUCED[reduction]),
        FULL_DECODE: partial(decode, mode=cv2.IMREAD_COLOR),
    }


def measure(files: list[bytes], timed: dict[str, Callable[[bytes], object]], repeats: int) -> NDArray[np.float64]:
    """Milliseconds, float64 (repeats, files, ways), after one round that is not counted."""
    times_ms = np.empty((repeats + 1, len(files), len(timed)))
    for repeat in range(repeats + 1):
        for number, data in enumerate(files):
            for column, way in enumerate(timed.values()):
                start = perf_counter()
                way(data)
                times_ms[repeat, number, column] = (perf_counter() - start) * 1000
    return times_ms[1:]


def table(names: list[str], times_ms: NDArray[np.float64]) -> str:
    """A line a way: median and minimum over the repeats, and how many times as long as `OURS` each takes."""
    median, least = np.median(times_ms, axis=0), times_ms.min(axis=0)  # (files, ways)
    lines = [f"{'':30} {'median ms':>10} {'least ms':>10} {'times ours':>11} {'(least)':>9}"]
    for column, name in enumerate(names):
        ratios = [np.median(times[:, column] / times[:, 0]) for times in (median, least)]
        values = np.median(median[:, column]), np.median(least[:, column])
        lines.append(f"{name:30} {values[0]:10.2f} {values[1]:10.2f} {ratios[0]:11.3f} {ratios[1]:9.3f}")
    return "\n".join(lines)


def report(names: list[str], times_ms: NDArray[np.float64], size: int) -> None:
    """A ratio a photograph against the published order and the bare decode."""
    ours, theirs, decoded = (
        np.median(times_ms, axis=0)[:, names.index(name)] for name in (OURS, PUBLISHED, REDUCED_DECODE)
    )
    common.report(f"a photograph at {size}, published / ours", PUBLISHED, theirs / ours, at_least=GOAL_PUBLISHED)
    common.report(f"a photograph at {size}, ours / decode", REDUCED_DECODE, ours / decoded, at_most=GOAL_DECODE)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, repeats=5)
    parser.add_argument("folder", type=Path, help="JPEG photographs of one size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 448])
    arguments = parser.parse_args()
    files = [path.read_bytes() for path in sorted(arguments.folder.glob("*.jpg"))]
    if not files:
        parser.error(f"no .jpg files in {arguments.folder}")
    cv2.setNumThreads(1)
    print(f"{len(files)} photographs, {arguments.repeats} repeats, 1 thread, OpenCV {cv2.__version__}")
    for size in arguments.sizes:
        photograph = read_photograph(files[0], Preprocessing(size))
        height, width = photograph.shape
        if photograph.reduction == 1:
            print(f"\n{size}: {width} x {height} photographs are not reduced for it")
            continue
        timed = ways(size, photograph.reduction)
        print(f"\n{width} x {height} -> {size} x {size}, decoded at 1/{photograph.reduction}")
        times_ms = measure(files, timed, arguments.repeats)
        print(table(list(timed), times_ms))
        report(list(timed), times_ms, size)


if __name__ == "__main__":
    main()
