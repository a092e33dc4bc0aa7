"""How well copies of a photograph are told from photographs of other eyes: see keras_dr/preparation/duplicates.py.

    python benchmarks/copies.py FOLDER [--size 224] [--count 516]

Each photograph is copied in ten ways (JPEG quality 50 to 95, scaled by .5 to 2, brightness times .85 to 1.15, all
three at once) and mirrored in one more. Printed are how many bits apart the hashes lie and how far the signatures
correlate: of each photograph and its copies, and of each two different ones, as they are and one of them mirrored.
"""

from itertools import chain
from pathlib import Path

import common
import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.preprocessing import Preprocessing, read_photograph
from keras_dr.datasets import read_records
from keras_dr.datasets.records import read_bytes
from keras_dr.preparation.duplicates import (
    LEAST_CORRELATION,
    MOST_BITS,
    copy_square,
    differing_bits,
    mirrored_hash,
    mirrored_signature,
    near_pairs,
    perceptual_hash,
    signature,
)

# scale, factor of the brightness, JPEG quality
COPIES = (
    *((1, 1, 50), (1, 1, 75), (1, 1, 95), (0.5, 1, 90), (0.75, 1, 90), (2, 1, 90)),
    *((1, 0.85, 90), (1, 1.15, 90), (0.5, 0.85, 60), (1.5, 1.15, 60)),
)
Known = tuple[str, NDArray[np.float32]]  # hash, signature


def known(data: bytes, size: int) -> Known:
    """What tells a photograph's copies."""
    square = copy_square(read_photograph(data, Preprocessing(size)))
    if square is None:
        raise SystemExit("These photographs are too small for near copies to be told.")
    return perceptual_hash(square), signature(square)


def mirrored(photographs: list[Known]) -> list[Known]:
    """The same of their mirror images."""
    return [(mirrored_hash(text), mirrored_signature(values)) for text, values in photographs]


def copied(image: NDArray[np.uint8], scale: float, gain: float, quality: int) -> bytes:
    """JPEG bytes of a changed copy of uint8 BGR (H, W, 3)."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
    return cv2.imencode(".jpg", cv2.convertScaleAbs(image, alpha=gain), (cv2.IMWRITE_JPEG_QUALITY, quality))[
        1
    ].tobytes()


def line(name: str, bits: NDArray[np.int64], correlation: NDArray[np.float32]) -> str:
    """Extremes and quantiles of (n,) pairs, and how many of them count as copies."""
    both = int(((bits <= MOST_BITS) & (correlation >= LEAST_CORRELATION)).sum())
    return (
        f"{name:28} {len(bits):7} {bits.min():6.0f} {np.median(bits):6.0f} {bits.max():6.0f} "
        f"{correlation.min():8.3f} {np.median(correlation):8.3f} {correlation.max():8.3f} {both:8}"
    )


def pair_line(name: str, first: list[Known], second: list[Known]) -> str:
    """A line for photographs and their copies, one beside the other."""
    bits = np.array([differing_bits(a, b) for (a, _), (b, _) in zip(first, second, strict=True)])
    return line(name, bits, np.array([a @ b for (_, a), (_, b) in zip(first, second, strict=True)]))


def stranger_line(name: str, first: list[Known], second: list[Known]) -> str:
    """A line for all pairs of different photographs."""
    bits = np.array([[differing_bits(a, b) for b, _ in second] for a, _ in first])
    correlation = np.stack([s for _, s in first]) @ np.stack([s for _, s in second]).T
    upper = np.triu_indices(len(first), 1)
    return line(name, bits[upper], correlation[upper])


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, count=516)
    parser.add_argument("folder", type=Path, help="a published data set")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    files = [read_bytes(record) for record in read_records(given.folder)[1][: given.count]]
    originals = [known(data, given.size) for data in files]
    groups = {tuple(pair) for pair in near_pairs([h for h, _ in originals]).tolist()}
    same = {other for one, other in groups if originals[one][1] @ originals[other][1] >= LEAST_CORRELATION}
    single = [known_ for index, known_ in enumerate(originals) if index not in same]
    print(f"{len(files)} photographs, of which {len(same)} are copies of another one and left out below")
    copies: list[list[Known]] = [[] for _ in COPIES]
    flipped: list[Known] = []
    for data in files:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        for made, how in zip(copies, COPIES, strict=True):
            made.append(known(copied(image, *how), given.size))
        flipped.append(known(copied(cv2.flip(image, 1), 1, 1, 90), given.size))
    print(
        f"{'':28} {'pairs':>7} {'bits apart: least, median, most':>20} correlation: least, median, most  called copies"
    )
    print(pair_line("copies", originals * len(COPIES), list(chain.from_iterable(copies))))
    print(pair_line("mirrored copies", originals, mirrored(flipped)))
    print(stranger_line("different photographs", single, single))
    print(stranger_line("different, one mirrored", single, mirrored(single)))


if __name__ == "__main__":
    main()
