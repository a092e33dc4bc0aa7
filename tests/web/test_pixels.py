"""The page prepares photographs as Python does: the same pixels, faults and refusals."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import encode, with_exif
from odd_files import EYE, OTHER, READ, REFUSED, cut_between_scans, deep, saved
from web_page import prepare_in_node

from keras_dr.core.errors import KerasDrError
from keras_dr.core.png_marks import mark_png
from keras_dr.core.preprocessing import Preprocessing, circle_mask, prepare_photograph, read_photograph
from keras_dr.core.quality import measure
from keras_dr.synthetic.photographs import synthesise

READ_IN_PYTHON_ALONE = (b"II", b"MM", b"BM", b"P5", b"P6", b"RIFF")


def check(photographs: dict[str, tuple[bytes, Preprocessing]], folder: Path) -> None:
    """Compare what the page makes of photographs with what Python makes of them."""
    answers = prepare_in_node(photographs, folder)
    differences = []
    for name, (data, spec) in photographs.items():
        answer, image, decoded = answers[name]
        try:
            photograph = read_photograph(data, spec)
        except KerasDrError as error:
            if "error" not in answer:
                differences.append(f"{name}: Python refuses it ({error.message}), the page does not")
            continue
        if "error" in answer:
            differences.append(f"{name}: the page refuses it: {answer['error']}")
            continue
        expected, fundus = prepare_photograph(photograph, spec)
        if decoded.shape != photograph.pixels.shape or not np.array_equal(decoded, photograph.pixels):
            differences.append(f"{name}: decoded pixels differ ({decoded.shape}, {photograph.pixels.shape})")
        elif not np.array_equal(image, expected):
            worst = np.abs(image.astype(int) - expected).max()
            changed = (image != expected).any(axis=2).sum()
            differences.append(f"{name}: {changed} pixels differ by up to {worst}; {answer['fundus']}, {fundus}")
        same = (answer["reduction"], answer["stretched"], answer["several"]) == (
            photograph.reduction,
            photograph.stretched is not None,
            photograph.several,
        )
        if not same or (answer["fundus"] is None) != (fundus is None):
            differences.append(f"{name}: {answer} instead of {photograph}")
        measures = measure(expected, circle_mask(spec.size))
        for key, value in measures.items():
            if abs(float(value) - answer["measures"][key]) > 2e-4 * max(1, float(value)):
                differences.append(f"{name}: {key} is {answer['measures'][key]} instead of {value}")
    assert not differences, "\n".join(differences)


def jpeg(image: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], flags)[1].tobytes()


def drawn() -> dict[str, bytes]:
    """Photographs of several shapes: with a cut fundus, dark, small, wide, without a fundus, with two."""
    wide = synthesise(2, 1, "left", (712, 1072)).image
    pair = np.concatenate([wide[::2, ::2], wide[::2, ::2]], axis=1)
    rng = np.random.default_rng(0)
    return {
        "wide": jpeg(wide),
        "cut": jpeg(wide[100:600, 200:900]),
        "dark": jpeg(wide // 5),
        "small": jpeg(cv2.resize(wide, (90, 60), interpolation=cv2.INTER_AREA)),
        "large": jpeg(cv2.resize(wide, (3000, 2000))),
        "fundus far smaller than the photograph": jpeg(cv2.copyMakeBorder(wide, 900, 700, 800, 1000, 0)),
        "squashed to a wide one": jpeg(cv2.resize(wide, (1500, 712))),
        "squashed to a tall one": jpeg(cv2.resize(wide, (1072, 1500))),
        "two fundi": jpeg(pair),
        "two fundi that touch": jpeg(np.concatenate([wide[:, 170:900]] * 2, axis=1)),
        "no fundus": jpeg(rng.integers(0, 256, (300, 400, 3)).astype(np.uint8)),
        "grey all over": jpeg(np.full((300, 400, 3), 128, np.uint8)),
        "one row": encode(rng.integers(0, 256, (1, 400, 3)).astype(np.uint8)),
        "one pixel": encode(np.full((1, 1, 3), 90, np.uint8)),
        "grey": cv2.imencode(".jpg", wide[..., 1])[1].tobytes(),
        "progressive": jpeg(wide, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restarts": jpeg(wide, cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
    }


def pngs() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    alpha = np.dstack([EYE, rng.integers(0, 256, EYE.shape[:2]).astype(np.uint8)])
    files = {f"mode {mode}": saved("PNG", mode=mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")}
    files |= {"16 bits": deep(16, ".png"), "alpha": encode(alpha)}
    files["16 bits and alpha"] = cv2.imencode(".png", alpha.astype(np.uint16) * 257)[1].tobytes()
    files["16 bits grey"] = cv2.imencode(".png", EYE[..., 1].astype(np.uint16) * 257)[1].tobytes()
    files["palette with transparency"] = saved("PNG", mode="P", transparency=0)
    files["a transparent colour"] = saved("PNG", transparency=(0, 0, 0))
    files["interlaced"] = interlaced(EYE[:101, :77])
    for depth in (1, 2, 4):
        files[f"palette of {depth} bits"] = saved("PNG", np.asarray(EYE), mode="P", bits=depth)
    return files


def interlaced(image: np.ndarray) -> bytes:
    """A PNG file in seven passes (PNG specification, 8.2), without filters."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in image[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + content


def oriented() -> dict[str, bytes]:
    wide = jpeg(synthesise(2, 1, "left", (712, 1072)).image)
    files = {f"orientation {number}": with_exif(wide, number) for number in range(10)}
    files["two orientations"] = with_exif(with_exif(wide, 6), 1)
    files["two orientations the other way round"] = with_exif(with_exif(wide, 1), 6)
    return files


def damaged() -> dict[str, bytes]:
    """Files cut anywhere, with bytes changed, with an end mark after the cut."""
    plain = jpeg(EYE)
    progressive = saved("JPEG", progressive=True)
    inks = READ["inks.jpg"]
    png = saved("PNG")
    files = dict(cut_between_scans())
    sources = {"plain": plain, "progressive": progressive, "inks": inks, "png": png, "restarts": jpeg(EYE, 4, 3)}
    rng = np.random.default_rng(2)
    for name, data in sources.items():
        for share in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99):
            cut = data[: int(share * len(data))]
            files[f"{name} cut at {share}"] = cut
            files[f"{name} cut at {share} and closed"] = cut + b"\xff\xd9"
        files[f"{name} with more after its end"] = data + bytes(100)
        for number in range(8):
            changed = bytearray(data)
            for place in rng.integers(20, len(data), 3):
                changed[place] = rng.integers(256)
            files[f"{name} changed {number}"] = bytes(changed)
    return files


@pytest.mark.parametrize("size", [64, 224, 512])
def test_drawn_photographs(size: int, tmp_path: Path) -> None:
    check({name: (data, Preprocessing(size)) for name, data in drawn().items()}, tmp_path / "work")


@pytest.mark.parametrize(
    "spec",
    [
        Preprocessing(224, "green"),
        Preprocessing(512, "clahe"),
        Preprocessing(225, "clahe+green"),
        Preprocessing(224, "ben-graham+clahe"),
        Preprocessing(224, "ben-graham"),
        Preprocessing(512, "ben-graham"),
        Preprocessing(224, "ben-graham+green"),
        Preprocessing(224, "none", "none"),
        Preprocessing(224, stretch=False, page="first", bits=None),
        Preprocessing(224, bits=12),
        Preprocessing(28),
    ],
    ids=str,
)
def test_every_setting(spec: Preprocessing, tmp_path: Path) -> None:
    files = drawn() | {"16 bits": deep(16, ".png"), "12 bits": deep(12, ".png")}
    check({name: (data, spec) for name, data in files.items()}, tmp_path / "work")


def test_all_colours_keep_their_value_in_lab(tmp_path: Path) -> None:
    """CLAHE converts to CIE Lab and back: a quarter of a million random colours, and colours beyond sRGB."""
    colours = np.random.default_rng(3).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    check({"colours.png": (encode(colours), Preprocessing(512, "clahe", "none"))}, tmp_path / "work")


def test_png_files(tmp_path: Path) -> None:
    check({name: (data, Preprocessing(64)) for name, data in pngs().items()}, tmp_path / "work")


def test_orientations(tmp_path: Path) -> None:
    check({name: (data, Preprocessing(224)) for name, data in oriented().items()}, tmp_path / "work")


def test_odd_files(tmp_path: Path) -> None:
    files = READ | {name: data for name, (data, _) in REFUSED.items()} | {"other.png": encode(OTHER)}
    files["heat map.png"] = mark_png(READ["plain.png"], "heat map")
    files = {name: data for name, data in files.items() if not data.startswith(READ_IN_PYTHON_ALONE)}
    check({name: (data, Preprocessing(64)) for name, data in files.items()}, tmp_path / "work")


def test_damaged_files(tmp_path: Path) -> None:
    check({name: (data, Preprocessing(64)) for name, data in damaged().items()}, tmp_path / "work")


@pytest.mark.minutes
def test_published_photographs(tmp_path: Path) -> None:
    """IDRiD's photographs, in the folder that the variable IDRID names."""
    folder = os.environ.get("IDRID")
    if not folder:
        pytest.skip("The variable IDRID names no folder of photographs.")
    files = sorted(Path(folder).rglob("*.jpg"))
    assert files
    check({file.name: (file.read_bytes(), Preprocessing(512)) for file in files}, tmp_path / "work")
