"""Patients from the names of photographs: 1000_OD and 1000_OS are the two eyes of one patient."""

import re
from collections import Counter
from collections.abc import Sequence

from keras_dr.core.errors import KerasDrError
from keras_dr.core.names import patients_of_names
from keras_dr.datasets.options import NONE, SourceOptions

_FOLDERS = 10  # so many folders or more may be patients, if none of them holds more than this fraction of all


def patients_of_beginnings(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Return (patient, "") for each name, whose patient is the part before the last separator, or "" without one."""
    matches = [re.fullmatch(r"(.+)[\s_.\-]+[^\s_.\-]+", stem) for stem in stems]
    return [(match[1] if match else "", "") for match in matches]


def groups_of_folders(folders: Sequence[str]) -> list[str]:
    """Return the folder of each photograph if the folders may be patients; otherwise [].

    They may be patients if there are ten or more, none holds more than a tenth of all photographs, and not all of them
    hold only one photograph.

    Args:
        folders: the name of the folder that holds each photograph; "" for a photograph in a folder for all patients.

    Returns:
        A value of `Record.neighbours` for each photograph, or [].
    """
    counts = Counter(name for name in folders if name)
    if len(counts) < _FOLDERS:
        return []
    most = max(counts.values())
    return list(folders) if most >= 2 and _FOLDERS * most <= len(folders) else []


def example_of_names(stems: Sequence[str], patients: Sequence[tuple[str, str]]) -> str:
    """Return two names of one patient for messages, such as "1000_OD and 1000_OS"; "" if no patient has two names.

    Args:
        stems: the file names without suffixes.
        patients: (patient, eye) of each.
    """
    counts = Counter(patient for patient, _ in patients if patient)
    shared = next((patient for patient, count in counts.items() if count > 1), None)
    names = [stem for stem, (patient, _) in zip(stems, patients, strict=True) if patient == shared]
    return " and ".join(sorted(names)[:2])


def name_patients(stems: Sequence[str], options: SourceOptions) -> tuple[list[tuple[str, str]], str, list[str]]:
    """Take patients from the names of files.

    Args:
        stems: the file names without suffixes.
        options: whether names are used.

    Returns:
        (patient, eye) for each name, or []; where they come from, in words; and notes for the user.

    Raises:
        KerasDrError: `options` asks for names, but no two names share a patient.
    """
    if options.patients == NONE:
        return [], "", []
    named = patients_of_names(stems)
    beginnings = patients_of_beginnings(stems)
    sharing = example_of_names(stems, beginnings)
    if options.patients == "names":
        pairs = named or beginnings
        if not example_of_names(stems, pairs):
            message = f"No two names share a patient, such as 1000_OD and 1000_OS; the first is {stems[0]!r}."
            raise KerasDrError(message, "Leave out --patients names.")
        return pairs, f"the names {example_of_names(stems, pairs)}", []
    if named:
        return named, f"the names {example_of_names(stems, named)}", []
    if sharing and options.patients == "auto" and _are_small_groups(beginnings):
        note = f"Names such as {sharing} begin alike; if they belong to one patient, pass --patients names."
        return [], "", [note]
    return [], "", []


def _are_small_groups(beginnings: Sequence[tuple[str, str]]) -> bool:
    """Whether the beginnings of names divide the photographs into small groups, as patients do; IMG_1, IMG_2 do not."""
    counts = Counter(patient for patient, _ in beginnings if patient)
    return len(counts) > 1 and max(counts.values()) <= max(2, len(beginnings) // 4)
