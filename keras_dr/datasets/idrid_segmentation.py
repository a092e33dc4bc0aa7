"""IDRiD, part A (segmentation): 81 photographs with masks of four kinds of lesion and of the optic disc, no grades.

A grader cannot be trained on them; they show whether a trained grader looks at lesions. The two parts number their
photographs differently, so both may hold the same eye, but IDRiD does not say so. Source: see `idrid`.
"""

from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_SUFFIXES
from keras_dr.datasets.records import Record, safe_id

NAME = "idrid-segmentation"
_SEGMENTATION = "A. Segmentation"
_MASKS = "2. All Segmentation Groundtruths"
_SETS = {"train": "a. Training Set", "test": "b. Testing Set"}
_LESIONS = {
    "microaneurysms": ("1. Microaneurysms", "MA"),
    "haemorrhages": ("2. Haemorrhages", "HE"),
    "hard_exudates": ("3. Hard Exudates", "EX"),
    "soft_exudates": ("4. Soft Exudates", "SE"),
    "optic_disc": ("5. Optic Disc", "OD"),
}


def recognises(source: Path) -> bool:
    """Whether this is the folder of IDRiD, or its part "A. Segmentation"."""
    return (_part(source) / _MASKS).is_dir()


def _part(source: Path) -> Path:
    return source / _SEGMENTATION if (source / _SEGMENTATION).is_dir() else source


def read(source: Path) -> list[Record]:
    """Return the records of the segmentation part: 54 in the training set, 27 in the testing set.

    A record has masks only for the lesions that the photograph shows.

    Args:
        source: a folder that `recognises` accepts.

    Raises:
        KerasDrError: a folder of photographs is missing.
    """
    part = _part(source)
    records = []
    for split, folder in _SETS.items():
        photographs = part / "1. Original Images" / folder
        if not photographs.is_dir():
            message = f"The folder {photographs} of IDRiD's photographs is missing."
            raise KerasDrError(message, "Unpack the data set again.")
        for path in sorted(path for path in photographs.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
            files = {
                lesion: part / _MASKS / folder / kind / f"{path.stem}_{short}.tif"
                for lesion, (kind, short) in _LESIONS.items()
            }
            masks = {lesion: file for lesion, file in files.items() if file.is_file()}
            records.append(Record(safe_id(path.stem), path, None, split=split, masks=masks))
    return records
