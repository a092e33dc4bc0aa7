"""EyePACS, as in Kaggle's Diabetic Retinopathy Detection of 2015: both eyes of each patient, 35,126 labels.

EyePACS and California Healthcare Foundation, Kaggle, 2015. The labels of the 53,576 test photographs are
retinopathy_solution.csv; where it lies beside trainLabels.csv, these are the official test split.
"""

import re
from pathlib import Path

from keras_dr.datasets.grades import parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, folders_below, has_columns, image_stem, pick_column, read_table

NAME = "eyepacs"
_TRAIN, _TEST = "trainLabels.csv", "retinopathy_solution.csv"


def recognises(source: Path) -> bool:
    """trainLabels.csv with the columns image and level."""
    return has_columns(source / _TRAIN, ["image"], ["level"])


def read(source: Path) -> list[Record]:
    """The records of trainLabels.csv, and of retinopathy_solution.csv where it is there.

    Raises:
        KerasDrError: a column is missing, or a grade is unknown.
    """
    official = (source / _TEST).is_file()
    records = _read(source, source / _TRAIN, "train" if official else "")
    return records + (_read(source, source / _TEST, "test") if official else [])


def _read(source: Path, file: Path, split: str) -> list[Record]:
    header, rows = read_table(file)
    image, grade = pick_column(header, ("image",)), pick_column(header, ("level",))
    below = folders_below(source)
    folders = sorted(below, key=lambda folder: folder.name != (split or "train"))  # its own folder first
    records = []
    for row in rows:
        with row.named():
            path, level = find_image(folders, row[image]), parse_grade(row[grade])
        name = image_stem(row[image])
        patient = re.fullmatch(r"(.+)_(left|right)", name)
        number, eye = (patient[1], patient[2]) if patient else ("", "")
        records.append(Record(safe_id(name), path, level, number, eye, split))
    return records
