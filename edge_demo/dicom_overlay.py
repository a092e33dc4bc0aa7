"""The picture of a graded DICOM photograph, a Secondary Capture that says that it is for research only."""

from datetime import datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import Bundle
from edge_demo.dicom_identifiers import SERIES, STUDY_ELEMENTS, instance_number, object_uid, series_uid
from edge_demo.grading import FOOTER, Grading
from keras_dr import __version__
from keras_dr.core.dicom import Subject
from keras_dr.core.dicom_files import PRODUCER

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_BAND = 40  # height of the strip with the notice, pixels


def make_overlay(grading: Grading, source: Any, subject: Subject, bundle: Bundle, variant: str) -> Any:
    """Return the picture of the grading as a Secondary Capture (PS3.3, A.8.1).

    Args:
        grading: the grading, as `Grader.grade` returned it.
        source: the photograph's data set without pixels.
        subject: what the photograph's file says.
        bundle: the bundle that graded it, at its operating point.
        variant: the variant of its model.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    pixels = with_notice(grading.picture())
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(object_uid(grading, subject, bundle, variant, "overlay"))
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for keyword in STUDY_ELEMENTS:
        setattr(made, keyword, source.get(keyword))
    now = datetime.now()
    values = {
        "SpecificCharacterSet": source.get("SpecificCharacterSet") or "ISO_IR 192",
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": subject.study_uid,
        "SeriesInstanceUID": series_uid(subject, "overlay"),
        "SeriesNumber": SERIES["overlay"],
        "InstanceNumber": instance_number(source, subject),
        "SeriesDescription": "Heat map by an algorithm: research use only",
        "Modality": "OT",
        "Laterality": {"left": "L", "right": "R"}.get(grading.eye, ""),
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
