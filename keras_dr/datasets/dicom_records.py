"""Completes the records of DICOM files by what stands in them: frames, patient and eye, without identifying anybody."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_dr.core.dicom import Subject
from keras_dr.core.frames import subject_of
from keras_dr.core.privacy import Privacy
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import Record, safe_id


def complete_reading(reading: Reading, privacy: Privacy) -> Reading:
    """Return a reading whose records of DICOM files have the patient and the eye that stand in the file.

    A file with several frames becomes a record per frame, all with its class. Identifying parts of file names are
    replaced, in the image_id and in the path that results show.

    Args:
        reading: what an adapter read.
        privacy: how results name patients.
    """
    described = [subject_of(record.path) if record.member is None else None for record in reading.records]
    subjects = [subject for subject in described if subject]
    if not subjects:
        return reading
    secrets = tuple({secret for subject in subjects for secret in subject.secrets})
    completed: list[Record] = []
    for record, subject in zip(reading.records, described, strict=True):
        masked = record if subject and subject.patient_id else _masked(record, secrets, privacy)
        completed += _frames(masked, subject, privacy) if subject else [masked]
    named = any(subject.patient_id for subject in subjects)
    return replace(
        reading,
        records=completed,
        patients="the DICOM files" if named else privacy.mask(reading.patients, secrets),
        notes=(*(privacy.mask(note, secrets) for note in reading.notes), *_notes(subjects, privacy)),
    )


def _masked(record: Record, secrets: tuple[str, ...], privacy: Privacy) -> Record:
    """Return the record of a file that says nothing of its patient, without what the DICOM files beside it say."""
    if record.member is not None or privacy.identified:
        return record
    own_patient = record.patient_id == record.image_id
    image_id = safe_id(privacy.mask(record.image_id, secrets))
    shown = privacy.mask(str(record.path), secrets)
    return replace(
        record,
        image_id=image_id,
        patient_id=image_id if own_patient else privacy.mask(record.patient_id, secrets),
        shown_path="" if shown == str(record.path) else shown,
    )


def _frames(record: Record, subject: Subject, privacy: Privacy) -> list[Record]:
    named = record.patient_id if record.patient_id != record.image_id else ""
    image_id = safe_id(privacy.mask(record.image_id, subject.secrets))
    patient = privacy.patient(subject.patient_id or named) or image_id
    common = replace(record, image_id=image_id, patient_id=patient, eye=record.eye or subject.eye)
    shown = privacy.mask(record.shown_path or str(record.path), subject.secrets)
    hidden = "" if shown == str(record.path) else shown
    if subject.frames == 1:
        return [replace(common, shown_path=hidden)]
    records = []
    for number in range(1, subject.frames + 1):
        path = record.path / f"frame-{number}"
        shown_path = str(Path(hidden) / path.name) if hidden else ""
        records.append(replace(common, image_id=f"{image_id}_{path.name}", path=path, shown_path=shown_path))
    return records


def _notes(subjects: Sequence[Subject], privacy: Privacy) -> list[str]:
    kept = "as they stand in the files" if privacy.identified else "by keyed hashes"
    notes = [f"DICOM files: {len(subjects)}; their patients are named {kept}."]
    several = sum(subject.frames > 1 for subject in subjects)
    if several:
        notes.append(f"DICOM files with several frames, each of which is a photograph: {several}.")
    burned_in = [subject for subject in subjects if subject.burned_in]
    if burned_in:
        notes.append(
            f"DICOM files that say that text is part of their pixels, which may name the patient: {len(burned_in)}. "
            "Look at their prepared pictures before you pass the set on."
        )
    return notes
