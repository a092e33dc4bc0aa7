"""Copies of one photograph: files with the same pixels, and re-encoded, resized, mirrored or brightened ones.

Fundus photographs look so alike that common 64-bit hashes are equal for different eyes. Here 256 bits propose pairs,
and the correlation of the high-passed images decides. Both are computed on a square of 64 pixels made from the
published photograph, so --size and --enhance have no effect. Measured on IDRiD by benchmarks/copies.py (516
photographs, ten re-encoded copies of each: JPEG quality 50 to 95, scaled by .5 to 2, brightness times .85 to 1.15, and
all three at once), prepared at 224:

    pairs                              bits apart               correlation
    5,160 copies                       median 4, most 23        least .899, median .995
    516 mirrored copies                median 0, most 11        least .974, median 1
    129,286 pairs of different eyes    least 39, median 111     most .805, median .434
    the same, one of them mirrored     least 47, median 115     most .778, median .405

All copies and no pair of different eyes meet both conditions. When they are prepared at 28 pixels, for which JPEGs are
decoded at a smaller scale, one of the 5,160 copies is missed (30 bits, .860), and the most similar different eyes
correlate by .820.

A photograph whose fundus is less than 64 pixels wide (RetinaMNIST) shows too little: at 32 px, different eyes correlate
by up to .902. It has no perceptual hash, and only photographs with identical pixels count as its copies.

Two photographs of one eye, taken one after the other, may also count as near copies. This is intended: photographs of
one eye must not be in two splits.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.preprocessing import COPY_SIDE, Photograph, Preprocessing, prepare_photograph
from keras_dr.preparation.splits import group_photographs

MOST_BITS = 40  # of 256; pairs whose hashes differ in at most so many bits are compared pixel by pixel
MOST_BITS_UNSEEN = 32  # the same for pairs whose images are not `comparable`, so that only the hashes decide
LEAST_CORRELATION = 0.88
COLUMNS = ("group_id", "copy_of", "image_id", "split", "grade", "kind", "conflict")
_BITS = 256
_BLOCK = 2048
_PERIODS = slice(2, 18)  # of the cosine transform's coefficients, down and across
# reversing a line changes the sign of its odd coefficients, so the hash of the mirror image follows from the hash
_MIRRORED = np.packbits(np.tile(np.arange(16) % 2 == 1, 16))
Image = NDArray[np.uint8]


def copy_square(photograph: Photograph) -> Image | None:
    """Return the square on which copies are detected, which is the same for every --size and --enhance.

    Args:
        photograph: the photograph.

    Returns:
        uint8 RGB (64, 64, 3), or None if the photograph has fewer pixels: at 28 to 32 px, different eyes are as similar
        as copies.
    """
    width = 2 * photograph.fundus.radius if photograph.fundus else min(photograph.shape)
    if round(width) < COPY_SIDE:
        return None
    return prepare_photograph(photograph, Preprocessing(COPY_SIDE))[0]


def perceptual_hash(image: Image) -> str:
    """Return 256 bits that are nearly equal for copies of a photograph.

    They are the signs of 16 x 16 coefficients of the cosine transform, from one to nine periods across the image, of
    the green channel minus its local mean. Lower coefficients, which show how a camera lights every fundus, are left
    out.

    Args:
        image: uint8 RGB (S, S, 3), see `copy_square`.

    Returns:
        64 hexadecimal digits.
    """
    coefficients = cv2.dct(_high_pass(image, sigma_px=6))[_PERIODS, _PERIODS]
    return np.packbits(coefficients > 0).tobytes().hex()


def _high_pass(image: Image, sigma_px: float) -> NDArray[np.float32]:
    """Return float32 (64, 64): green minus its Gaussian mean, and 0 beyond nine tenths of the fundus's radius."""
    green = cv2.resize(image[..., 1], (COPY_SIDE, COPY_SIDE), interpolation=cv2.INTER_AREA)
    axis = np.arange(COPY_SIDE) - (COPY_SIDE - 1) / 2
    inside = (np.hypot(axis[:, None], axis[None, :]) <= 0.45 * COPY_SIDE).astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma_px), 1e-3)
    return (green - cv2.GaussianBlur(green * inside, (0, 0), sigma_px) / weight) * inside


def signature(image: Image) -> NDArray[np.float32]:
    """Return the high-passed image as a vector of length 1; the scalar product of two is their correlation.

    For an image without structure it is zero, so that the image is similar to no other. Values are cut at three
    standard deviations, so that a single bright spot does not decide.

    Args:
        image: uint8 RGB (S, S, 3), see `copy_square`.

    Returns:
        float32 (4096,).
    """
    detail = _high_pass(image, sigma_px=3).ravel()
    limit = 3 * detail.std()
    detail = np.clip(detail, -limit, limit)
    detail = detail - detail.mean()
    return detail / max(float(np.linalg.norm(detail)), 1e-6)


def mirrored_hash(text: str) -> str:
    """Return the perceptual hash of the image mirrored left to right."""
    return (np.frombuffer(bytes.fromhex(text), np.uint8) ^ _MIRRORED).tobytes().hex()


def mirrored_signature(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the signature, float32 (4096,), of the image mirrored left to right."""
    return values.reshape(COPY_SIDE, COPY_SIDE)[:, ::-1].ravel()


def near_pairs(hashes: Sequence[str], mirrored: bool = False) -> NDArray[np.int64]:
    """Return all pairs of hashes that differ in at most `MOST_BITS` bits.

    With bits as -1 and 1, a scalar product shows exactly how many bits differ, and matrix products compute it for a
    block of 2,048 x 2,048 pairs at once (on two cores 20,000 hashes take 1 s, 100,000 a minute and a half).

    Args:
        hashes: n hexadecimal hashes.
        mirrored: whether each is compared with the mirror images of the others.

    Returns:
        int64 (m, 2), the indices of each pair, the smaller one first.
    """
    octets = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), _BITS // 8)
    blocks = [np.zeros((0, 2), np.int64)]
    for top in range(0, len(octets), _BLOCK):
        rows = _signs(octets[top : top + _BLOCK] ^ (_MIRRORED if mirrored else np.uint8(0)))
        for left in range(top, len(octets), _BLOCK):
            agreement = rows @ _signs(octets[left : left + _BLOCK]).T
            pairs = np.argwhere(agreement >= _BITS - 2 * MOST_BITS) + (top, left)
            blocks.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(blocks)


def _signs(octets: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return bits as float32 (n, 256), -1 and 1."""
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1


def group_copies(
    pixels: Sequence[str],
    hashes: Sequence[str],
    image: Callable[[int], Image],
    may_compare: Callable[[int, int], bool] = lambda first, second: True,
    wanted: Callable[[int, int], bool] = lambda first, second: True,
) -> list[int]:
    """Number the photographs so that copies have the same number.

    Args:
        pixels: n hashes of the decoded pixels, which are equal for identical photographs.
        hashes: n perceptual hashes; "" for a photograph that is too small for one, which has only identical copies.
        image: a function that returns the image at an index, uint8 RGB (S, S, 3); called for pairs with similar hashes.
        may_compare: a function of two indices that returns whether their images are `comparable`; if they are not, the
            hashes decide.
        wanted: a function of the smaller and the larger index of a pair that returns whether the pair is looked at;
            other pairs do not count as near copies.

    Returns:
        n numbers, counted from 0 in the order of first appearance.
    """
    first: dict[str, int] = {}
    for index, key in enumerate(pixels):
        first.setdefault(key, index)
    different = [index for index in first.values() if hashes[index]]

    @lru_cache(maxsize=1024)
    def signature_of(index: int) -> NDArray[np.float32]:
        return signature(image(index))

    pairs = []
    for mirrored in (False, True):
        for pair in near_pairs([hashes[index] for index in different], mirrored=mirrored).tolist():
            smaller, larger = (different[place] for place in pair)
            if not wanted(smaller, larger):
                continue
            if may_compare(smaller, larger):
                detail = mirrored_signature(signature_of(larger)) if mirrored else signature_of(larger)
                alike = float(signature_of(smaller) @ detail) >= LEAST_CORRELATION
            else:
                text = mirrored_hash(hashes[larger]) if mirrored else hashes[larger]
                alike = differing_bits(hashes[smaller], text) <= MOST_BITS_UNSEEN
            if alike:
                pairs.append((smaller, larger))
    return group_photographs(pixels, pairs=pairs)


def comparable(first: Preprocessing, second: Preprocessing) -> bool:
    """Whether images prepared in two ways show the same detail: enhanced alike, and neither smaller than 64 px.

    The same photographs correlate by at least .990 when they are prepared at 224 and 128 pixels, but by .769 at 224 and
    32 pixels, and by .847 at 224 pixels with and without CLAHE.

    Args:
        first: the one way.
        second: the other way.
    """
    return first.enhance == second.enhance and min(first.size, second.size) >= COPY_SIDE


def differing_bits(first: str, second: str) -> int:
    """Return the number of bits in which two hexadecimal hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def list_copies(rows: Sequence[dict[str, Any]], copies: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of duplicates.csv: one per photograph that has a copy, with copies next to each other.

    Args:
        rows: image_id, grade and pixels_sha256 of n photographs; further keys are kept.
        copies: their n numbers from `group_copies`.

    Returns:
        The rows of photographs that have a copy, with copy_of (image_id of the first of the group), kind ("identical"
        if another photograph has the same pixels, else "near") and conflict ("yes" if the grades of the group differ,
        else "no"; photographs without a grade agree with all).
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for row, number in zip(rows, copies, strict=True):
        groups.setdefault(number, []).append(row)
    listed = []
    for group in groups.values():
        if len(group) > 1:
            times = Counter(row["pixels_sha256"] for row in group)
            grades = {str(row["grade"]) for row in group} - {""}  # a photograph without a grade contradicts none
            conflict = "yes" if len(grades) > 1 else "no"
            for row in group:
                kind = "identical" if times[row["pixels_sha256"]] > 1 else "near"
                listed.append(row | {"copy_of": group[0]["image_id"], "kind": kind, "conflict": conflict})
    return listed


def count_copies(listed: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Count the rows of `list_copies`.

    Args:
        listed: the rows.

    Returns:
        duplicates: photographs whose pixels are those of an earlier one; near_duplicates: the other photographs besides
        the first of each group; duplicate_groups: groups; conflicting_groups: groups whose grades differ.
    """
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
