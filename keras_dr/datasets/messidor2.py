"""Messidor-2 with the adjudicated grades of Google: 1,748 photographs of 874 patients, no official split.

Decencière et al., "Feedback on a publicly distributed image database: the Messidor database", Image Analysis and
Stereology 33(3), 2014; grades: Krause et al., Ophthalmology 125(8), 2018, messidor_data.csv. That file does not pair
the two eyes of a patient: unless somebody adds a column patient_id to it, each photograph counts as a patient of its
own. So divide this set into splits only where that does no harm; external validation uses all of it.
"""

from pathlib import Path

from keras_dr.datasets.grades import UNGRADABLE, parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import (
    find_column,
    find_image,
    folders_below,
    has_columns,
    image_stem,
    pick_column,
    read_table,
)

NAME = "messidor-2"
_FILE = "messidor_data.csv"
_IMAGE, _GRADE = ("image_id", "id_code"), ("adjudicated_dr_grade", "diagnosis")


def recognises(source: Path) -> bool:
    """Whether the folder has a messidor_data.csv with the published column names or those of its mirror."""
    return has_columns(source / _FILE, _IMAGE, _GRADE)


def read(source: Path) -> list[Record]:
    """Return the records of messidor_data.csv; photographs that it calls ungradable or does not grade are ungradable.

    Args:
        source: the folder of the data set.

    Raises:
        KerasDrError: a column is missing, or a grade is unknown.
    """
    file = source / _FILE
    header, rows = read_table(file)
    image = pick_column(header, _IMAGE)
    grade = pick_column(header, _GRADE)
    gradable = find_column(header, ("adjudicated_gradable",))
    patient = find_column(header, ("patient_id",))
    folders = folders_below(source, depth=3)
    records = []
    for row in rows:
        ungradable = not row.text(grade) or row.text(gradable) == "0"
        with row.named():
            path = find_image(folders, row[image])
            level = UNGRADABLE if ungradable else parse_grade(row[grade])
        records.append(Record(safe_id(image_stem(row[image])), path, level, row.text(patient)))
    return records
