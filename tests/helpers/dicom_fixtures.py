"""DICOM files of every kind that is read, made with pydicom and with the programs of dcmtk, and their reference pixels.

The programs come with Debian's packages dcmtk and ffmpeg: `apt-get install dcmtk ffmpeg`.
"""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from edge_demo.profiler import synthetic_photograph

SIDE = 240  # of the drawn photographs, pixels
Maker = Callable[..., Path]  # writes a file of one kind into a folder: (folder, side) -> file
OPHTHALMIC_8 = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
OPHTHALMIC_16 = "1.2.840.10008.5.1.4.1.1.77.1.5.2"
OCT = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
TRUE_COLOUR = "1.2.840.10008.5.1.4.1.1.7.4"
PATIENT = "HOSP-4711"
NAME = "Mustermann^Erika^Viktoria"
BIRTH = "19620314"
STUDY = "1.2.826.0.1.3680043.8.498.11111111"
SECRETS = (PATIENT, "Mustermann", "Erika", "Viktoria", BIRTH, STUDY)


def program(name: str) -> str:
    """Return the path of a program of dcmtk or ffmpeg; the test fails, and is not skipped, if it is missing."""
    found = shutil.which(name)
    if not found:
        package = "ffmpeg" if name == "ffmpeg" else "dicom3tools" if name == "dciodvfy" else "dcmtk"
        pytest.fail(f"The program {name} is missing. Install it with: apt-get install {package}")
    return found


def call(*words: str | Path) -> str:
    """Run a program and return what it printed; it must end with 0."""
    done = subprocess.run([program(str(words[0])), *map(str, words[1:])], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def colours(side: int = SIDE) -> NDArray[np.uint8]:
    """Return a drawn fundus photograph, uint8 RGB (side, side + 16, 3)."""
    drawn = cv2.imdecode(np.frombuffer(synthetic_photograph(), np.uint8), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(drawn, (side + 16, side), interpolation=cv2.INTER_AREA)


def jpeg(quality: int = 90) -> bytes:
    """Return the drawn photograph as a JPEG file."""
    encoded = cv2.imencode(".jpg", colours()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return encoded.tobytes()


def dataset(
    pixels: NDArray[Any],
    sop_class: str = OPHTHALMIC_8,
    interpretation: str = "",
    stored: int = 0,
    syntax: UID = ExplicitVRLittleEndian,
    number: int = 1,
    **others: Any,
) -> FileDataset:
    """Return a data set of a photograph.

    Args:
        pixels: (H, W), (H, W, 3) or, with several frames, (N, H, W, 3); uint8 or uint16.
        sop_class: the class.
        interpretation: the photometric interpretation; by default RGB or MONOCHROME2.
        stored: bits stored; by default all.
        syntax: the transfer syntax.
        number: the number of the instance in its study.
        others: further elements by their keywords, which replace the ones set here.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.1.{number}")
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID = STUDY
    made.SeriesInstanceUID = f"{STUDY}.1"
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = PATIENT, NAME, BIRTH, "F"
    made.StudyDate = made.ContentDate = made.SeriesDate = "20261120"
    made.StudyTime = made.ContentTime = "101500"
    made.AcquisitionDateTime = "20261119101500"
    made.Modality, made.Manufacturer, made.ManufacturerModelName = "OP", "Maker", "Camera 3"
    made.AccessionNumber, made.StudyID, made.SeriesNumber, made.InstanceNumber = "", "", "1", str(number)
    made.ReferringPhysicianName = ""
    made.ImageLaterality = "R"
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.BurnedInAnnotation = "NO"
    several = pixels.ndim == 4
    frame = pixels[0] if several else pixels
    made.Rows, made.Columns = frame.shape[:2]
    made.SamplesPerPixel = 1 if frame.ndim == 2 else 3
    made.PhotometricInterpretation = interpretation or ("MONOCHROME2" if frame.ndim == 2 else "RGB")
    if frame.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = 8 * pixels.itemsize
    made.BitsStored = stored or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = 0
    if several:
        made.NumberOfFrames = len(pixels)
    content = pixels.tobytes()
    made.PixelData = content + bytes(len(content) % 2)
    made["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
    for keyword, value in others.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def save(made: FileDataset, file: Path) -> Path:
    """Write a data set as a file with preamble and meta information."""
    made.save_as(file, enforce_file_format=True)
    return file


def as_bytes(made: FileDataset) -> bytes:
    """Return a data set as the bytes of a file."""
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def encapsulate(made: FileDataset, streams: list[bytes], syntax: str, interpretation: str) -> FileDataset:
    """Replace the pixels by compressed frames."""
    from pydicom.encaps import encapsulate as wrap

    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.PhotometricInterpretation = interpretation
    made.PixelData = wrap(streams)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def region(eye: str) -> Sequence:
    """Return an anatomic region "retina" whose modifier names the eye, "right" or "left"."""
    item = code("5665001", "SCT", "Retina")
    side = code("24028007", "SCT", "Right") if eye == "right" else code("7771000", "SCT", "Left")
    item.AnatomicRegionModifierSequence = Sequence([side])
    return Sequence([item])


def _native(folder: Path, syntax: UID, side: int = SIDE) -> Path:
    return save(dataset(colours(side), syntax=syntax), folder / f"native-{syntax[-4:]}.dcm")


def _converted(name: str, *words: str) -> Maker:
    """Return a maker that lets a program of dcmtk convert an uncompressed colour photograph."""

    def make(folder: Path, side: int = SIDE) -> Path:
        plain = save(dataset(colours(side)), folder / "plain.dcm")
        call(words[0], *words[1:], plain, folder / f"{name}.dcm")
        return folder / f"{name}.dcm"

    return make


def _planar(folder: Path, side: int = SIDE) -> Path:
    made = dataset(colours(side), sop_class=SECONDARY)
    made.PixelData = np.ascontiguousarray(colours(side).transpose(2, 0, 1)).tobytes()
    made.PlanarConfiguration = 1
    return save(made, folder / "planar.dcm")


def _grey(interpretation: str) -> Maker:
    def make(folder: Path, side: int = SIDE) -> Path:
        made = dataset(np.ascontiguousarray(colours(side)[..., 1]), interpretation=interpretation)
        return save(made, folder / f"{interpretation}.dcm")

    return make


def _palette(folder: Path, side: int = SIDE) -> Path:
    made = dataset(np.ascontiguousarray(colours(side)[..., 1]), SECONDARY, "PALETTE COLOR")
    ramp = np.arange(256, dtype=np.uint16)
    for name, table in (("Red", ramp), ("Green", 255 - ramp), ("Blue", ramp // 2)):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", (table * 257).astype("<u2").tobytes())
    return save(made, folder / "palette.dcm")


def _no_preamble(syntax: UID) -> Maker:
    def make(folder: Path, side: int = SIDE) -> Path:
        made = dataset(colours(side))
        made.preamble = None
        del made.file_meta
        file = folder / f"IM{syntax[-2:].replace('.', '')}"
        made.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        return file

    return make


LOSSLESS: dict[str, Maker] = {
    "explicit": lambda folder, side=SIDE: _native(folder, ExplicitVRLittleEndian, side),
    "implicit": lambda folder, side=SIDE: _native(folder, ImplicitVRLittleEndian, side),
    "big endian": _converted("big", "dcmconv", "+tb"),
    "deflated": _converted("deflated", "dcmconv", "+td"),
    "RLE": _converted("rle", "dcmcrle"),
    "JPEG lossless": _converted("lossless", "dcmcjpeg", "+e1"),
    "JPEG lossless, any predictor": _converted("lossless4", "dcmcjpeg", "+el", "+sv", "4"),
    "JPEG-LS": _converted("lossless-ls", "dcmcjpls", "+el"),
    "planar": _planar,
    "MONOCHROME1": _grey("MONOCHROME1"),
    "MONOCHROME2": _grey("MONOCHROME2"),
    "PALETTE COLOR": _palette,
    "without preamble, implicit": _no_preamble(ImplicitVRLittleEndian),
    "without preamble, explicit": _no_preamble(ExplicitVRLittleEndian),
}


def _ybr(interpretation: str) -> Maker:
    def make(folder: Path, side: int = SIDE) -> Path:
        ycrcb = cv2.cvtColor(colours(side), cv2.COLOR_RGB2YCrCb)
        ybr = np.ascontiguousarray(ycrcb[..., [0, 2, 1]])
        made = dataset(ybr, SECONDARY, interpretation)
        if interpretation == "YBR_FULL_422":  # Y1 Y2 Cb Cr (PS3.3, C.7.6.3.1.2)
            pairs = ybr.reshape(ybr.shape[0], -1, 2, 3)
            made.PixelData = np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=2).tobytes()
        return save(made, folder / f"{interpretation}.dcm")

    return make


LOSSY: dict[str, Maker] = {
    "JPEG baseline": _converted("baseline", "dcmcjpeg", "+eb", "+q", "90"),
    "JPEG baseline, RGB": _converted("baseline-rgb", "dcmcjpeg", "+eb", "+q", "90", "+cr"),
    "JPEG extended": _converted("extended", "dcmcjpeg", "+ee", "+q", "90"),
    "JPEG-LS near": _converted("near-ls", "dcmcjpls", "+en"),
    "YBR_FULL": _ybr("YBR_FULL"),
    "YBR_FULL_422": _ybr("YBR_FULL_422"),
}


def reference(file: Path, folder: Path, *words: str) -> NDArray[np.uint8]:
    """Return the picture of a file as dcmtk decodes it, uint8 RGB (H, W, 3)."""
    if "-ls" in file.name:  # dcmj2pnm itself reads no JPEG-LS
        call("dcmdjpls", file, folder / "plain-ls.dcm")
        file = folder / "plain-ls.dcm"
    call("dcmj2pnm", *words, "+op", file, folder / "reference.pnm")
    picture = cv2.imread(str(folder / "reference.pnm"), cv2.IMREAD_COLOR_RGB)
    return picture
