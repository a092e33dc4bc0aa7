"""Names in words: of classes, and of the patients and eyes in the names of photographs, such as 1000_OD and 1000_OS."""

import re
from collections.abc import Sequence

from keras_dr.core.tables import fold

EYES = {
    **dict.fromkeys(("l", "os", "left", "le", "lefteye", "sinister", "oculussinister"), "left"),
    **dict.fromkeys(("r", "od", "right", "re", "righteye", "dexter", "oculusdexter"), "right"),
}
_EYE_TOKEN = re.compile(r"(left|right|od|os|le|re|l|r)\d{0,2}", re.IGNORECASE)
_GLUED_EYE = re.compile(r"(.*\d)(od|os|l|r)", re.IGNORECASE)  # Image_01L
_SEPARATORS = re.compile(r"[\s_.\-]+")
# a visit or a date, which may follow the patient in a name but is not part of it
_OCCASION = re.compile(
    r"_((visit|session|tp|v|t)\d+|baseline|followup|(19|20)\d\d_?[01]\d_?[0-3]\d)(?=_|$)", re.IGNORECASE
)


def class_words(name: str) -> str:
    """Return the name of a class, or a line with such names, as words for people.

    Example:
        >>> class_words("no_dr")
        'no DR'
    """
    return re.sub(r"\bdr\b", "DR", name.replace("_", " "))


def eye_of_value(text: str) -> str:
    """Return the eye that a cell names: "left" or "right"; "" if it names none."""
    whole = EYES.get(fold(text), "")
    words = {EYES[word] for word in words_of(text) if word in EYES}
    return whole or (words.pop() if len(words) == 1 else "")


def eye_of_name(stem: str) -> str:
    """Return the eye that a single file name says in so many words: OD, OS, left or right; "" if it does not.

    Args:
        stem: the file name without its suffix.
    """
    tokens = [token.lower() for token in _SEPARATORS.split(stem)]
    eyes = {EYES[token] for token in tokens if token in ("od", "os", "left", "right")}
    return eyes.pop() if len(eyes) == 1 else ""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: "train" and "labels" for "trainLabels_2"."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", name)]


def patient_and_eye(stem: str) -> tuple[str, str]:
    """Return the patient and the eye that a file name holds, or ("", ""), both as text.

    For example ("1000", "right") for "1000_OD".

    Args:
        stem: the file name without its suffix.
    """
    tokens = [token for token in _SEPARATORS.split(stem) if token]
    places = [index for index, token in enumerate(tokens) if _EYE_TOKEN.fullmatch(token)]
    if places and len(tokens) > 1:
        eye = eye_of_value(tokens[places[-1]].rstrip("0123456789"))
        patient = "_".join(tokens[: places[-1]] or tokens[1:])
        without_occasion = _OCCASION.sub("", patient)
        if any(character.isdigit() for character in without_occasion):
            patient = without_occasion
        return patient, eye
    if tokens and (glued := _GLUED_EYE.fullmatch(tokens[-1])):
        return "_".join([*tokens[:-1], glued[1]]), eye_of_value(glued[2])
    return "", ""


def patients_of_names(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Return (patient, eye) for each name if the names clearly hold them; otherwise [].

    They clearly do if at least half of the names hold an eye and two of them hold both eyes of one patient.
    """
    pairs = [patient_and_eye(stem) for stem in stems]
    eyes: dict[str, set[str]] = {}
    for patient, eye in pairs:
        if patient:
            eyes.setdefault(patient, set()).add(eye)
    has_both_eyes = any(len(names) == 2 for names in eyes.values())
    with_eye = sum(bool(patient) for patient, _ in pairs)
    return pairs if has_both_eyes and 2 * with_eye >= len(pairs) else []
