import struct

import cv2
import numpy as np
import pytest
from drawn import encode

from keras_dr.core.decoding import decode_mask, decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.headers import read_header
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.core.samples import depth_of, to_eight_bits

OLD = Preprocessing.from_dict({"size": 32, "enhance": "none", "fundus": "none"})


def deep(largest: int, suffix: str = ".png") -> bytes:
    """A grey file with sixteen bits per sample, from 0 to `largest`."""
    return encode(np.linspace(0, largest, 32 * 32).astype(np.uint16).reshape(32, 32), suffix)


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (4096, 14), (65535, 16)]
)
def test_the_smallest_number_of_bits_is_chosen(largest: int, bits: int) -> None:
    assert depth_of(largest) == bits


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_samples_fill_eight_bits(bits: int, suffix: str) -> None:
    image = prepare_image(deep((1 << bits) - 1, suffix), Preprocessing(32, fundus="none", bits=bits))
    assert image.max() == 255 and image.mean() == pytest.approx(127.5, abs=1)


def test_a_dark_photograph_stays_dark() -> None:
    image = prepare_image(deep(400), Preprocessing(32, fundus="none", bits=12))
    assert image.max() == 400 >> 4


def test_a_sample_beyond_the_sets_bits_is_refused() -> None:
    with pytest.raises(KerasDrError, match="sample of 4096, more than the 12 bits"):
        prepare_image(deep(4096), Preprocessing(32, bits=12))


def test_without_a_word_in_set_or_file_small_samples_are_refused() -> None:
    with pytest.raises(KerasDrError, match="at most 4095, which fit 12 bits"):
        prepare_image(deep(4095), Preprocessing(32))
    assert prepare_image(deep(65535), Preprocessing(32, fundus="none")).max() == 255


def test_significant_bits_of_a_png_are_its_word() -> None:
    data = deep(4000)
    chunk = struct.pack(">I", 1) + b"sBIT" + b"\x0c" + b"\0\0\0\0"
    data = data[:33] + chunk + data[33:]
    assert read_header(data).sample_bits == 12
    assert to_eight_bits(np.array([[4000]], np.uint16), 0, sample_bits=12) == 250


def test_an_old_set_keeps_the_upper_eight_bits() -> None:
    assert prepare_image(deep(4095), OLD).max() == 15


def test_floating_point_samples_are_never_stretched() -> None:
    dark = np.full((40, 40), 0.25, np.float32)
    dark[0, 0] = 0.5
    assert decode_rgb(encode(dark, ".tif"), bits=0)[20, 20].tolist() == [64, 64, 64]
    with pytest.raises(KerasDrError, match="from 0 to 1"):
        decode_rgb(encode(dark * 900, ".tif"), bits=0)


def test_transparent_photographs_of_twelve_bits() -> None:
    rgba = np.full((8, 8, 4), 4095, np.uint16)
    rgba[..., 3] = 65535
    assert (decode_rgb(encode(rgba), bits=12) == 255).all()


def test_a_mask_of_sixteen_bits_holds_numbers_of_kinds() -> None:
    mask = np.zeros((8, 8), np.uint16)
    mask[2:4] = 3
    assert decode_mask(encode(mask)).sum() == 16 and decode_mask(encode(mask.astype(np.uint8))).sum() == 16
    assert decode_mask(cv2.imencode(".tif", mask)[1].tobytes()).sum() == 16
