"""Copies of one photograph: those with the same pixels, and those re-encoded, resized, mirrored or made brighter.

Fundus photographs look so alike that common 64-bit hashes merge strangers. Here 256 bits propose pairs, and the
correlation of the high-passed images decides, both on a square of 64 pixels made from the published photograph, so that
--size and --enhance play no part. Measured on IDRiD by benchmarks/copies.py (516 photographs, ten re-encoded copies of
each: JPEG quality 50 to 95, scaled by .5 to 2, brightness times .85 to 1.15, and all three at once), prepared at 224:

    pairs                              bits apart               correlation
    5,160 copies                       median 4, most 23        least .899, median .995
    516 mirrored copies                median 0, most 11        least .974, median 1
    129,286 pairs of different eyes    least 39, median 111     most .805, median .434
    the same, one of them mirrored     least 47, median 115     most .778, median .405

All copies and no pair of different eyes meet both conditions. Prepared at 28, for which JPEGs are decoded at a smaller
scale, one of the 5,160 copies is missed (30 bits, .860), and the most alike of the different correlate by .820.

A photograph whose fundus is itself under 64 pixels wide (RetinaMNIST) shows too little: at 32 px different eyes
correlate by up to .902. It has no perceptual hash, and only identical pixels make it a copy.

Two photographs of one eye taken in a row may count as near copies too. That is as it should be: the eye belongs on one
side.
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

MOST_BITS = 40  # of 256, apart: pairs nearer than that are compared pixel by pixel
MOST_BITS_UNSEEN = 32  # where the images themselves are not `comparable`
LEAST_CORRELATION = 0.88
COLUMNS = ("group_id", "copy_of", "image_id", "split", "grade", "kind", "conflict")
_BITS = 256
_BLOCK = 2048
_PERIODS = slice(2, 18)  # of the cosine transform's coefficients, down and across
# reversing a line changes the sign of its odd coefficients, so the mirror image's hash is known without it
_MIRRORED = np.packbits(np.tile(np.arange(16) % 2 == 1, 16))
Image = NDArray[np.uint8]


def copy_square(photograph: Photograph) -> Image | None:
    """The square on which copies are known, uint8 RGB (64, 64, 3), the same for every --size and --enhance.

    None where the photograph itself shows less: at 28 to 32 px strangers are as alike as copies.
    """
    shown = 2 * photograph.fundus.radius if photograph.fundus else min(photograph.shape)
    return prepare_photograph(photograph, Preprocessing(COPY_SIDE))[0] if round(shown) >= COPY_SIDE else None


def perceptual_hash(image: Image) -> str:
    """256 bits that copies of a photograph share, but for a few.

    The signs of 16 x 16 coefficients of the cosine transform, from one to nine periods across the image, of the green
    channel less its local mean. Lower ones, which tell how a camera lights every fundus, are left out.

    Args:
        image: uint8 RGB (S, S, 3), see `copy_square`.

    Returns:
        64 hexadecimal digits.
    """
    coefficients = cv2.dct(_high_pass(image, sigma_px=6))[_PERIODS, _PERIODS]
    return np.packbits(coefficients > 0).tobytes().hex()


def _high_pass(image: Image, sigma_px: float) -> NDArray[np.float32]:
    """float32 (64, 64): green less its Gaussian mean, 0 beyond nine tenths of the fundus's radius."""
    green = cv2.resize(image[..., 1], (COPY_SIDE, COPY_SIDE), interpolation=cv2.INTER_AREA)
    axis = np.arange(COPY_SIDE) - (COPY_SIDE - 1) / 2
    inside = (np.hypot(axis[:, None], axis[None, :]) <= 0.45 * COPY_SIDE).astype(np.float32)
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


def mirrored_hash(text: str) -> str:
    """The perceptual hash of the image mirrored left to right."""
    return (np.frombuffer(bytes.fromhex(text), np.uint8) ^ _MIRRORED).tobytes().hex()


def mirrored_signature(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The signature, float32 (4096,), of the image mirrored left to right, from that of the image."""
    return values.reshape(COPY_SIDE, COPY_SIDE)[:, ::-1].ravel()


def near_pairs(hashes: Sequence[str], mirrored: bool = False) -> NDArray[np.int64]:
    """All pairs of hashes at most `MOST_BITS` apart.

    Exact: with bits as -1 and 1, a scalar product says how many differ, and matrix products do it for a block of
    2,048 x 2,048 pairs at once (on two cores 20,000 hashes take 1 s, 100,000 a minute and a half).

    Args:
        hashes: n hashes, hexadecimal.
        mirrored: compare each with the others' mirror images.

    Returns:
        int64 (m, 2), the pairs' indices, the smaller first.
    """
    octets = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), _BITS // 8)
    found = [np.zeros((0, 2), np.int64)]
    for top in range(0, len(octets), _BLOCK):
        rows = _signs(octets[top : top + _BLOCK] ^ (_MIRRORED if mirrored else np.uint8(0)))
        for left in range(top, len(octets), _BLOCK):
            agreement = rows @ _signs(octets[left : left + _BLOCK]).T
            pairs = np.argwhere(agreement >= _BITS - 2 * MOST_BITS) + (top, left)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def _signs(octets: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (n, 256), -1 and 1."""
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1


def group_copies(
    pixels: Sequence[str],
    hashes: Sequence[str],
    image: Callable[[int], Image],
    may_compare: Callable[[int, int], bool] = lambda first, second: True,
    wanted: Callable[[int, int], bool] = lambda first, second: True,
) -> list[int]:
    """Number the photographs so that copies of one have one number.

    Args:
        pixels: n hashes of decoded pixels; equal ones are identical photographs.
        hashes: n perceptual hashes; "" for a photograph that is too small for one: only identical pixels tell it.
        image: index -> an image of it, uint8 RGB (S, S, 3); asked for where hashes are near.
        may_compare: whether two such images are `comparable`; where not, their hashes decide.
        wanted: (smaller index, larger index) -> whether it matters that these are near copies; if not, they are none.

    Returns:
        n numbers, counted from 0 in the order of first appearance.
    """
    first: dict[str, int] = {}
    for index, key in enumerate(pixels):
        first.setdefault(key, index)
    different = [index for index in first.values() if hashes[index]]
    cached = lru_cache(maxsize=1024)(lambda index: signature(image(index)))
    pairs = []
    for mirrored in (False, True):
        for a, b in near_pairs([hashes[index] for index in different], mirrored=mirrored).tolist():
            one, other = different[a], different[b]
            if not wanted(one, other):
                continue
            if may_compare(one, other):
                turned = mirrored_signature(cached(other)) if mirrored else cached(other)
                alike = float(cached(one) @ turned) >= LEAST_CORRELATION
            else:
                turned_hash = mirrored_hash(hashes[other]) if mirrored else hashes[other]
                alike = bits_apart(hashes[one], turned_hash) <= MOST_BITS_UNSEEN
            if alike:
                pairs.append((one, other))
    return group_photographs(pixels, pairs=pairs)


def comparable(first: Preprocessing, second: Preprocessing) -> bool:
    """Whether images prepared in these two ways show the same detail: enhanced alike, neither smaller than 64 px.

    Correlations of the same photographs: prepared at 224 and 128 at least .990, at 224 and 32 .769, at 224 without
    and with CLAHE .847.
    """
    return first.enhance == second.enhance and min(first.size, second.size) >= COPY_SIDE


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
