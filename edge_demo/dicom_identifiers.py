"""The identifiers and numbers of the DICOM objects that are written, and what they take over from the photograph."""

import hashlib
import uuid
from typing import Any

from edge_demo.bundle import Bundle
from keras_dr import __version__
from keras_dr.core.dicom import Subject
from keras_dr.core.dicom_files import PRODUCER

SERIES = {"report": 9001, "overlay": 9002}  # the numbers of the series
# elements of patient and study that both objects take over (PS3.3, C.7.1.1 and C.7.2.1); they may be empty
STUDY_ELEMENTS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def object_uid(subject: Subject, bundle: Bundle, variant: str, kind: str) -> str:
    """Return the identifier of an object: the same photograph and grader always have the same one.

    It is of the form 2.25.N, where N is a UUID as a number (PS3.5, annex B.2).

    Args:
        subject: what the photograph's file says.
        bundle: the bundle at its operating point.
        variant: the variant of its model.
        kind: "report" or "overlay", or what a report tracks.
    """
    model = bundle.models[variant].sha256
    point = f"{bundle.point_name}:{bundle.threshold!r}"
    if bundle.grade_sets:
        point += f":{bundle.grade_sets.limit!r}"
    text = f"{subject.instance_uid}:{subject.frame}:{model}:{point}:{__version__}:{kind}"
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=5).int}"


def series_uid(subject: Subject, kind: str) -> str:
    """Return the identifier of the series of all objects of a kind in the photograph's study.

    Args:
        subject: what the photograph's file says.
        kind: "report" or "overlay"; or "device", for the identifier of the program in reports.
    """
    digest = hashlib.sha256(f"{subject.study_uid}:{PRODUCER}:{kind}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def instance_number(source: Any, subject: Subject) -> int:
    """Return the number of an object in its series, in the order of the photographs and their frames.

    Args:
        source: the photograph's data set.
        subject: what the photograph's file says.
    """
    try:
        return max(1, int(source.get("InstanceNumber") or 1)) * 1000 % 2**31 + subject.frame
    except (TypeError, ValueError):
        return subject.frame
