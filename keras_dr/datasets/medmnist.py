"""MedMNIST: one .npz file with train, val and test images and labels, the official splits, no patient ids.

J. Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023. The labels of RetinaMNIST are ICDR grades. Those of the
other sets are class numbers, which for PneumoniaMNIST are replaced by the names of its classes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import ICDR
from keras_dr.datasets.records import SPLITS, Record, read_array

NAME = "medmnist"
_NAMES = {"pneumoniamnist": ("normal", "pneumonia")}
_GRADED = "retinamnist"


def recognises(source: Path) -> bool:
    """Whether this is an .npz file, or a folder that holds exactly one .npz file."""
    return _file(source) is not None


def _file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".npz" else None
    files = sorted(source.glob("*.npz"))
    return files[0] if len(files) == 1 else None


def read(source: Path) -> list[Record]:
    """Return the records of the file.

    Args:
        source: the .npz file, or the folder that holds it.

    Raises:
        KerasDrError: there is no such file or there are several, or an array is missing or of another shape or type.
    """
    file = _file(source)
    if file is None:
        message = f"{source} is no .npz file, and no folder with exactly one."
        raise KerasDrError(message, "Name the .npz file itself as SOURCE.")
    kind = file.stem.lower().split("_")[0]  # retinamnist_224 holds larger images
    records = []
    for split in SPLITS:
        for row, number in enumerate(_labels(file, split, kind == _GRADED)):
            grade = number if kind == _GRADED else None
            label = "" if kind == _GRADED else _class_name(kind, number)
            member = (f"{split}_images", row)
            records.append(Record(f"{split}_{row:05d}", file, grade, split=split, label=label, member=member))
    return records


def _class_name(kind: str, number: int) -> str:
    """Return the name of a class if it is known, else its number."""
    names = _NAMES.get(kind, ())
    return names[number] if number < len(names) else str(number)


def _labels(file: Path, split: str, graded: bool) -> list[int]:
    """Return the labels of a split, as many as it has images."""
    labels = read_array(file, f"{split}_labels")
    images = read_array(file, f"{split}_images")
    _check(images.dtype == np.uint8 and images.ndim in (3, 4) and images.shape[3:] in ((), (3,)), file, split, images)
    whole_numbers = labels.shape in ((len(images),), (len(images), 1)) and np.issubdtype(labels.dtype, np.integer)
    _check(whole_numbers and (not labels.size or int(labels.min()) >= 0), file, split, labels)
    if graded and labels.size and int(labels.max()) >= len(ICDR):
        message = f"A {split} label in {file} is {labels.max()}, but grades are from 0 to {len(ICDR) - 1}."
        raise KerasDrError(message, "If the file is not RetinaMNIST, rename it.")
    return labels.ravel().tolist()


def _check(fits: bool, file: Path, split: str, array: NDArray[np.generic]) -> None:
    if not fits:
        message = f"An array of the split {split} in {file} is {array.dtype} {array.shape}. Images must be uint8"
        message += " (n, H, W) or (n, H, W, 3), and labels whole numbers from 0 on, (n, 1), one per image."
        raise KerasDrError(message, "Choose a two-dimensional set with one label.")
