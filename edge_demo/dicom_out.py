"""Writes gradings of DICOM photographs as DICOM objects: a structured report and the picture of the grading.

The identifiers of both objects are computed from the photograph and the grader, so that a report that is written or
sent twice is one object, not two. The objects belong to the photograph's study and hold its identifiers. Needs the
extra `dicom`.
"""

import io
from pathlib import Path
from typing import Any

from edge_demo.bundle import Bundle
from edge_demo.dicom_identifiers import STUDY_ELEMENTS
from edge_demo.dicom_overlay import make_overlay
from edge_demo.dicom_report import make_report
from edge_demo.grading import Grading, image_id
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.frames import split_frame, subject_of
from keras_dr.core.image_files import printable


def write_dicom(grading: Grading, image: Path, bundle: Bundle, variant: str, folder: Path) -> list[Path]:
    """Write the report and the overlay of a photograph, each whole or not at all.

    Args:
        grading: the grading, as `Grader.grade` returned it.
        image: the photograph's file or frame; a DICOM file.
        bundle: the bundle that graded it, at its operating point.
        variant: the variant of its model.
        folder: an existing folder.

    Returns:
        The two files, NAME_report.dcm and NAME_overlay.dcm with the photograph's image_id as NAME; NAME-2 and so on if
        the folder holds those of another photograph under this name, because archives number the files of each series
        anew.

    Raises:
        KerasDrError: the photograph is no DICOM file, lacks an identifier, or highdicom is not installed.

    Example:
        >>> write_dicom(grading, Path("eye.dcm"), grader.bundle, "int8", Path("out"))
        [PosixPath('out/eye_report.dcm'), PosixPath('out/eye_overlay.dcm')]
    """
    subject = subject_of(image)
    if subject is None or not (subject.study_uid and subject.instance_uid):
        message = f"{image.name} has no identifiers of a DICOM study, so that no report can refer to it."
        raise KerasDrError(message, "Leave --dicom-out out, or name DICOM files.")
    source = _source(split_frame(image)[0])
    made = {
        "report": make_report(grading, source, subject, bundle, variant),
        "overlay": make_overlay(grading, source, subject, bundle, variant),
    }
    files = _free_names(folder, image_id(printable(image)), made)
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
    for keyword in STUDY_ELEMENTS:
        if keyword not in source:
            setattr(source, keyword, None)
    return source
