"""What names of folders, tables and cells say: splits and eyes; and which folders are no classes."""

import re

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
