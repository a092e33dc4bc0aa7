"""DICOM files of each kind decode to the pixels that other decoders give; files without a photograph are refused."""

import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import dicom_fixtures as made
import numpy as np
import pydicom
import pytest
from dicom_fixtures import as_bytes
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless

from keras_dr.core import dicom_decoder
from keras_dr.core.decoding import decode_rgb
from keras_dr.core.dicom import describe, unwrap
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import expand_frames, read_file
from keras_dr.core.image_files import SkippedFiles, find_images


@pytest.mark.parametrize("kind", made.LOSSLESS)
def test_lossless_kinds_have_the_pixels_of_dcmtk(kind: str, tmp_path: Path) -> None:
    file = made.LOSSLESS[kind](tmp_path)
    ours = decode_rgb(file.read_bytes())
    difference = np.abs(ours.astype(int) - made.reference(file, tmp_path)).max()
    if kind == "MONOCHROME1":  # dcmtk 3.6.7 inverts through floating-point numbers, and is one too high for some values
        np.testing.assert_array_equal(ours[..., 0], 255 - made.colours()[..., 1])
        assert difference <= 1
    else:
        assert difference == 0


@pytest.mark.parametrize("kind", made.LOSSY)
def test_lossy_kinds_are_within_two_levels_of_dcmtk(kind: str, tmp_path: Path) -> None:
    file = made.LOSSY[kind](tmp_path)
    difference = np.abs(decode_rgb(file.read_bytes()).astype(int) - made.reference(file, tmp_path))
    assert difference.max() <= 2


@pytest.mark.parametrize("stored", [10, 12, 16])
@pytest.mark.parametrize("grey", [True, False])
def test_samples_of_more_than_eight_bits_have_the_pixels_of_dcmtk(stored: int, grey: bool, tmp_path: Path) -> None:
    deep = made.colours().astype(np.uint16) * 257 >> (16 - stored)
    pixels = np.ascontiguousarray(deep[..., 1]) if grey else deep
    file = made.save(made.dataset(pixels, made.OPHTHALMIC_16, stored=stored), tmp_path / "deep.dcm")
    np.testing.assert_array_equal(decode_rgb(file.read_bytes(), bits=16), made.reference(file, tmp_path))


def test_twelve_bits_of_lossless_jpeg(tmp_path: Path) -> None:
    deep = made.colours().astype(np.uint16)[..., 1] * 16
    plain = made.save(made.dataset(deep, made.OPHTHALMIC_16, stored=12), tmp_path / "deep.dcm")
    made.call("dcmcjpeg", "+e1", plain, tmp_path / "lossless.dcm")
    np.testing.assert_array_equal(decode_rgb((tmp_path / "lossless.dcm").read_bytes())[..., 0], made.colours()[..., 1])


def test_bits_above_the_stored_ones_are_ignored() -> None:
    pixels = made.colours().astype(np.uint16) * 16
    dirty = made.dataset(pixels | 0xF000, made.OPHTHALMIC_16, stored=12)
    np.testing.assert_array_equal(decode_rgb(as_bytes(dirty)), made.colours())


@pytest.mark.parametrize(("syntax", "levels"), [(JPEG2000Lossless, 0), (JPEG2000, 2)])
def test_jpeg_2000_has_the_pixels_of_ffmpeg(syntax: Any, levels: int, tmp_path: Path) -> None:
    """FFmpeg decodes JPEG 2000 with code of its own; everything else here is built on OpenJPEG."""
    dataset = made.dataset(made.colours())
    options = {"j2k_psnr": [45]} if syntax == JPEG2000 else {}
    dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False, **options)
    data = as_bytes(dataset)
    ours = decode_rgb(data)
    theirs = ffmpeg(data[data.index(b"\xff\x4f\xff\x51") :], tmp_path)
    assert np.abs(ours.astype(int) - theirs).max() <= levels
    if not levels:
        np.testing.assert_array_equal(ours, made.colours())


@pytest.mark.parametrize(("tile", "lacking"), [((64, 20), 1), ((24, 16), 3), ((1, 1), 48 * 32 - 1)])
def test_jpeg_2000_without_all_its_tiles_is_refused(tile: tuple[int, int], lacking: int) -> None:
    dataset = made.dataset(made.colours(32))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    stream[24:32] = struct.pack(">II", *tile)  # the header says that there are more tiles than the one that follows
    wrapped = made.encapsulate(dataset, [bytes(stream)], str(JPEG2000Lossless), dataset.PhotometricInterpretation)
    with pytest.raises(KerasDrError, match=f" {lacking} of its tiles are missing"):
        decode_rgb(as_bytes(wrapped))


def ffmpeg(stream: bytes, folder: Path) -> NDArray[np.uint8]:
    """Return a JPEG 2000 code stream as FFmpeg's own decoder reads it."""
    (folder / "frame.j2k").write_bytes(stream)
    words = [
        "-loglevel",
        "error",
        "-c:v",
        "jpeg2000",
        "-i",
        folder / "frame.j2k",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
    ]
    done = subprocess.run([made.program("ffmpeg"), *map(str, words), "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(made.colours().shape)


def test_a_jpeg_in_a_dicom_file_decodes_like_the_jpeg(tmp_path: Path) -> None:
    jpeg = made.jpeg()
    wrapped = made.encapsulate(made.dataset(made.colours()), [jpeg], "1.2.840.10008.1.2.4.50", "YBR_FULL_422")
    assert unwrap(as_bytes(wrapped))[0].startswith(jpeg)
    for reduction in (1, 2, 4):
        np.testing.assert_array_equal(decode_rgb(as_bytes(wrapped), reduction), decode_rgb(jpeg, reduction))


def test_each_frame_is_a_photograph(tmp_path: Path) -> None:
    frames = np.stack([made.colours(), 255 - made.colours()])
    file = made.save(made.dataset(frames, made.TRUE_COLOUR), tmp_path / "two.dcm")
    paths = list(expand_frames(file))
    assert [path.name for path in paths] == ["frame-1", "frame-2"]
    for path, frame in zip(paths, frames, strict=True):
        np.testing.assert_array_equal(decode_rgb(read_file(path)), frame)
    with pytest.raises(KerasDrError, match="2 frames"):
        decode_rgb(file.read_bytes())
    with pytest.raises(KerasDrError, match="no frame 3"):
        read_file(file / "frame-3")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "GIF"])
def test_other_files_have_no_frames(kind: str, tmp_path: Path) -> None:
    """Neither do those of several pages or pictures, of which one is read."""
    pages = [Image.fromarray(made.colours()), Image.fromarray(255 - made.colours())]
    file = tmp_path / f"eye.{kind.lower()}"
    more = {} if kind == "JPEG" else {"save_all": True, "append_images": pages[1:]}
    pages[0].save(file, kind, **more)
    for number in (1, 2, 7):
        with pytest.raises(KerasDrError, match=f"not a DICOM file, so that it has no frame {number}"):
            read_file(file / f"frame-{number}")
    with pytest.raises(KerasDrError, match="no frame 2"):
        unwrap(file.read_bytes(), 2)
    assert unwrap(file.read_bytes()) == (file.read_bytes(), None)


def test_frames_of_compressed_pictures(tmp_path: Path) -> None:
    streams = [made.jpeg(), made.jpeg(quality=30)]
    dataset = made.dataset(np.stack([made.colours()] * 2), made.TRUE_COLOUR)
    data = as_bytes(made.encapsulate(dataset, streams, "1.2.840.10008.1.2.4.50", "YBR_FULL_422"))
    for number, stream in enumerate(streams, start=1):
        np.testing.assert_array_equal(decode_rgb(unwrap(data, number)[0]), decode_rgb(stream))


LATERALITIES: dict[str, dict[str, Any]] = {
    "image": {"ImageLaterality": "L"},
    "series": {"ImageLaterality": "", "Laterality": "L"},
    "region": {"ImageLaterality": None, "AnatomicRegionSequence": made.region("left")},
}


@pytest.mark.parametrize("place", LATERALITIES)
def test_the_eye_is_read_from_each_place(place: str) -> None:
    assert describe(as_bytes(made.dataset(made.colours(32), **LATERALITIES[place]))).eye == "left"


def test_the_eye_of_a_frame_and_contradictions() -> None:
    anatomy = Dataset()
    anatomy.FrameLaterality = "L"
    group = Dataset()
    group.FrameAnatomySequence = Sequence([anatomy])
    shared = {"SharedFunctionalGroupsSequence": Sequence([group])}
    assert describe(as_bytes(made.dataset(made.colours(32), ImageLaterality="", **shared))).eye == "left"
    assert describe(as_bytes(made.dataset(made.colours(32), ImageLaterality="R", **shared))).eye == ""
    assert describe(as_bytes(made.dataset(made.colours(32), ImageLaterality="B"))).eye == ""


def test_patient_date_and_device_are_read() -> None:
    subject = describe(as_bytes(made.dataset(made.colours(32), BurnedInAnnotation="YES")))
    assert (subject.patient_id, subject.eye, subject.date) == (made.PATIENT, "right", "2026-11-19")
    assert (subject.device, subject.burned_in) == ("Maker Camera 3", True)
    assert set(made.SECRETS) <= set(subject.secrets)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "OCT": ({"sop_class": made.OCT}, r"Ophthalmic Tomography Image \(OCT\)"),
    "X-ray": ({"sop_class": "1.2.840.10008.5.1.4.1.1.12.1"}, "X-Ray Angiographic"),
    "another class": ({"sop_class": "1.2.3.4"}, "class 1.2.3.4"),
    "angiogram": ({"ContrastBolusAgent": "Fluorescein"}, "contrast agent"),
    "signed": ({"PixelRepresentation": 1}, "with a sign"),
    "colours": ({"PhotometricInterpretation": "HSV"}, "HSV"),
    "high bit": ({"HighBit": 5}, "highest bit is 5"),
    "size": ({"Rows": 60000, "Columns": 60000}, "60000 x 60000"),
    "no size": ({"Rows": 0}, "256 x 0"),
    "too little": ({"Rows": 4000}, "truncated or damaged"),
    "frames": ({"NumberOfFrames": 2_000_000}, "2000000 frames"),
    "modality table": ({"RescaleSlope": "-1", "RescaleIntercept": "0"}, "modality LUT"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_photograph_is_refused_by_name(case: str) -> None:
    options, message = REFUSED[case]
    with pytest.raises(KerasDrError, match=message):
        decode_rgb(as_bytes(made.dataset(made.colours(), **options)))


def test_an_unknown_transfer_syntax_is_refused_by_name() -> None:
    wrapped = made.encapsulate(
        made.dataset(made.colours()), [b"\0" * 100], "1.2.840.10008.1.2.4.102", "YBR_PARTIAL_420"
    )
    with pytest.raises(KerasDrError, match="MPEG-4"):
        decode_rgb(as_bytes(wrapped))


def test_a_compressed_picture_of_another_size_is_refused() -> None:
    wrapped = made.encapsulate(made.dataset(made.colours(200)), [made.jpeg()], "1.2.840.10008.1.2.4.50", "YBR_FULL_422")
    with pytest.raises(KerasDrError, match="256 x 240"):
        decode_rgb(as_bytes(wrapped))


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG lossless", "JPEG-LS", "RLE", "JPEG baseline", "explicit"])
def test_a_truncated_picture_is_refused(kind: str, kept: float, tmp_path: Path) -> None:
    data = {**made.LOSSLESS, **made.LOSSY}[kind](tmp_path).read_bytes()
    with pytest.raises(KerasDrError):
        decode_rgb(data[: int(len(data) * kept)])


def test_a_picture_that_ends_its_decoder_is_refused(tmp_path: Path) -> None:
    """GDCM 3.2.6 calls abort() for some broken Huffman tables, and fills up the picture for others."""
    data = bytearray(made.LOSSLESS["JPEG lossless"](tmp_path).read_bytes())
    table = data.index(b"\xff\xc4", data.index(b"\xff\xd8\xff")) + 4
    for value in (0x00, 0x7F, 0xFF):
        data[table + 2 : table + 6] = bytes([value]) * 4
        with pytest.raises(KerasDrError):
            decode_rgb(bytes(data))


def test_a_picture_that_keeps_its_decoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """CharLS needs 7 s of processor time for any JPEG-LS picture without an end marker, and Python for its import."""
    monkeypatch.setattr(dicom_decoder, "_START_SECONDS", 2)
    dataset = made.dataset(made.colours(32))
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))[:800]
    with pytest.raises(KerasDrError, match="more than 2 s"):
        dicom_decoder.decode_apart(stream, dataset, str(JPEGLSLossless), "pyjpegls")
    wrapped = made.encapsulate(dataset, [stream], str(JPEGLSLossless), "RGB")
    with pytest.raises(KerasDrError, match="no end marker"):
        decode_rgb(as_bytes(wrapped))


def test_a_deflated_bomb_is_refused_before_it_is_unpacked() -> None:
    data = as_bytes(made.dataset(made.colours(32)))
    syntax = b"1.2.840.10008.1.2.1\0"
    meta = data[: data.index(b"\x08\x00", 200)].replace(syntax, b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"UI\x14\x00" + syntax[:19], b"UI\x16\x00" + syntax[:19])
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(34)) + packer.flush()
    with pytest.raises(KerasDrError, match="unpacks to more than 512 MiB"):
        decode_rgb(meta + bomb)


def test_a_million_items_are_refused_at_once() -> None:
    data = as_bytes(made.dataset(made.colours(32)))
    items = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000
    with pytest.raises(KerasDrError, match="more than 50000 items"):
        decode_rgb(data[: data.index(b"\x10\x00\x20\x00")] + items)


@pytest.mark.parametrize("descriptor", [[4, 0, 8], [0, 0, 16], [256, 0, 99]])
def test_a_palette_of_another_length_is_refused(descriptor: list[int], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(made.LOSSLESS["PALETTE COLOR"](tmp_path))
    dataset.RedPaletteColorLookupTableDescriptor = descriptor
    with pytest.raises(KerasDrError, match=f"palette has 512 bytes for .* {descriptor[2]} bits"):
        decode_rgb(as_bytes(dataset))
    del dataset.RedPaletteColorLookupTableData
    with pytest.raises(KerasDrError, match="no table for red"):
        decode_rgb(as_bytes(dataset))


def test_deep_nesting_is_refused() -> None:
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 20_000
    with pytest.raises(KerasDrError):
        decode_rgb(as_bytes(made.dataset(made.colours(32)))[:400] + nested)


def test_a_folder_of_a_study_gives_its_photographs(tmp_path: Path) -> None:
    made.save(made.dataset(made.colours(32)), tmp_path / "1.2.826.0.1.77")  # named as archives name files
    made.save(made.dataset(made.colours(32), number=2), tmp_path / "IM2")
    made.save(made.dataset(made.colours(32), made.OCT, number=3), tmp_path / "IM3")
    made.save(made.dataset(made.colours(32), made.OCT, number=4), tmp_path / "oct.dcm")
    skipped = SkippedFiles()
    assert [path.name for path in find_images([tmp_path], skipped)] == ["1.2.826.0.1.77", "IM2"]
    assert skipped.counts == {"of the DICOM class Ophthalmic Tomography Image (OCT)": 2}


def test_without_pydicom_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = as_bytes(made.dataset(made.colours(32)))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(KerasDrError, match=r"keras_dr\[dicom\]"):
        decode_rgb(data)
