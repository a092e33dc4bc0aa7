"""Writes gradings of DICOM photographs as DICOM objects: a structured report (TID 1500) and the picture of the grading.

The report is an Enhanced SR made with highdicom. Codes come from DICOM's own dictionary (DCM) where it has them; the
others are of the private scheme 99KERASDR, which the report declares. The identifiers of both objects are computed from
the photograph and the grader, so that a report that is written or sent twice is one object, not two. The objects belong
to the photograph's study and hold its identifiers. Needs the extra `dicom`.
"""

import hashlib
import io
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import Bundle
from edge_demo.grader import Grading
from edge_demo.results import FOOTER
from keras_dr import __version__
from keras_dr.core.dicom import Subject
from keras_dr.core.dicom_files import PRODUCER
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import sha256_of, write_bytes
from keras_dr.core.frames import split_frame, subject_of

SCHEME = "99KERASDR"  # designators of private coding schemes begin with 99 (PS3.16, section 8.2)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SERIES = {"report": 9001, "overlay": 9002}
_LONGEST_MEANING = 64  # characters of a code's meaning
_BAND = 40  # height of the strip with the notice, pixels
# elements of patient and study that both objects take over (PS3.3, C.7.1.1 and C.7.2.1); they may be empty
_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_NAMES = {
    "grade": "Grade of diabetic retinopathy by an algorithm",
    "referable": "Referable diabetic retinopathy by an algorithm",
    "action": "Action proposed by an algorithm",
    "gradability": "Gradability of the photograph by an algorithm",
    "grade_set": "Prediction set of grades by an algorithm",
    "p_referable": "Probability of referable diabetic retinopathy",
}


def write_dicom(grading: Grading, image: Path, bundle: Bundle, variant: str, folder: Path) -> list[Path]:
    """Write the report and the overlay of a photograph, each whole or not at all.

    Args:
        grading: the grading, as `Grader.grade` returned it.
        image: the photograph's file or frame; a DICOM file.
        bundle: the bundle that graded it, at its operating point.
        variant: the variant of its model.
        folder: an existing folder.

    Returns:
        The two files, NAME_report.dcm and NAME_overlay.dcm; NAME-2 and so on if the folder holds those of another
        photograph under this name, because archives number the files of each series anew.

    Raises:
        KerasDrError: the photograph is no DICOM file, lacks an identifier, or highdicom is not installed.

    Example:
        >>> write_dicom(grading, Path("eye.dcm"), grader.bundle, "int8", Path("out"))
        [PosixPath('out/eye_report.dcm'), PosixPath('out/eye_overlay.dcm')]
    """
    file, frame = split_frame(image)
    subject = subject_of(image)
    if subject is None or not (subject.study_uid and subject.instance_uid):
        message = f"{image.name} has no identifiers of a DICOM study, so that no report can refer to it."
        raise KerasDrError(message, "Leave --dicom-out out, or name DICOM files.")
    source = _source(file)
    stem = f"{file.stem}_frame-{frame}" if frame else file.stem
    made = {
        "report": _report(grading, source, subject, bundle, variant),
        "overlay": _overlay(grading, source, subject, bundle, variant),
    }
    files = _free_names(folder, stem, made)
    for target, dataset in zip(files, made.values(), strict=True):
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        write_bytes(target, stream.getvalue())
    return files


def _free_names(folder: Path, stem: str, made: dict[str, Any]) -> list[Path]:
    """Return the first names under which the folder holds nothing, or the same objects from an earlier run."""
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        files = [folder / f"{name}_{kind}.dcm" for kind in made]
        if all(_is_free(file, dataset) for file, dataset in zip(files, made.values(), strict=True)):
            return files
        number += 1


def _is_free(file: Path, dataset: Any) -> bool:
    import pydicom

    if not file.exists():
        return True
    try:
        held = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    except (OSError, pydicom.errors.InvalidDicomError):
        return False
    return held.get("SOPInstanceUID") == dataset.SOPInstanceUID


def _source(file: Path) -> Any:
    """Return the photograph's data set without pixels, with all elements of patient and study."""
    import pydicom

    source = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    for keyword in _STUDY:
        if keyword not in source:
            setattr(source, keyword, None)
    return source


def object_uid(subject: Subject, bundle: Bundle, variant: str, kind: str) -> str:
    """Return the identifier of an object: the same photograph and grader always have the same one.

    It is of the form 2.25.N, where N is a UUID as a number (PS3.5, annex B.2).

    Args:
        subject: what the photograph's file says.
        bundle: the bundle at its operating point.
        variant: the variant of its model.
        kind: "report" or "overlay", or the series of one.
    """
    model = bundle.models[variant].sha256
    point = f"{bundle.point_name}:{bundle.threshold!r}"
    if bundle.grade_sets:
        point += f":{bundle.grade_sets.limit!r}"
    text = f"{subject.instance_uid}:{subject.frame}:{model}:{point}:{__version__}:{kind}"
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=5).int}"


def _series_uid(subject: Subject, kind: str) -> str:
    digest = hashlib.sha256(f"{subject.study_uid}:{PRODUCER}:{kind}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _own(value: str, meaning: str) -> Any:
    """Return a code of the private scheme."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value[:16], SCHEME, meaning[:_LONGEST_MEANING])


def _report(grading: Grading, source: Any, subject: Subject, bundle: Bundle, variant: str) -> Any:
    try:
        from highdicom import sr
    except ImportError as error:
        message = "Structured reports need highdicom, which is not installed."
        raise KerasDrError(message, "Install it with: pip install 'keras_dr[dicom]'") from error
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_series_uid(subject, "device"), name=PRODUCER, manufacturer_name=PRODUCER, model_name=__version__
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_own("photography", "Ophthalmic photography graded by an algorithm"),
        imaging_measurements=[_group(grading, subject, bundle, variant)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = sr.EnhancedSR(
        evidence=[source],
        content=content[0],
        series_instance_uid=_series_uid(subject, "report"),
        series_number=_SERIES["report"],
        sop_instance_uid=object_uid(subject, bundle, variant, "report"),
        instance_number=_instance_number(source, subject),
        manufacturer=PRODUCER,
        is_complete=True,
    )
    report.SeriesDescription = "Grading by an algorithm: research use only"
    report.CodingSchemeIdentificationSequence = [_declared_scheme()]
    return report


def _declared_scheme() -> Any:
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Private codes of keras_dr"
    scheme.CodingSchemeVersion = "1"
    scheme.CodingSchemeResponsibleOrganization = PRODUCER
    return scheme


def _group(grading: Grading, subject: Subject, bundle: Bundle, variant: str) -> Any:
    """Return the measurements and evaluations of one photograph (TID 1501)."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    tracking = sr.TrackingIdentifier(
        uid=object_uid(subject, bundle, variant, "tracking"), identifier=f"photograph {subject.frame}"
    )
    frames = [subject.frame] if subject.frames > 1 else None
    measured = {"p_referable": (_NAMES["p_referable"], grading.p_referable)} if bundle.referable else {}
    for number, (name, value) in enumerate(grading.probabilities.items()):
        measured[f"p_{number}"] = (f"Probability of the class {name}", value)
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        algorithm_id=_algorithm(bundle, variant),
        measurements=[
            sr.Measurement(_own(key, meaning), float(np.round(value, 6)), codes.UCUM.NoUnits)
            for key, (meaning, value) in measured.items()
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_own(key, _NAMES[key]), value) for key, value in _evaluations(grading).items()
        ],
        source_images=[sr.SourceImageForMeasurementGroup(subject.sop_class, subject.instance_uid, frames)],
    )
    for text in filter(
        None, (grading.reason, grading.grade_set_sentence, _faults(grading), grading.trained_on, FOOTER)
    ):
        contains = sr.RelationshipTypeValues.CONTAINS
        group[0].ContentSequence.append(sr.TextContentItem(codes.DCM.Comment, text, contains))
    return group


def _evaluations(grading: Grading) -> dict[str, Any]:
    """Return the coded answers, by the keys of `_NAMES`."""
    referable = "yes" if grading.referred else "no"
    gradable = "no" if grading.faults else "yes"
    action = grading.action
    classes = list(grading.probabilities)
    found = {
        "grade": _own(f"grade_{classes.index(grading.grade)}", grading.grade),
        "referable": _own(f"referable_{referable}", referable),
        "action": _own(action.replace(": by ", "_").replace(": ", "_"), action),
        "gradability": _own(f"gradable_{gradable}", "gradable" if gradable == "yes" else "faults"),
    }
    if grading.grade_set:
        first, last = (classes.index(name) for name in (grading.grade_set[0], grading.grade_set[-1]))
        found["grade_set"] = _own(f"grades_{first}_{last}", grading.grade_set_in_words)
    return found


def _faults(grading: Grading) -> str:
    return f"Faults of the photograph: {', '.join(grading.faults)}." if grading.faults else ""


def _algorithm(bundle: Bundle, variant: str) -> Any:
    """Return name, version and settings of the grader (TID 4019)."""
    from highdicom import sr

    parameters = [
        f"variant {variant}",
        f"model SHA-256 {bundle.models[variant].sha256}",
        f"bundle SHA-256 {sha256_of(bundle.folder / 'bundle.json')}",
        f"operating point {bundle.point_name}, threshold {bundle.threshold:.6f}",
    ]
    return sr.AlgorithmIdentification(
        f"{PRODUCER} {bundle.folder.name}", __version__, parameters, manufacturer=PRODUCER
    )


def _instance_number(source: Any, subject: Subject) -> int:
    try:
        return max(1, int(source.get("InstanceNumber") or 1)) * 1000 % 2**31 + subject.frame
    except (TypeError, ValueError):
        return subject.frame


def _overlay(grading: Grading, source: Any, subject: Subject, bundle: Bundle, variant: str) -> Any:
    """Return the picture of the grading as a Secondary Capture (PS3.3, A.8.1)."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    pixels = with_notice(grading.picture())
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(object_uid(subject, bundle, variant, "overlay"))
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for keyword in _STUDY:
        setattr(made, keyword, source.get(keyword))
    now = datetime.now()
    values = {
        "SpecificCharacterSet": source.get("SpecificCharacterSet") or "ISO_IR 192",
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": subject.study_uid,
        "SeriesInstanceUID": _series_uid(subject, "overlay"),
        "SeriesNumber": _SERIES["overlay"],
        "InstanceNumber": _instance_number(source, subject),
        "SeriesDescription": "Heat map by an algorithm: research use only",
        "Modality": "OT",
        "Laterality": {"left": "L", "right": "R"}.get(subject.eye, ""),
        "ConversionType": "WSD",
        "Manufacturer": PRODUCER,
        "SecondaryCaptureDeviceManufacturer": PRODUCER,
        "SoftwareVersions": __version__,
        "ImageType": ["DERIVED", "SECONDARY"],
        "ContentDate": now.strftime("%Y%m%d"),
        "ContentTime": now.strftime("%H%M%S"),
        "BurnedInAnnotation": "YES" if subject.burned_in else "NO",
        "PatientOrientation": "",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SourceImageSequence": [_reference(subject)],
    }
    for keyword, value in values.items():
        setattr(made, keyword, value)
    content = pixels.tobytes()
    made.PixelData = content + bytes(len(content) % 2)
    made["PixelData"].VR = "OB"
    return made


def _reference(subject: Subject) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = subject.sop_class
    item.ReferencedSOPInstanceUID = subject.instance_uid
    if subject.frames > 1:
        item.ReferencedFrameNumber = subject.frame
    return item


def with_notice(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture with a strip below it that says that it is for research only.

    Args:
        picture: uint8 RGB (H, W, 3).

    Returns:
        uint8 RGB (H + 40, W, 3).
    """
    strip = np.full((_BAND, picture.shape[1], 3), (120, 20, 20), np.uint8)
    cv2.putText(strip, FOOTER, (12, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([picture, strip])


def read_report(file: Path | str) -> dict[str, Any]:
    """Return the grading in a report that `write_dicom` wrote.

    Args:
        file: the report.

    Returns:
        grade, referable, action, gradability and, if stated, grade_set as text; probabilities by class; p_referable;
        comments; algorithm; source: the identifier of the photograph.

    Raises:
        KerasDrError: the file is no report of this program.

    Example:
        >>> read_report("out/eye_report.dcm")["action"]
        'refer: by grade'
    """
    import pydicom
    from pydicom.dataset import Dataset

    dataset = pydicom.dcmread(file)
    found: dict[str, Any] = {"probabilities": {}, "comments": [], "algorithm": []}
    if str(dataset.get("Manufacturer", "")) != PRODUCER or "ContentSequence" not in dataset:
        raise KerasDrError(f"{file} is not a report of this program.", "Name a file that --dicom-out wrote.")
    for item in _items(dataset.ContentSequence):
        name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
        key = str(name.get("CodeValue")) if name.get("CodingSchemeDesignator") == SCHEME else ""
        if item.ValueType == "CODE" and key:
            found[key] = str(item.ConceptCodeSequence[0].CodeMeaning)
        elif item.ValueType == "NUM" and key:
            value = float(item.MeasuredValueSequence[0].NumericValue)
            if key == "p_referable":
                found[key] = value
            else:
                found["probabilities"][str(name.CodeMeaning).removeprefix("Probability of the class ")] = value
        elif item.ValueType == "TEXT":
            kind = "comments" if name.get("CodeMeaning") == "Comment" else "algorithm"
            found[kind].append(str(item.TextValue))
        elif item.ValueType == "IMAGE":
            found["source"] = str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    return found


def _items(sequence: Sequence[Any]) -> list[Any]:
    """Return all content items of a report, those in other items after these."""
    items = []
    for item in sequence:
        items.append(item)
        items += _items(item.get("ContentSequence") or [])
    return items
