"""APTOS 2019 Blindness Detection: 3,662 graded photographs, no patient ids, no official split with labels.

Asia Pacific Tele-Ophthalmology Society, Kaggle, 2019. As published in train_images/, or by class in colored_images/
(gaussian_filtered_images/) as its mirrors have it; the grade is always train.csv's.
"""

from pathlib import Path

from keras_dr.datasets.grades import parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, folders_below, has_columns, pick_column, read_table

NAME = "aptos"
_FOLDERS = ("train_images", "colored_images", "gaussian_filtered_images")


def recognises(source: Path) -> bool:
    """train.csv alone with the columns id_code and diagnosis, beside one of the folders of photographs."""
    if not any((source / name).is_dir() for name in _FOLDERS):
        return False
    columns = (["id_code"], ["diagnosis"])
    others = (file for file in source.glob("*.csv") if file.name not in ("train.csv", "sample_submission.csv"))
    # a mirror that has cut the photographs into splits, with a table each, is read as such by `csv_file`
    return has_columns(source / "train.csv", *columns) and not any(has_columns(file, *columns) for file in others)


def read(source: Path) -> list[Record]:
    """The records of train.csv.

    Raises:
        KerasDrError: a column is missing, or a grade is unknown.
    """
    file = source / "train.csv"
    header, rows = read_table(file)
    image, grade = pick_column(header, ("id_code",)), pick_column(header, ("diagnosis",))
    tops = [source / name for name in _FOLDERS if (source / name).is_dir()]
    folders = [folder for top in tops for folder in folders_below(top)]
    records = []
    for row in rows:
        with row.named():
            records.append(Record(safe_id(row[image]), find_image(folders, row[image]), parse_grade(row[grade])))
    return records
