"""The report of a graded DICOM photograph, an Enhanced SR by TID 1500, made with highdicom and read back.

Codes come from DICOM's own dictionary (DCM) where it has them; the others are of the private scheme 99KERASDR, which
the report declares.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.dicom_identifiers import SERIES, instance_number, object_uid, series_uid, settings_of
from edge_demo.grading import FOOTER, Grading
from keras_dr import __version__
from keras_dr.core.dicom import Subject
from keras_dr.core.dicom_files import PRODUCER
from keras_dr.core.errors import KerasDrError

SCHEME = "99KERASDR"  # designators of private coding schemes begin with 99 (PS3.16, section 8.2)
_LONGEST_MEANING = 64  # characters of a code's meaning
_NAMES = {
    "grade": "Grade of diabetic retinopathy by an algorithm",
    "referable": "Referable diabetic retinopathy by an algorithm",
    "action": "Action proposed by an algorithm",
    "gradability": "Gradability of the photograph by an algorithm",
    "grade_set": "Prediction set of grades by an algorithm",
    "p_referable": "Probability of referable diabetic retinopathy",
}


def make_report(grading: Grading, source: Any, subject: Subject, bundle: Bundle, variant: str) -> Any:
    """Return the report of a grading.

    Args:
        grading: the grading, as `Grader.grade` returned it.
        source: the photograph's data set without pixels.
        subject: what the photograph's file says.
        bundle: the bundle that graded it, at its operating point.
        variant: the variant of its model.

    Raises:
        KerasDrError: highdicom is not installed.
    """
    try:
        from highdicom import sr
    except ImportError as error:
        message = "Structured reports need highdicom, which is not installed."
        raise KerasDrError(message, "Install it with: pip install 'keras_dr[dicom]'") from error
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=series_uid(subject, "device"), name=PRODUCER, manufacturer_name=PRODUCER, model_name=__version__
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
        series_instance_uid=series_uid(subject, "report"),
        series_number=SERIES["report"],
        sop_instance_uid=object_uid(grading, subject, bundle, variant, "report"),
        instance_number=instance_number(source, subject),
        manufacturer=PRODUCER,
        is_complete=True,
    )
    report.SeriesDescription = "Grading by an algorithm: research use only"
    report.CodingSchemeIdentificationSequence = [_declared_scheme()]
    return report


def _own(value: str, meaning: str) -> Any:
    """Return a code of the private scheme."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value[:16], SCHEME, meaning[:_LONGEST_MEANING])


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
        uid=object_uid(grading, subject, bundle, variant, "tracking"), identifier=f"photograph {subject.frame}"
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
    comments = [grading.reason, grading.grade_set_sentence, _faults(grading), grading.unfamiliar_sentence]
    for text in filter(None, (*comments, grading.model_doubt, grading.trained_on, FOOTER)):
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

    name = f"{PRODUCER} {bundle.folder.name}"
    return sr.AlgorithmIdentification(name, __version__, settings_of(bundle, variant), manufacturer=PRODUCER)


def read_report(file: Path | str) -> dict[str, Any]:
    """Return the grading in a report that `dicom_out.write_dicom` wrote.

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
