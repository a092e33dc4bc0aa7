"""EyePACS, as in Kaggle's Diabetic Retinopathy Detection of 2015: both eyes of each patient, 35,126 labels.

EyePACS and California Healthcare Foundation, Kaggle, 2015. The labels of the 53,576 test photographs are in
retinopathy_solution.csv; if it lies next to trainLabels.csv, these photographs are the official test split.
"""

import re
from pathlib import Path

from keras_dr.datasets.grades import parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, folders_below, has_columns, image_stem, pick_column, read_table

NAME = "eyepacs"
_TRAIN, _TEST = "trainLabels.csv", "retinopathy_solution.csv"


def recognises(source: Path) -> bool:
    """Whether the folder has a trainLabels.csv with the columns image and level."""
    return has_columns(source / _TRAIN, ["image"], ["level"])


def read(source: Path) -> list[Record]:
    """Return the records of trainLabels.csv, and those of retinopathy_solution.csv if it exists.

    Args:
        source: the folder of the data set.

    Raises:
        KerasDrError: a column is missing, or a grade is unknown.
    """
    official = (source / _TEST).is_file()
    records = _read(source, source / _TRAIN, "train" if official else "")
    return records + (_read(source, source / _TEST, "test") if official else [])


def _read(source: Path, file: Path, split: str) -> list[Record]:
    header, rows = read_table(file)
    image = pick_column(header, ("image",))
    grade = pick_column(header, ("level",))
    # the folder of the split comes first
    folders = sorted(folders_below(source), key=lambda folder: folder.name != (split or "train"))
    records = []
    for row in rows:
        with row.named():
            path = find_image(folders, row[image])
            level = parse_grade(row[grade])
        name = image_stem(row[image])
        patient = re.fullmatch(r"(.+)_(left|right)", name)
        number, eye = (patient[1], patient[2]) if patient else ("", "")
        records.append(Record(safe_id(name), path, level, number, eye, split))
    return records
