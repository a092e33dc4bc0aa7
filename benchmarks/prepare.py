"""Time per photograph from file bytes to the model's input on one core, compared with other ways to prepare it.

    python benchmarks/prepare.py FOLDER [--sizes 224 448] [--repeats 5]

The benchmark prints a table for each size. In each repeat, every way takes a turn on every photograph, so that other
work on the machine affects all ways equally. The time of a way for a photograph is the median over the repeats (and the
minimum, which is less noisy); a line of the table is the median over the photographs.
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
OURS = "ours, enhance none"
OURS_ENHANCED = "ours, enhance clahe+green"
PUBLISHED = "published order at full size"
REDUCED_DECODE = "bare reduced decode"
FULL_DECODE = "bare full decode"
GOAL_PUBLISHED = 20
GOAL_DECODE = 1.6


def decode(data: bytes, mode: int) -> NDArray[np.uint8]:
    """Decode with OpenCV only; return uint8 BGR (H, W, 3)."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), mode)


def published(data: bytes, size: int) -> NDArray[np.uint8]:
    """Prepare a photograph by the steps of dr-xai in its authors' order: all at full size, and resized last.

    Circular mask (green channel, median 9, Otsu, 9x9 opening, largest contour, circle of .98 radius), CLAHE on L (clip
    limit 2.0, 8x8 tiles), green emphasis (.1 R + .8 G + .1 B on all three channels); each with OpenCV's own function.
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
    """Return the ways to time: name -> function of a file's bytes."""
    return {
        OURS: partial(prepare_image, spec=Preprocessing(size)),
        OURS_ENHANCED: partial(prepare_image, spec=Preprocessing(size, "clahe+green")),
        PUBLISHED: partial(published, size=size),
        REDUCED_DECODE: partial(decode, mode=REDUCED[reduction]),
        FULL_DECODE: partial(decode, mode=cv2.IMREAD_COLOR),
    }


def measure(files: list[bytes], timed: dict[str, Callable[[bytes], object]], repeats: int) -> NDArray[np.float64]:
    """Return milliseconds, float64 (repeats, files, ways); a first round is not counted."""
    times_ms = np.empty((repeats + 1, len(files), len(timed)))
    for repeat in range(repeats + 1):
        for number, data in enumerate(files):
            for column, way in enumerate(timed.values()):
                start = perf_counter()
                way(data)
                times_ms[repeat, number, column] = (perf_counter() - start) * 1000
    return times_ms[1:]


def table(names: list[str], times_ms: NDArray[np.float64]) -> str:
    """Return a line per way: median and minimum over the repeats, and their ratios to those of `OURS`."""
    medians = np.median(times_ms, axis=0)  # (files, ways)
    minima = times_ms.min(axis=0)
    lines = [f"{'':30} {'median ms':>10} {'least ms':>10} {'times ours':>11} {'(least)':>9}"]
    for column, name in enumerate(names):
        median_ratio = np.median(medians[:, column] / medians[:, 0])
        least_ratio = np.median(minima[:, column] / minima[:, 0])
        median_ms = np.median(medians[:, column])
        least_ms = np.median(minima[:, column])
        lines.append(f"{name:30} {median_ms:10.2f} {least_ms:10.2f} {median_ratio:11.3f} {least_ratio:9.3f}")
    return "\n".join(lines)


def report(names: list[str], times_ms: NDArray[np.float64], size: int) -> None:
    """Report a ratio per photograph to the published order and to the bare decode."""
    medians = np.median(times_ms, axis=0)
    ours_ms = medians[:, names.index(OURS)]
    published_ms = medians[:, names.index(PUBLISHED)]
    decode_ms = medians[:, names.index(REDUCED_DECODE)]
    published_ratio = published_ms / ours_ms
    common.report(f"a photograph at {size}, published / ours", PUBLISHED, published_ratio, at_least=GOAL_PUBLISHED)
    common.report(f"a photograph at {size}, ours / decode", REDUCED_DECODE, ours_ms / decode_ms, at_most=GOAL_DECODE)


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, repeats=5)
    parser.add_argument("folder", type=Path, help="JPEG photographs of one size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 448])
    arguments = parser.parse_args()
    files = [path.read_bytes() for path in sorted(arguments.folder.glob("*.jpg"))]
    if not files:
        parser.error(f"there are no .jpg files in {arguments.folder}")
    cv2.setNumThreads(1)
    print(f"{len(files)} photographs, {arguments.repeats} repeats, 1 thread, OpenCV {cv2.__version__}")
    for size in arguments.sizes:
        photograph = read_photograph(files[0], Preprocessing(size))
        height, width = photograph.shape
        if photograph.reduction == 1:
            print(f"\n{size}: photographs of {width} x {height} are too small to be decoded at reduced scale")
            continue
        timed = ways(size, photograph.reduction)
        print(f"\n{width} x {height} -> {size} x {size}, decoded at 1/{photograph.reduction}")
        times_ms = measure(files, timed, arguments.repeats)
        print(table(list(timed), times_ms))
        report(list(timed), times_ms, size)


if __name__ == "__main__":
    main()
