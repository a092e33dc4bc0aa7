"""The results of patients with several photographs: the worse eye decides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_demo.grading import Grading, image_id
from edge_demo.results import Outcome
from keras_dr.core.decision import ACTIONS
from keras_dr.core.encoding import PLAIN, CsvStyle, encode_table
from keras_dr.core.folders import write_bytes
from keras_dr.core.frames import split_frame, subject_of
from keras_dr.core.image_files import is_list, list_rows, shown
from keras_dr.core.names import eye_of_value, patients_of_names
from keras_dr.core.outputs import TABLE_FORMATS, check_output, is_table, known_by_suffix
from keras_dr.core.privacy import Privacy, shown_name

PATIENTS = "patients"  # the name of the table, before its suffix
UNGRADABLE = "ungradable"
EYES = ("left", "right")
COLUMNS = ("patient_id", "photographs", "grade", "eye", "p_referable", "action", "reason", *EYES, UNGRADABLE)
_PATIENT_COLUMNS = ("patient_id", "patient", "patientid", "subject_id", "subject")
_EYE_COLUMNS = ("eye", "laterality", "side")
_URGENCY = ("none", "retake", *reversed(ACTIONS.values()))  # the last is the most urgent


@dataclass(frozen=True)
class Person:
    """The patient and the eye of a photograph, as its name or a list says; "" if it does not say."""

    patient: str = ""
    eye: str = ""


def people_of(given: Sequence[Path], images: Sequence[Path], privacy: Privacy | None = None) -> dict[str, Person]:
    """Return path -> the patient and the eye of each photograph of which one of them is known.

    They are taken from DICOM files, from the columns of the lists that were given, or else from names such as 1000_OD
    and 1000_OS. Names say no patients if a list says some.

    Args:
        given: photographs, folders and lists, as a command is given them.
        images: the photographs in them.
        privacy: how results name the patients of DICOM files; by default by a keyed hash.
    """
    privacy = privacy or Privacy()
    people: dict[Path, Person] = {}
    for path in given:
        if is_list(path) and path.is_file():
            people |= _people_of_list(path)
    pairs = patients_of_names([image_id(str(image)) for image in images])
    if pairs and not any(person.patient for person in people.values()):
        for image, (patient, eye) in zip(images, pairs, strict=True):
            people[image] = Person(patient, people.get(image, Person()).eye or eye)
    for image in images:
        subject = subject_of(image)
        if subject:
            own = people.get(image) or people.get(split_frame(image)[0], Person())  # a list may name the whole file
            people[image] = Person(privacy.patient(subject.patient_id or own.patient), subject.eye or own.eye)
    return {shown_name(image, privacy): people[image] for image in images if people.get(image, Person()) != Person()}


def eyes_of(people: Mapping[str, Person]) -> dict[str, str]:
    """Return path of a photograph, as in its grading -> "left" or "right", from the result of `people_of`."""
    return {path: person.eye for path, person in people.items() if person.eye}


def _people_of_list(file: Path) -> dict[Path, Person]:
    """Return photograph -> patient and eye, by the columns of a list; "" if it has no such column."""
    people = {}
    for image, row, header in list_rows(file):
        patients = header.find(_PATIENT_COLUMNS)
        eyes = header.find(_EYE_COLUMNS)
        patient = row.text(patients[0]) if patients else ""
        people[image] = Person(patient, eye_of_value(row.text(eyes[0])) if eyes else "")
    return people


def patient_rows(
    outcomes: Sequence[Outcome], people: Mapping[str, Person], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a row per patient, in the order of their first photographs, without photographs of unknown patients.

    The patient's action is the most urgent of all photographs, and the grade the worst of the photographs without
    faults. An eye without such a photograph is ungradable.

    Args:
        outcomes: the results of the photographs.
        people: path of a photograph, as in its outcome -> its patient and eye.
        classes: the classes, from healthy to severe.
    """
    by_patient: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        person = people.get(outcome.path)
        if person is not None and person.patient:
            by_patient.setdefault(person.patient, []).append(outcome)
    rank = {name: index for index, name in enumerate(classes)}
    return [_row(patient, own, people, rank) for patient, own in by_patient.items()]


def _row(
    patient: str, outcomes: Sequence[Outcome], people: Mapping[str, Person], rank: Mapping[str, int]
) -> dict[str, Any]:
    gradings = [outcome for outcome in outcomes if isinstance(outcome, Grading)]
    clear = [grading for grading in gradings if not grading.faults]
    row: dict[str, Any] = {"patient_id": patient, "photographs": len(outcomes)}
    worst = max(clear, key=lambda grading: (rank[grading.grade], grading.p_referable), default=None)
    row |= {"grade": worst.grade if worst else UNGRADABLE, "eye": people[worst.path].eye if worst else ""}
    if gradings:
        urgent = max(gradings, key=lambda grading: (_URGENCY.index(grading.action), grading.p_referable))
        row |= {"action": urgent.action, "reason": urgent.reason}
        row["p_referable"] = max(grading.p_referable for grading in gradings)
    if len(gradings) < len(outcomes) and row.get("action", "none") == "none":
        row |= {"action": "retake", "reason": "A photograph could not be graded."}
    ungradable = []
    for eye in EYES:
        paths = {outcome.path for outcome in outcomes if people[outcome.path].eye == eye}
        grades = [grading.grade for grading in clear if grading.path in paths]
        if paths:
            row[eye] = max(grades, key=rank.__getitem__, default=UNGRADABLE)
            if not grades:
                ungradable.append(eye)
    return row | {UNGRADABLE: ";".join(ungradable)}


def patients_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line of text with the counts of the patients, who are counted by their most urgent photograph."""
    referred = sum(str(row.get("action", "")).startswith("refer") for row in rows)
    retake = sum(row.get("action") == "retake" for row in rows)
    patients = f"{len(rows)} patient{'' if len(rows) == 1 else 's'}, by the worse eye"
    rest = len(rows) - referred - retake
    return f"{patients}: {referred} to be referred, {retake} to be retaken, {rest} no action."


@dataclass(frozen=True)
class PatientsTable:
    """The table patients.csv, which is written next to a table of photographs if their patients are known.

    Attributes:
        file: the file to write.
        people: see `people_of`; empty if no patient is known.
        style: the style of a CSV file.
    """

    file: Path
    people: Mapping[str, Person]
    style: CsvStyle = PLAIN

    @classmethod
    def beside(cls, table: Path | None, people: Mapping[str, Person], style: CsvStyle = PLAIN) -> "PatientsTable":
        """Return the table that belongs to a table of photographs.

        Args:
            table: the table of photographs, a .csv, .xlsx or .parquet file; None: no table is written.
            people: from `people_of`.
            style: the style of a CSV file.
        """
        has_patients = any(person.patient for person in people.values())
        if table is None or table.suffix.lower() not in TABLE_FORMATS or not has_patients:
            return cls(Path(), {}, style)
        return cls(table.with_name(PATIENTS + table.suffix), people, style)

    def check(self, inputs: Iterable[Path], overwrite: bool) -> None:
        """Check before the work that the table can be written and replaces only an earlier one.

        Raises:
            KerasDrError: see `check_output`.
        """
        if self.people:
            table = is_table(COLUMNS)
            known = known_by_suffix(csv=table, xlsx=table, parquet=table)
            check_output(self.file, TABLE_FORMATS, inputs=inputs, known=known, overwrite=overwrite)

    def write(self, outcomes: Sequence[Outcome], classes: Sequence[str]) -> list[str]:
        """Write the table, and return lines for the user that name it and count the patients."""
        rows = patient_rows(outcomes, self.people, classes)
        if not rows:
            return []
        types = {name: "string" for name in COLUMNS} | {"photographs": "int64", "p_referable": "float64"}
        write_bytes(self.file, encode_table(self.file.suffix.lower(), types, rows, self.style))
        return [f"Wrote {shown(self.file)}", patients_line(rows)]
