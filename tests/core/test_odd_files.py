"""Photographs as they come from elsewhere are read as what they show, or refused with their cause."""

import numpy as np
import pytest
from odd_files import EYE, READ, REFUSED, TWO_EYES, deep, run_lengths

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.fundus import examine
from keras_dr.core.png_marks import mark_png
from keras_dr.core.preprocessing import Preprocessing, prepare_image, read_photograph
from keras_dr.core.tiff import Directory, find_photograph

SPEC = Preprocessing(64, bits=16)
PLAIN = prepare_image(READ["plain.png"], SPEC).astype(int)


@pytest.mark.parametrize("name", READ)
def test_it_is_read_as_the_eye_that_it_shows(name: str) -> None:
    assert np.abs(prepare_image(READ[name], SPEC) - PLAIN).mean() < 4


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_cause(name: str) -> None:
    data, cause = REFUSED[name]
    with pytest.raises(KerasDrError) as caught:
        prepare_image(data, SPEC)
    assert cause in caught.value.message and caught.value.remedy


def test_a_heat_map_of_our_own_is_no_photograph() -> None:
    with pytest.raises(KerasDrError, match="a picture that keras_dr drew"):
        prepare_image(mark_png(READ["plain.png"], "heat map"), SPEC)


@pytest.mark.parametrize("name", TWO_EYES)
def test_two_eyes_in_one_picture_are_seen(name: str) -> None:
    assert read_photograph(TWO_EYES[name], SPEC).several and examine(decode_rgb(TWO_EYES[name])).several


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_samples_of_a_set_of_so_many_bits_are_as_bright_as_eight(bits: int, suffix: str) -> None:
    read = prepare_image(deep(bits, suffix), Preprocessing(64, bits=bits))
    assert np.array_equal(read, PLAIN)
    if bits > 10:
        with pytest.raises(KerasDrError, match="more than the 10 bits"):
            prepare_image(deep(bits, suffix), Preprocessing(64, bits=10))


@pytest.mark.parametrize("name", ["two pages.tif", "animated.png", "animated.webp", "lab.tif"])
def test_an_older_set_reads_on_as_it_did(name: str) -> None:
    assert prepare_image(REFUSED[name][0], SPEC.as_before()).any()


@pytest.mark.parametrize(("purpose", "place"), [(1, 0), (4, 1), (5, 0)])
def test_previews_and_masks_are_no_second_photograph(purpose: int, place: int) -> None:
    """By NewSubfileType (TIFF 6.0, section 8): 1 a reduced image, 4 a transparency mask."""
    size = {256: 320, 257: 240}
    pages = [Directory(size | {254: purpose}, 0, 0, 8)]
    pages.insert(1 - place, Directory(size, 0, 0, 8))
    assert find_photograph(pages)[0] == 1 - place
    with pytest.raises(KerasDrError, match="2 pages of 320 x 240 pixels"):
        find_photograph([Directory(size, 0, 0, 8)] * 2)


@pytest.mark.parametrize("gap", [b"\n", b" ", b"\r\n", b"\n# Created by GIMP\n", b" # eye\r"])
def test_a_grey_map_may_hold_comments_and_any_blanks(gap: bytes) -> None:
    grey = EYE[..., 1]
    data = gap.join((b"P5", b"320", b"240", b"255")) + b"\n" + grey.tobytes()
    assert np.array_equal(decode_rgb(data)[..., 0], grey)
    with pytest.raises(KerasDrError, match="truncated"):
        decode_rgb(data[:-1])
    with pytest.raises(KerasDrError, match="no decoder"):
        decode_rgb(b"P5" + b" " * 10_000_000)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95, 0.99])
def test_run_lengths_that_were_cut_are_refused(share: float) -> None:
    assert decode_rgb(run_lengths()).shape == EYE.shape
    with pytest.raises(KerasDrError, match="truncated"):
        decode_rgb(run_lengths(share))


def test_a_place_far_beyond_a_big_tiff_is_a_broken_file() -> None:
    data = b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(40)
    with pytest.raises(KerasDrError, match="begins as a TIFF picture, but it is truncated or damaged"):
        decode_rgb(data)
