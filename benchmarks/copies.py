"""How well keras_dr/preparation/duplicates.py distinguishes copies of a photograph from photographs of other eyes.

    python benchmarks/copies.py FOLDER [--size 224] [--count 516]

Each photograph is copied in ten ways (JPEG quality 50 to 95, scaled by .5 to 2, brightness times .85 to 1.15, all three
together), and also mirrored. The benchmark prints the number of bits in which the hashes differ, and the correlation of
the signatures: for each photograph and its copies, and for all pairs of different photographs, unchanged and with one
of them mirrored.
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
    (1, 1, 50),
    (1, 1, 75),
    (1, 1, 95),
    (0.5, 1, 90),
    (0.75, 1, 90),
    (2, 1, 90),
    (1, 0.85, 90),
    (1, 1.15, 90),
    (0.5, 0.85, 60),
    (1.5, 1.15, 60),
)
Fingerprint = tuple[str, NDArray[np.float32]]  # hash, signature


def fingerprint(data: bytes, size: int) -> Fingerprint:
    """Return the hash and the signature by which copies of a photograph are found."""
    square = copy_square(read_photograph(data, Preprocessing(size)))
    if square is None:
        raise SystemExit("These photographs are too small to find near copies.")
    return perceptual_hash(square), signature(square)


def mirrored(photographs: list[Fingerprint]) -> list[Fingerprint]:
    """Return the fingerprints of the mirrored photographs."""
    return [(mirrored_hash(text), mirrored_signature(values)) for text, values in photographs]


def changed_copy(image: NDArray[np.uint8], scale: float, gain: float, quality: int) -> bytes:
    """Return the JPEG bytes of a changed copy of uint8 BGR (H, W, 3)."""
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation)
    brighter = cv2.convertScaleAbs(image, alpha=gain)
    return cv2.imencode(".jpg", brighter, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def line(name: str, bits: NDArray[np.int64], correlation: NDArray[np.float32]) -> str:
    """Return extremes and medians of (n,) pairs, and the number of pairs that count as copies."""
    called_copies = int(((bits <= MOST_BITS) & (correlation >= LEAST_CORRELATION)).sum())
    return (
        f"{name:28} {len(bits):7} {bits.min():6.0f} {np.median(bits):6.0f} {bits.max():6.0f} "
        f"{correlation.min():8.3f} {np.median(correlation):8.3f} {correlation.max():8.3f} {called_copies:8}"
    )


def copy_line(name: str, first: list[Fingerprint], second: list[Fingerprint]) -> str:
    """Return the line for photographs and their copies, in the same order."""
    bits = np.array([differing_bits(a, b) for (a, _), (b, _) in zip(first, second, strict=True)])
    return line(name, bits, np.array([a @ b for (_, a), (_, b) in zip(first, second, strict=True)]))


def different_line(name: str, first: list[Fingerprint], second: list[Fingerprint]) -> str:
    """Return the line for all pairs of different photographs."""
    bits = np.array([[differing_bits(a, b) for b, _ in second] for a, _ in first])
    first_signatures = np.stack([values for _, values in first])
    second_signatures = np.stack([values for _, values in second])
    correlation = first_signatures @ second_signatures.T
    upper = np.triu_indices(len(first), 1)
    return line(name, bits[upper], correlation[upper])


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, size=224, count=516)
    parser.add_argument("folder", type=Path, help="a published data set")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    files = [read_bytes(record) for record in read_records(arguments.folder)[1][: arguments.count]]
    originals = [fingerprint(data, arguments.size) for data in files]
    signatures = [values for _, values in originals]
    pairs = {tuple(pair) for pair in near_pairs([text for text, _ in originals]).tolist()}
    repeated = {second for first, second in pairs if signatures[first] @ signatures[second] >= LEAST_CORRELATION}
    distinct = [original for index, original in enumerate(originals) if index not in repeated]
    print(f"{len(files)} photographs; {len(repeated)} are copies of another photograph and left out below")
    copies: list[list[Fingerprint]] = [[] for _ in COPIES]
    flipped: list[Fingerprint] = []
    for data in files:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        for fingerprints, change in zip(copies, COPIES, strict=True):
            fingerprints.append(fingerprint(changed_copy(image, *change), arguments.size))
        flipped.append(fingerprint(changed_copy(cv2.flip(image, 1), 1, 1, 90), arguments.size))
    print(
        f"{'':28} {'pairs':>7} {'different bits: least, median, most':>20} correlation: least, median, most  "
        "called copies"
    )
    print(copy_line("copies", originals * len(COPIES), list(chain.from_iterable(copies))))
    print(copy_line("mirrored copies", originals, mirrored(flipped)))
    print(different_line("different photographs", distinct, distinct))
    print(different_line("different, one mirrored", distinct, mirrored(distinct)))


if __name__ == "__main__":
    main()
