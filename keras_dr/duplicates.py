"""Copies of one photograph: those with the same pixels, and those re-encoded, resized or made a little brighter.

Fundus photographs look so alike that common 64-bit hashes merge strangers. Here 256 bits propose pairs, and the
correlation of the high-passed prepared images decides. Measured on IDRiD (516 photographs, ten re-encoded copies of
each: JPEG quality 50 to 95, scaled by .5 to 2, brightness times .85 to 1.15, and all three at once), prepared at 224:

    pairs                              distance in bits      correlation
    5,160 copies                       median 3, most 20     least .949, median .995
    132,863 pairs of different eyes    least 41, 0.1 % 58    most .813, median .431
    7 copies within IDRiD itself       0, of one 29          1, of one .93 (darkened)
    79,800 pairs, 400 drawn eyes       least 47, 0.1 % 61    most .553, median .043

Other preparations: least correlation of copies / most of different eyes at 32 px .967/.902, at 128 px .947/.811, with
CLAHE .952/.666, with Ben Graham's enhancement .917/.756. No pair of different eyes met either of both
conditions, save that at 32 px, a size for tests, some correlate too well.

Two photographs of one eye taken in a row may count as near copies too (25 pairs in RetinaMNIST, of equal grade each).
That is as it should be: the eye belongs on one side. Mirrored copies are not recognised.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.preprocessing import Preprocessing
from keras_dr.splits import group_photographs

MOST_BITS = 40  # of 256, apart: pairs nearer than that are compared pixel by pixel
MOST_BITS_UNSEEN = 32  # where the images themselves are not `comparable`
LEAST_CORRELATION = 0.88
COLUMNS = ("group_id", "copy_of", "image_id", "split", "grade", "kind", "conflict")
_SIDE = 64  # of the square on which copies are recognised, in pixels
_BITS = 256
_BLOCK = 2048
Image = NDArray[np.uint8]


def perceptual_hash(image: Image) -> str:
    """256 bits that copies of a photograph share, but for a few.

    The signs of 16 x 16 coefficients of the cosine transform, from one to nine periods across the image, of the green
    channel less its local mean. Lower ones, which tell how a camera lights every fundus, are left out.

    Args:
        image: uint8 RGB (S, S, 3), cropped to the fundus, not enhanced: so sets of any --size and --enhance compare.

    Returns:
        64 hexadecimal digits.
    """
    coefficients = cv2.dct(_high_pass(image, sigma_px=6))[2:18, 2:18]
    return np.packbits(coefficients > 0).tobytes().hex()


def _high_pass(image: Image, sigma_px: float) -> NDArray[np.float32]:
    """float32 (64, 64): green less its Gaussian mean, 0 beyond nine tenths of the fundus's radius."""
    enlarging = image.shape[0] < _SIDE
    green = cv2.resize(image[..., 1], (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR if enlarging else cv2.INTER_AREA)
    axis = np.arange(_SIDE) - (_SIDE - 1) / 2
    inside = (np.hypot(axis[:, None], axis[None, :]) <= 0.45 * _SIDE).astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma_px), 1e-3)
    return (green - cv2.GaussianBlur(green * inside, (0, 0), sigma_px) / weight) * inside


def signature(image: Image) -> NDArray[np.float32]:
    """float32 (4096,), of length 1: the high-passed image; two signatures' scalar product is their correlation.

    Zeros for an image without structure, which then is like no other. Values are cut at three standard deviations, so
    that a single bright spot does not decide.
    """
    detail = _high_pass(image, sigma_px=3).ravel()
    spread = 3 * detail.std()
    detail = np.clip(detail, -spread, spread)
    detail = detail - detail.mean()
    return detail / max(float(np.linalg.norm(detail)), 1e-6)


def near_pairs(hashes: Sequence[str], most_bits: int = MOST_BITS) -> NDArray[np.int64]:
    """All pairs of hashes at most so many bits apart.

    Exact: with bits as -1 and 1, a scalar product says how many differ, and matrix products do it for a block of
    2,048 x 2,048 pairs at once (on two cores 20,000 hashes take 1 s, 100,000 a minute and a half).

    Args:
        hashes: n hashes, hexadecimal.
        most_bits: 0..256.

    Returns:
        int64 (m, 2), the pairs' indices, the smaller first.
    """
    if not hashes:
        return np.zeros((0, 2), np.int64)
    octets = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), _BITS // 8)
    signs = np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
    found = []
    for top in range(0, len(signs), _BLOCK):
        for left in range(top, len(signs), _BLOCK):
            agreement = signs[top : top + _BLOCK] @ signs[left : left + _BLOCK].T
            pairs = np.argwhere(agreement >= _BITS - 2 * most_bits) + (top, left)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def group_copies(
    pixels: Sequence[str],
    hashes: Sequence[str],
    image: Callable[[int], Image],
    may_compare: Callable[[int, int], bool] = lambda first, second: True,
) -> list[int]:
    """Number the photographs so that copies of one have one number.

    Args:
        pixels: n hashes of decoded pixels; equal ones are identical photographs.
        hashes: n perceptual hashes.
        image: index -> the prepared image, uint8 RGB (S, S, 3); asked for where hashes are near.
        may_compare: whether two prepared images are `comparable`; where not, their hashes decide.

    Returns:
        n numbers, counted from 0 in the order of first appearance.
    """
    first: dict[str, int] = {}
    for index, key in enumerate(pixels):
        first.setdefault(key, index)
    different = list(first.values())
    cached = lru_cache(maxsize=4096)(lambda index: signature(image(index)))
    pairs = []
    for a, b in near_pairs([hashes[index] for index in different]).tolist():
        one, other = different[a], different[b]
        if may_compare(one, other):
            alike = float(cached(one) @ cached(other)) >= LEAST_CORRELATION
        else:
            alike = bits_apart(hashes[one], hashes[other]) <= MOST_BITS_UNSEEN
        if alike:
            pairs.append((one, other))
    return group_photographs(pixels, pairs=pairs)


def comparable(first: Preprocessing, second: Preprocessing) -> bool:
    """Whether images prepared in these two ways show the same detail: enhanced alike, neither smaller than 64 px.

    Correlations of the same photographs: prepared at 224 and 128 at least .990, at 224 and 32 .769, at 224 without
    and with CLAHE .847. Their hashes differ by at most 8 bits between 224 and 128, by 27 between 224 and 32.
    """
    same_detail = first.size == second.size or min(first.size, second.size) >= _SIDE
    return first.enhance == second.enhance and same_detail


def bits_apart(first: str, second: str) -> int:
    """How many bits of two hexadecimal hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def list_copies(rows: Sequence[dict[str, Any]], copies: Sequence[int]) -> list[dict[str, Any]]:
    """A row of duplicates.csv for each photograph that has a copy, copies beside each other.

    Args:
        rows: image_id, grade and pixels_sha256 of n photographs, and what else the result shall carry.
        copies: `group_copies` of them.

    Returns:
        Their rows with copy_of (image_id of the group's first), kind ("identical": another one has the same pixels;
        else "near") and conflict ("yes": the group's grades differ; else "no").
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for row, number in zip(rows, copies, strict=True):
        groups.setdefault(number, []).append(row)
    listed = []
    for group in groups.values():
        if len(group) > 1:
            times = Counter(row["pixels_sha256"] for row in group)
            conflict = "yes" if len({str(row["grade"]) for row in group}) > 1 else "no"
            for row in group:
                kind = "identical" if times[row["pixels_sha256"]] > 1 else "near"
                listed.append(row | {"copy_of": group[0]["image_id"], "kind": kind, "conflict": conflict})
    return listed


def count_copies(listed: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts from `list_copies`: photographs beyond the first of their pixels, or of their group; groups."""
    identical = [row["pixels_sha256"] for row in listed if row["kind"] == "identical"]
    groups = {row["copy_of"]: row["conflict"] for row in listed}
    copies = len(listed) - len(groups)
    duplicates = len(identical) - len(set(identical))
    return {
        "duplicates": duplicates,
        "near_duplicates": copies - duplicates,
        "duplicate_groups": len(groups),
        "conflicting_groups": sum(conflict == "yes" for conflict in groups.values()),
    }
