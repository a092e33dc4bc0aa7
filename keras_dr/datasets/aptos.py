"""APTOS 2019 Blindness Detection: 3,662 graded photographs, no patient ids, no official split with labels.

Asia Pacific Tele-Ophthalmology Society, Kaggle, 2019. The photographs lie in train_images/, as published, or by class
in colored_images/ or gaussian_filtered_images/, as in its mirrors. The grade always comes from train.csv.
"""

from pathlib import Path

from keras_dr.datasets.grades import parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, folders_below, has_columns, pick_column, read_table

NAME = "aptos"
_FOLDERS = ("train_images", "colored_images", "gaussian_filtered_images")


def recognises(source: Path) -> bool:
    """Whether train.csv is the only table with the columns id_code and diagnosis, next to a folder of photographs."""
    if not any((source / name).is_dir() for name in _FOLDERS):
        return False
    columns = (["id_code"], ["diagnosis"])
    others = (file for file in source.glob("*.csv") if file.name not in ("train.csv", "sample_submission.csv"))
    # some mirrors divide the photographs into splits, with one table per split; `csv_file` reads those
    return has_columns(source / "train.csv", *columns) and not any(has_columns(file, *columns) for file in others)


def read(source: Path) -> list[Record]:
    """Return the records of train.csv.

    Args:
        source: the folder of the data set.

    Raises:
        KerasDrError: a column is missing, or a grade is unknown.
    """
    file = source / "train.csv"
    header, rows = read_table(file)
    image = pick_column(header, ("id_code",))
    grade = pick_column(header, ("diagnosis",))
    tops = [source / name for name in _FOLDERS if (source / name).is_dir()]
    folders = [folder for top in tops for folder in folders_below(top)]
    records = []
    for row in rows:
        with row.named():
            records.append(Record(safe_id(row[image]), find_image(folders, row[image]), parse_grade(row[grade])))
    return records
