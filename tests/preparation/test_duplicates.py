import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from drawn import encode

from keras_dr.core.preprocessing import Preprocessing, prepare_image, read_photograph
from keras_dr.preparation.duplicates import (
    LEAST_CORRELATION,
    MOST_BITS,
    copy_square,
    count_copies,
    differing_bits,
    group_copies,
    list_copies,
    mirrored_hash,
    mirrored_signature,
    near_pairs,
    perceptual_hash,
    signature,
)
from keras_dr.synthetic.photographs import synthesise

SPEC = Preprocessing(96)
EYES = [synthesise(seed, 2, eye, (360, 480), patient_seed=1).image for seed, eye in ((1, "left"), (2, "right"))]


def prepared(photograph: np.ndarray, quality: int = 95) -> np.ndarray:
    jpeg = cv2.imencode(".jpg", photograph[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return prepare_image(jpeg.tobytes(), SPEC)


def scaled(photograph: np.ndarray, factor: float) -> np.ndarray:
    return cv2.resize(photograph, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "quality 50": lambda image: prepared(image, 50),
    "half": lambda image: prepared(scaled(image, 0.5), 75),
    "double": lambda image: prepared(scaled(image, 2), 75),
    "brighter": lambda image: prepared(cv2.convertScaleAbs(image, alpha=1.1, beta=4)),
    "darker": lambda image: prepared(cv2.convertScaleAbs(image, alpha=0.9)),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_recognised(copy: str) -> None:
    original, other = prepare_image(encode(EYES[0]), SPEC), COPIES[copy](EYES[0])
    assert differing_bits(perceptual_hash(original), perceptual_hash(other)) <= MOST_BITS / 2
    assert signature(original) @ signature(other) > LEAST_CORRELATION + 0.04


def test_the_eyes_of_a_patient_are_no_copies() -> None:
    left, right = (prepare_image(encode(image), SPEC) for image in EYES)
    for other in (right, np.ascontiguousarray(left[:, ::-1])):
        assert differing_bits(perceptual_hash(left), perceptual_hash(other)) > MOST_BITS
        assert signature(left) @ signature(other) < LEAST_CORRELATION - 0.1


@pytest.mark.parametrize("spec", [Preprocessing(28), Preprocessing(224, "clahe")])
def test_the_hash_depends_on_neither_the_prepared_size_nor_the_enhancement(spec: Preprocessing) -> None:
    squares = [copy_square(read_photograph(encode(EYES[0], ".jpg"), chosen)) for chosen in (SPEC, spec)]
    first, second = (perceptual_hash(square) for square in squares if square is not None)
    assert differing_bits(first, second) <= 8


@pytest.mark.parametrize(("width", "known"), [(62, False), (66, True)])
def test_a_fundus_narrower_than_64_pixels_shows_too_little(width: int, known: bool) -> None:
    image = cv2.circle(np.zeros((90, 120, 3), np.uint8), (60, 45), width // 2, (200, 110, 40), -1)
    assert (copy_square(read_photograph(encode(image), SPEC)) is not None) == known


def test_a_photograph_without_a_hash_is_a_copy_by_its_pixels_alone() -> None:
    assert group_copies(["a", "b", "a", "c"], ["", "", "", "0" * 64], lambda index: 1 / 0) == [0, 1, 0, 2]


def test_a_mirrored_photograph_is_a_copy() -> None:
    images = [prepared(EYES[0]), prepared(np.ascontiguousarray(EYES[0][:, ::-1]), 75), prepared(EYES[1])]
    hashes = [perceptual_hash(image) for image in images]
    assert differing_bits(hashes[0], hashes[1]) > MOST_BITS
    assert group_copies("abc", hashes, images.__getitem__) == [0, 0, 1]


def test_hash_and_signature_of_the_mirror_image_are_those_of_the_mirrored_image() -> None:
    image = prepare_image(encode(EYES[0]), Preprocessing(64))
    mirrored = np.ascontiguousarray(image[:, ::-1])
    assert differing_bits(mirrored_hash(perceptual_hash(image)), perceptual_hash(mirrored)) <= 1
    assert mirrored_signature(signature(image)) @ signature(mirrored) == pytest.approx(1, abs=1e-5)


def test_an_image_without_structure_is_like_none() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert group_copies(["a", "b"], [perceptual_hash(black)] * 2, lambda index: black) == [0, 1]


def test_near_pairs_are_those_of_a_plain_comparison() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((40, 256)) < 0.5
    bits[7], bits[30] = bits[3], bits[9]
    bits[7, :40] ^= True  # 40 bits differ, the most that counts as near
    bits[30, :41] ^= True
    hashes = [np.packbits(row).tobytes().hex() for row in bits]
    expected = [(i, j) for i in range(40) for j in range(i + 1, 40) if (bits[i] != bits[j]).sum() <= 40]
    assert [tuple(pair) for pair in near_pairs(hashes).tolist()] == expected == [(3, 7)]


def test_twenty_thousand_hashes_take_seconds() -> None:
    octets = np.random.default_rng(0).bytes(20_000 * 32)
    hashes = [octets[start : start + 32].hex() for start in range(0, len(octets), 32)]
    started = time.perf_counter()
    assert len(near_pairs([*hashes, hashes[5]])) == 1
    assert time.perf_counter() - started < 30  # 1 s where nothing else runs


def test_copies_of_copies_share_a_number_and_identical_pixels_need_no_look() -> None:
    images = [prepare_image(encode(EYES[0]), SPEC), COPIES["half"](EYES[0]), prepare_image(encode(EYES[1]), SPEC)]
    hashes = [perceptual_hash(image) for image in images]
    looked: list[int] = []

    def image(index: int) -> np.ndarray:
        looked.append(index)
        return images[index]

    assert group_copies(["a", "b", "c", "b"], [*hashes, hashes[1]], image) == [0, 0, 1, 0]
    assert sorted(looked) == [0, 1]


def test_images_enhanced_in_different_ways_are_told_by_the_hash_alone() -> None:
    first = "0" * 64
    near, far = f"{2**32 - 1:064x}", f"{2**33 - 1:064x}"
    assert group_copies("abc", [first, near, far[::-1]], lambda index: 1 / 0, lambda first, second: False) == [0, 0, 1]


def test_a_photograph_without_a_grade_contradicts_none() -> None:
    rows = [{"image_id": name, "grade": grade, "pixels_sha256": "a"} for name, grade in (("1", "2"), ("2", ""))]
    assert [row["conflict"] for row in list_copies(rows, [0, 0])] == ["no", "no"]


def test_list_tells_identical_from_near_and_conflicts() -> None:
    rows = [
        {"image_id": name, "grade": grade, "pixels_sha256": pixels}
        for name, grade, pixels in (
            ("a", 1, "x"),
            ("b", 1, "x"),
            ("c", 2, "y"),
            ("d", 0, "z"),
            ("e", 3, "v"),
            ("f", 3, "w"),
        )
    ]
    listed = list_copies(rows, [0, 0, 0, 1, 2, 2])
    assert [(row["image_id"], row["copy_of"], row["kind"], row["conflict"]) for row in listed] == [
        ("a", "a", "identical", "yes"),
        ("b", "a", "identical", "yes"),
        ("c", "a", "near", "yes"),
        ("e", "e", "near", "no"),
        ("f", "e", "near", "no"),
    ]
    expected = {"duplicates": 1, "near_duplicates": 2, "duplicate_groups": 2, "conflicting_groups": 1}
    assert count_copies(listed) == expected
