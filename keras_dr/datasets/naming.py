"""Splits from the names of folders and tables and from cells; and which folder names are not classes."""

from keras_dr.core.names import EYES, words_of
from keras_dr.core.tables import fold

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    # the two halves of a competition's test set, as Kaggle publishes them
    **dict.fromkeys(("test", "testing", "public", "private", "publictest", "privatetest"), "test"),
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
    """Return the split that a cell names: "train", "val" or "test"; "" if it names none."""
    return _SPLITS.get(fold(text), "")


def split_of_folder(name: str) -> str:
    """Return the split that a folder's name means, if it means nothing else; otherwise "".

    For example "train" for "a. Training Set", and "val" for "val_images".
    """
    words = _words(name)
    splits = {_SPLITS[word] for word in words if word in _SPLITS}
    other_words = {word for word in words if word not in _SPLITS}
    return splits.pop() if len(splits) == 1 and other_words <= _THINGS else ""


def split_of_table(name: str) -> str:
    """Return the split that is part of a table's name, such as "train" for "trainLabels"; "" if there is none.

    "" also if the name holds words for two splits.
    """
    splits = {_SPLITS[word] for word in _words(name) if word in _SPLITS}
    return splits.pop() if len(splits) == 1 else ""


def is_no_class(name: str) -> bool:
    """Whether a folder's name says only what its files are (images, masks, Base11, a split, an eye), not a class."""
    words = _words(name)
    known = _THINGS | _MASKS | set(_SPLITS) | {word for word in EYES if len(word) > 1}
    return bool(words) and set(words) <= known


def is_mask_folder(name: str) -> bool:
    """Whether a folder's name says that it holds masks, not photographs."""
    return bool(set(_words(name)) & _MASKS)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: "train" and "labels" for "trainLabels_2" and for "trainlabels"."""
    words = []
    for word in words_of(name):
        head = next((key for key in _SPLITS if word.startswith(key) and word[len(key) :] in _THINGS), "")
        words += [head, word[len(head) :]] if head and word != head else [word]
    return words
