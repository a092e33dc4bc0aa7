"""Reads DICOM files: the photographs in them, and what they say of patient, eye, date and device.

A frame is returned as the bytes of a photograph's file, so that everything after it is the same as for other files: the
JPEG picture itself if the frame is one of eight bits, otherwise a PGM or PPM file, or a TIFF file if samples use all of
sixteen bits. Needs pydicom and, for compressed frames, python-gdcm and pylibjpeg-openjpeg (the extra `dicom`).
"""

import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from keras_dr.core.dicom_files import DEFLATED, PHOTOGRAPHS, PRODUCER, class_name, is_dicom, read_head
from keras_dr.core.errors import KerasDrError, MissingPackageError, brief

MAX_FRAMES = 1000
_LARGEST = 1 << 29  # bytes of a deflated data set: twenty times an uncompressed photograph of a camera
_MAX_ITEMS = 50_000  # of sequences and frames, in the whole file; pydicom takes 40 us and 1 KB for each
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # the tag of an item, in little and big endian order
_LOCK = threading.RLock()  # filters of warnings belong to the whole process, and not all decoders allow threads
_COPY = "Copy the file again from its source."
_EYES = {"R": "right", "L": "left", "24028007": "right", "7771000": "left", "G-A100": "right", "G-A101": "left"}
_DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")
_IDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber", "StudyID")


@dataclass(frozen=True)
class Subject:
    """What a DICOM file says besides its pixels.

    Attributes:
        patient_id: the patient's identifier, as the clinic wrote it; "" if there is none.
        eye: "left" or "right"; "" if the file names none, both, or contradicts itself.
        date: the day of the photograph, "2026-11-26"; "" if unknown.
        device: maker and model of the camera; "" if unknown.
        burned_in: whether the file says that identifying text is part of its pixels.
        study_uid, series_uid, instance_uid, sop_class: the identifiers of the object and its study.
        frame: the number of the frame, from 1.
        frames: how many frames the file has.
        secrets: texts that identify the patient or the study: identifiers, the parts of the name, the date of birth.
    """

    patient_id: str
    eye: str
    date: str
    device: str
    burned_in: bool
    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class: str
    frame: int = 1
    frames: int = 1
    secrets: tuple[str, ...] = ()


def unwrap(data: bytes, frame: int | None = None) -> tuple[bytes, Subject | None]:
    """Return the photograph in a file: that of a DICOM file's frame, or the file itself if it is no DICOM file.

    Args:
        data: the bytes of the file.
        frame: the number of the frame, from 1; None: the only one.

    Returns:
        The bytes of a photograph's file, and what the DICOM file says; None for other files.

    Raises:
        KerasDrError: a frame is named of a file that is no DICOM file; pydicom is not installed; the file is damaged,
            holds no fundus photograph or several frames; or its pixels are of a kind that is not read.

    Example:
        >>> photograph, subject = unwrap(Path("eye.dcm").read_bytes())
        >>> subject.eye, photograph[:2]
        ('right', b'P6')
    """
    if not is_dicom(data):
        if frame is not None:
            message = f"The file is not a DICOM file, so that it has no frame {frame}."
            raise KerasDrError(message, "Name the file itself, or a frame of a DICOM file.")
        return data, None
    with _reading(data):
        dataset = _dataset(data)
        _check_class(dataset)
        subject = _describe(dataset, frame)
        if frame is None and subject.frames > 1:
            message = f"The DICOM file has {subject.frames} frames, each of which is a photograph."
            raise KerasDrError(message, "Name one of them by a path such as eye.dcm/frame-2.")
        if subject.frame > subject.frames:
            message = f"The DICOM file has {subject.frames} frames, so that there is no frame {subject.frame}."
            raise KerasDrError(message, f"Name a frame from 1 to {subject.frames}.")
        from keras_dr.core.dicom_pixels import frame_bytes

        return frame_bytes(dataset, subject.frame - 1, subject.frames), subject


def describe(data: bytes, frame: int | None = None) -> Subject:
    """Return what a DICOM file of any class says besides its pixels, which are not decoded.

    Args:
        data: the bytes of the file.
        frame: the number of the frame, from 1; None: the first one.

    Raises:
        KerasDrError: pydicom is not installed, or the file is damaged.
    """
    with _reading(data):
        return _describe(_dataset(data), frame)


@contextmanager
def _reading(data: bytes) -> Iterator[None]:
    """Turn the errors of pydicom and of decoders, which may be of any kind, into a KerasDrError."""
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (KerasDrError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:300]
        message = f"The DICOM file of {len(data)} bytes is truncated or damaged: {reason}."
        raise KerasDrError(message, _COPY) from error


def _dataset(data: bytes) -> Any:
    """Return the pydicom data set of a file."""
    try:
        import pydicom
        from pydicom import config
    except ImportError as error:
        message = "The file is a DICOM file, and pydicom, which reads them, is not installed."
        raise MissingPackageError(message, "Install it with: pip install 'keras_dr[dicom]'") from error
    config.settings.reading_validation_mode = config.IGNORE
    head = read_head(data)
    if head.syntax == DEFLATED:
        _check_deflated(data, head.data_set)
    else:
        _check_items(_count_items(data))
    return pydicom.dcmread(io.BytesIO(data), force=True)


def _check_deflated(data: bytes, begin: int) -> None:
    """Refuse a data set that unpacks to more than the memory holds, before pydicom unpacks it as a whole."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    items = 0
    packed = data[begin:]
    while packed and not stream.eof:
        part = stream.decompress(packed, 1 << 20)
        size += len(part)
        items += _count_items(part)
        _check_items(items)
        packed = stream.unconsumed_tail
        if size > _LARGEST:
            message = f"The DICOM file of {len(data)} bytes unpacks to more than {_LARGEST >> 20} MiB."
            raise KerasDrError(message, "Export the photograph again, without compression.")


def _count_items(data: bytes) -> int:
    return max(data.count(tag) for tag in _ITEMS)


def _check_items(count: int) -> None:
    """Refuse a file whose sequences would occupy the reader for minutes."""
    if count > _MAX_ITEMS:
        message = f"The DICOM file has more than {_MAX_ITEMS} items in its sequences, which no photograph has."
        raise KerasDrError(message, _COPY)


def _check_class(dataset: Any) -> None:
    """Refuse objects that hold no fundus photograph, by name."""
    sop_class = str(dataset.get("SOPClassUID", ""))
    if sop_class not in PHOTOGRAPHS:
        name = class_name(sop_class) if sop_class else "no class"
        message = f"The DICOM file is an object of another kind than a fundus photograph: {name}."
        raise KerasDrError(message, "Name an ophthalmic photograph, a VL photograph or a secondary capture.")
    if str(dataset.get("Manufacturer", "")) == PRODUCER:
        raise KerasDrError("The DICOM file is a heat map that this program drew.", "Name the photograph itself.")
    agents = ("ContrastBolusAgent", "ContrastBolusAgentSequence")
    if any(dataset.get(keyword) for keyword in agents):
        message = "The DICOM file is an angiogram: it was taken with a contrast agent, as its header says."
        raise KerasDrError(message, "Name a colour photograph.")


def _describe(dataset: Any, frame: int | None) -> Subject:
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 1 <= frames <= MAX_FRAMES:
        message = f"The DICOM file says that it has {brief(frames)} frames; it may have 1 to {MAX_FRAMES}."
        raise KerasDrError(message, _COPY)
    number = frame or 1
    texts = {keyword: _text(dataset, keyword) for keyword in _IDS}
    maker = [_text(dataset, keyword) for keyword in ("Manufacturer", "ManufacturerModelName")]
    return Subject(
        patient_id=texts["PatientID"],
        eye=_eye(dataset, number - 1),
        date=_date(dataset),
        device=" ".join(filter(None, maker)),
        burned_in=_text(dataset, "BurnedInAnnotation") == "YES",
        study_uid=texts["StudyInstanceUID"],
        series_uid=texts["SeriesInstanceUID"],
        instance_uid=texts["SOPInstanceUID"],
        sop_class=_text(dataset, "SOPClassUID"),
        frame=number,
        frames=frames,
        secrets=_secrets(dataset, texts),
    )


def _text(dataset: Any, keyword: str) -> str:
    """Return a value as one line without control characters; "" if it is missing, several values or of another kind."""
    value = dataset.get(keyword)
    if not isinstance(value, str):
        return ""
    line = " ".join(str(value).replace("\0", " ").split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _secrets(dataset: Any, texts: dict[str, str]) -> tuple[str, ...]:
    name = str(dataset.get("PatientName") or "")
    parts = name.replace("^", " ").replace("=", " ").split()
    other = [str(value) for value in _values(dataset.get("OtherPatientIDs"))]
    birth = _text(dataset, "PatientBirthDate")
    year, month, day = birth[:4], birth[4:6], birth[6:8]
    births = (f"{year}-{month}-{day}", f"{day}-{month}-{year}") if len(birth) == 8 else ()
    others = (*texts.values(), *parts, *other, birth, *births)
    found = [texts["PatientID"], *(text for text in others if len(text) >= 3)]
    return tuple(dict.fromkeys(filter(None, found)))


def _values(value: Any) -> list[Any]:
    """Return the values of an element as a list, whether it has none, one or several."""
    if value is None:
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _date(dataset: Any) -> str:
    for keyword in _DATES:
        digits = _text(dataset, keyword)[:8]
        if len(digits) == 8 and digits.isascii() and digits.isdigit():
            return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    return ""


def _eye(dataset: Any, index: int) -> str:
    """Return the eye by all places where a laterality stands; "" if two of them contradict each other."""
    named = {_EYES[value] for value in _lateralities(dataset, index) if value in _EYES}
    return named.pop() if len(named) == 1 else ""


def _lateralities(dataset: Any, index: int) -> Iterator[str]:
    """Yield the values of Image Laterality, Laterality, Frame Laterality, and the modifiers of the anatomic region."""
    yield from (_text(dataset, keyword) for keyword in ("ImageLaterality", "Laterality", "MeasurementLaterality"))
    yield from _modifiers(dataset)
    groups = _values(dataset.get("SharedFunctionalGroupsSequence"))
    groups += _values(dataset.get("PerFrameFunctionalGroupsSequence"))[index : index + 1]
    for group in groups:
        for anatomy in _values(group.get("FrameAnatomySequence")):
            yield _text(anatomy, "FrameLaterality")
            yield from _modifiers(anatomy)


def _modifiers(dataset: Any) -> Iterator[str]:
    for region in ("AnatomicRegion", "PrimaryAnatomicStructure"):
        for item in _values(dataset.get(f"{region}Sequence")):
            for modifier in _values(item.get(f"{region}ModifierSequence")):
                yield _text(modifier, "CodeValue")
