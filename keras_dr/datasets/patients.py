"""Patients from the names of photographs: 1000_OD and 1000_OS are two eyes of one."""

import re
from collections import Counter
from collections.abc import Sequence

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.naming import eye_of_value
from keras_dr.datasets.options import NONE, SourceOptions

_EYE_TOKEN = re.compile(r"(left|right|od|os|le|re|l|r)\d{0,2}", re.IGNORECASE)
_GLUED_EYE = re.compile(r"(.*\d)(od|os|l|r)", re.IGNORECASE)  # Image_01L
_FOLDERS = 10
_SEPARATORS = re.compile(r"[\s_.\-]+")
# what may follow the patient in a name and is none of the patient: a visit or a date
_OCCASION = re.compile(
    r"_((visit|session|tp|v|t)\d+|baseline|followup|(19|20)\d\d_?[01]\d_?[0-3]\d)(?=_|$)", re.IGNORECASE
)


def patient_and_eye(stem: str) -> tuple[str, str]:
    """The patient and the eye that a file's name says: of "1000_OD" ("1000", "right"); ("", "") where it says none."""
    tokens = [token for token in _SEPARATORS.split(stem) if token]
    places = [index for index, token in enumerate(tokens) if _EYE_TOKEN.fullmatch(token)]
    if places and len(tokens) > 1:
        eye = eye_of_value(tokens[places[-1]].rstrip("0123456789"))
        patient = "_".join(tokens[: places[-1]] or tokens[1:])
        without = _OCCASION.sub("", patient)
        return (without if any(c.isdigit() for c in without) else patient), eye
    if tokens and (glued := _GLUED_EYE.fullmatch(tokens[-1])):
        return "_".join([*tokens[:-1], glued[1]]), eye_of_value(glued[2])
    return "", ""


def patients_of_names(stems: Sequence[str]) -> list[tuple[str, str]]:
    """(patient, eye) of each name where names clearly say them; [] where they do not.

    Clear are names of which half or more name an eye, and of which two name both eyes of one patient.
    """
    found = [patient_and_eye(stem) for stem in stems]
    eyes: dict[str, set[str]] = {}
    for patient, eye in found:
        if patient:
            eyes.setdefault(patient, set()).add(eye)
    paired = any(len(both) == 2 for both in eyes.values())
    naming = sum(bool(patient) for patient, _ in found)
    return found if paired and 2 * naming >= len(found) else []


def patients_of_beginnings(stems: Sequence[str]) -> list[tuple[str, str]]:
    """(patient, "") of each name: what stands before its last separator; ("", "") of a name without one."""
    return [(match[1] if (match := re.fullmatch(r"(.+)[\s_.\-]+[^\s_.\-]+", stem)) else "", "") for stem in stems]


def groups_of_folders(folders: Sequence[str]) -> list[str]:
    """The folder of each photograph, where these may be patients: ten or more of them, none with a tenth of all.

    Args:
        folders: the name of the folder that holds each photograph; "" where it is none of its own.

    Returns:
        What `Record.neighbours` holds; [] where folders say nothing.
    """
    counts = Counter(name for name in folders if name)
    few = len(counts) < _FOLDERS or max(counts.values()) < 2 or _FOLDERS * max(counts.values()) > len(folders)
    return [] if few else list(folders)


def example_of_names(stems: Sequence[str], patients: Sequence[tuple[str, str]]) -> str:
    """Two names of one patient, for messages: "1000_OD and 1000_OS"; one name, or "", where no patient has two."""
    counts = Counter(patient for patient, _ in patients if patient)
    several = next((patient for patient, count in counts.items() if count > 1), "")
    names = [stem for stem, (patient, _) in zip(stems, patients, strict=True) if several and patient == several]
    return " and ".join(sorted(names)[:2])


def name_patients(stems: Sequence[str], options: SourceOptions) -> tuple[list[tuple[str, str]], str, list[str]]:
    """Patients from the names of files: (patient, eye) of each, or []; in words where they come from; and notes.

    Raises:
        KerasDrError: the names were asked for, and say nothing.
    """
    if options.patients == NONE:
        return [], "", []
    named = patients_of_names(stems)
    beginnings = patients_of_beginnings(stems)
    sharing = example_of_names(stems, beginnings)
    if options.patients == "names":
        found = named or beginnings
        if not example_of_names(stems, found):
            message = f"No two names share a patient, such as 1000_OD and 1000_OS; the first is {stems[0]!r}."
            raise KerasDrError(message, "Leave out --patients names.")
        return found, f"the names {example_of_names(stems, found)}", []
    if named:
        return named, f"the names {example_of_names(stems, named)}", []
    note = f"Names such as {sharing} begin alike; if they are of one patient, say --patients names."
    return [], "", [note] if sharing and options.patients == "auto" and _few(beginnings) else []


def _few(beginnings: Sequence[tuple[str, str]]) -> bool:
    """Whether the beginnings of names divide photographs into small groups, as patients do, and not IMG_1, IMG_2."""
    counts = Counter(patient for patient, _ in beginnings if patient)
    return len(counts) > 1 and max(counts.values()) <= max(2, len(beginnings) // 4)
