"""OIA-DDR, grading part: 13,673 photographs in three official sets, no patient ids; label 5 is ungradable.

T. Li et al., "Diagnostic assessment of deep learning algorithms for diabetic retinopathy screening", Information
Sciences 501, 2019.
"""

from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import UNGRADABLE
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image

NAME = "oia-ddr"
_SETS = {"train": "train", "val": "valid", "test": "test"}


def recognises(source: Path) -> bool:
    """Whether the folder, or its DR_grading, has train.txt, valid.txt and test.txt."""
    return all((_part(source) / f"{name}.txt").is_file() for name in _SETS.values())


def _part(source: Path) -> Path:
    return source / "DR_grading" if (source / "DR_grading").is_dir() else source


def read(source: Path) -> list[Record]:
    """Return the records of the three lists, whose lines are "name.jpg label".

    Args:
        source: a folder that `recognises` accepts.

    Raises:
        KerasDrError: a list is missing, or a line is not a name and a label from 0 to 5.
    """
    part = _part(source)
    records = []
    for split, name in _SETS.items():
        file = part / f"{name}.txt"
        if not file.is_file():
            raise KerasDrError(f"OIA-DDR's list {file} is missing.", "Unpack the data set again.")
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            message = f"The list {file} is not text in UTF-8: {error}."
            raise KerasDrError(message, "Unpack the data set again.") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            image, _, label = line.strip().rpartition(" ")
            if not image or label not in map(str, range(UNGRADABLE + 1)):
                message = f"Line {number} of {file} is {line!r}, not a file name and a label from 0 to 5."
                raise KerasDrError(message, "Correct that line.")
            path = find_image([part / name], image.strip())
            records.append(Record(safe_id(Path(image.strip()).stem), path, int(label), split=split))
    return records
