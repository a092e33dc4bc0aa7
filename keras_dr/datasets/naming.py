"""What the names of folders and files say: splits, eyes, patients; and which folders are no classes."""

import re
from collections import Counter
from collections.abc import Sequence

from keras_dr.core.tables import fold

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    # the two halves of a competition's test set, as Kaggle publishes them
    **dict.fromkeys(("test", "testing", "public", "private", "publictest", "privatetest"), "test"),
}
_EYES = {
    **dict.fromkeys(("l", "os", "left", "le", "lefteye", "sinister", "oculussinister"), "left"),
    **dict.fromkeys(("r", "od", "right", "re", "righteye", "dexter", "oculusdexter"), "right"),
}
# words of folder names that say what the files are, not which class they show
_THINGS = {
    *("image", "images", "img", "imgs", "photo", "photos", "photograph", "photographs", "picture", "pictures", "pic"),
    *("pics", "fundus", "retina", "retinal", "original", "originals", "raw", "data", "dataset", "datasets", "set"),
    *("jpg", "jpeg", "png", "tif", "tiff", "ppm", "bmp", "file", "files", "folder", "new", "all", "the", "of", "and"),
    *("base", "part", "batch", "fold", "chunk", "session", "visit", "page", "disk", "resized", "cropped", "crop"),
    *("processed", "preprocessed", "enhanced", "filtered", "gaussian", "colored", "coloured", "color", "colour"),
    *("preview", "thumbnail", "thumbnails", "label", "labels", "split", "splits", "subset", "sample", "samples"),
    *("output", "outputs", "result", "results", "size", "px", "x", "a", "b", "c", "eye", "eyes", "st", "nd"),
}
_MASKS = {
    *("mask", "masks", "manual", "annotation", "annotations", "groundtruth", "groundtruths", "truth", "truths", "gt"),
    *("segmentation", "segmentations", "vessel", "vessels", "lesion", "lesions", "fov", "roi", "contour", "contours"),
}
_EYE_TOKEN = re.compile(r"(left|right|od|os|le|re|l|r)\d{0,2}", re.IGNORECASE)
_GLUED_EYE = re.compile(r"(.*\d)(od|os|l|r)", re.IGNORECASE)  # Image_01L
_SEPARATORS = re.compile(r"[\s_.\-]+")
# what may follow the patient in a name and is none of the patient: a visit or a date
_OCCASION = re.compile(
    r"_((visit|session|tp|v|t)\d+|baseline|followup|(19|20)\d\d_?[01]\d_?[0-3]\d)(?=_|$)", re.IGNORECASE
)


def split_of_value(text: str) -> str:
    """The split that a cell names: "train", "val", "test", or "" where it names none."""
    return _SPLITS.get(fold(text), "")


def split_of_folder(name: str) -> str:
    """The split that a folder's name means and nothing else: of "train", "a. Training Set" and "val_images"."""
    words = _words(name)
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    others = [word for word in words if word not in _SPLITS]
    return found.pop() if len(found) == 1 and set(others) <= _THINGS else ""


def split_of_table(name: str) -> str:
    """The split that a table's name means among others: of "train_1", "trainLabels" and "Testing Labels"."""
    found = {_SPLITS[word] for word in _words(name) if word in _SPLITS}
    return found.pop() if len(found) == 1 else ""


def eye_of_value(text: str) -> str:
    """The eye that a cell names: "left", "right", or "" where it names none."""
    whole = _EYES.get(fold(text), "")
    words = {_EYES[word] for word in _words(text) if word in _EYES}
    return whole or (words.pop() if len(words) == 1 else "")


def is_no_class(name: str) -> bool:
    """Whether a folder's name says what its files are (images, masks, Base11, a split, an eye), and no class."""
    words = _words(name)
    known = _THINGS | _MASKS | set(_SPLITS) | {word for word in _EYES if len(word) > 1}
    return bool(words) and set(words) <= known


def is_mask_folder(name: str) -> bool:
    """Whether a folder's name says that it holds masks, not photographs."""
    return bool(set(_words(name)) & _MASKS)


def _words(name: str) -> list[str]:
    """The words of a name in lower case: of "trainLabels_2" "train" and "labels"; of "trainimages" as well."""
    found = []
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", name):
        lower = word.lower()
        head = next((key for key in _SPLITS if lower.startswith(key) and lower[len(key) :] in _THINGS), "")
        found += [head, lower[len(head) :]] if head and lower != head else [lower]
    return found


def patient_and_eye(stem: str) -> tuple[str, str]:
    """The patient and the eye that a file's name says: of "1000_OD" ("1000", "right"); ("", "") where it says none."""
    tokens = [token for token in _SEPARATORS.split(stem) if token]
    places = [index for index, token in enumerate(tokens) if _EYE_TOKEN.fullmatch(token)]
    if places and len(tokens) > 1:
        eye = _EYES[tokens[places[-1]].rstrip("0123456789").lower()]
        patient = "_".join(tokens[: places[-1]] or tokens[1:])
        without = _OCCASION.sub("", patient)
        return (without if any(c.isdigit() for c in without) else patient), eye
    if tokens and (glued := _GLUED_EYE.fullmatch(tokens[-1])):
        return "_".join([*tokens[:-1], glued[1]]), _EYES[glued[2].lower()]
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


def example_of_names(stems: Sequence[str], patients: Sequence[tuple[str, str]]) -> str:
    """Two names of one patient, for messages: "1000_OD and 1000_OS"; one name, or "", where no patient has two."""
    counts = Counter(patient for patient, _ in patients if patient)
    several = next((patient for patient, count in counts.items() if count > 1), "")
    names = [stem for stem, (patient, _) in zip(stems, patients, strict=True) if several and patient == several]
    return " and ".join(sorted(names)[:2])
