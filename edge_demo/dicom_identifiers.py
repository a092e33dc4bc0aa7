"""The identifiers and numbers of the DICOM objects that are written, and what they take over from the photograph."""

import hashlib
import uuid
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.grading import Grading
from keras_dr import __version__
from keras_dr.core.dicom import Subject
from keras_dr.core.dicom_files import PRODUCER
from keras_dr.core.folders import MANIFESTS, sha256_of

SERIES = {"report": 9001, "overlay": 9002}  # the numbers of the series
# elements of patient and study that both objects take over (PS3.3, C.7.1.1 and C.7.2.1); they may be empty
STUDY_ELEMENTS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def settings_of(bundle: Bundle, variant: str) -> list[str]:
    """Return the settings of a grader in words: everything of it that can change what an object says.

    Args:
        bundle: the bundle at its operating point.
        variant: the variant of its model.
    """
    return [
        f"variant {variant}",
        f"model SHA-256 {bundle.models[variant].sha256}",
        f"bundle SHA-256 {sha256_of(bundle.folder / MANIFESTS['bundle'])}",
        f"operating point {bundle.point_name}, threshold {bundle.threshold!r}, margin {bundle.margin!r}",
    ]


def object_uid(grading: Grading, subject: Subject, bundle: Bundle, variant: str, kind: str) -> str:
    """Return the identifier of an object: the same photograph and grader always have the same one.

    Graders with different settings have different ones, because an archive keeps the first of two objects with one
    identifier and drops the other. It is of the form 2.25.N, where N is a UUID as a number (PS3.5, annex B.2).

    Args:
        grading: the grading; a list may have named its eye.
        subject: what the photograph's file says.
        bundle: the bundle at its operating point.
        variant: the variant of its model.
        kind: "report" or "overlay", or what a report tracks.
    """
    photograph = [subject.instance_uid, str(subject.frame), grading.eye]
    text = "\n".join([*photograph, bundle.folder.name, *settings_of(bundle, variant), __version__, kind])
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


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
