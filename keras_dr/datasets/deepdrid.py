"""DeepDRiD, regular fundus images: 1,200 photographs for training, 400 for validation, two of each eye of a patient.

R. Liu et al., "DeepDRiD: Diabetic Retinopathy - Grading and Image Quality Estimation Challenge", Patterns 3(6), 2022.
The grade is that of the photographed eye, not that of the patient. Photographs with "Overall quality" 0 are kept:
experts graded them too, and they are half of the set. A level of 5 means ungradable. The test labels are published as
a spreadsheet and are not read.
"""

from pathlib import Path, PureWindowsPath

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import UNGRADABLE, parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, pick_column, read_table

NAME = "deepdrid"
_SETS = {"train": "regular-fundus-training", "val": "regular-fundus-validation"}
_EYES = {"left": "left_eye_DR_Level", "right": "right_eye_DR_Level"}


def recognises(source: Path) -> bool:
    """Whether this is the folder of DeepDRiD, its regular_fundus_images, or one of the two sets in it."""
    return bool(_tables(source))


def _tables(source: Path) -> dict[str, Path]:
    """Return a dictionary from each split to its label file."""
    tables = {}
    for split, name in _SETS.items():
        for folder in (source, source / name, source / "regular_fundus_images" / name):
            if (folder / f"{name}.csv").is_file():
                tables[split] = folder / f"{name}.csv"
    return tables


def read(source: Path) -> list[Record]:
    """Return the records of the label files that exist; if both exist, they are the official splits.

    Args:
        source: a folder that `recognises` accepts.

    Raises:
        KerasDrError: there is no label file, a column is missing, or a photograph has not exactly one eye with a grade.
    """
    tables = _tables(source)
    if not tables:
        files = " and ".join(f"{name}.csv" for name in _SETS.values())
        message = f"The folder {source} has none of DeepDRiD's label files {files}."
        raise KerasDrError(message, "Name the folder that holds regular_fundus_images.")
    return [record for split, file in tables.items() for record in _read(file, split if len(tables) > 1 else "")]


def _read(file: Path, split: str) -> list[Record]:
    header, rows = read_table(file)
    image, name, patient = (pick_column(header, (column,)) for column in ("image_path", "image_id", "patient_id"))
    eyes = {eye: pick_column(header, (column,)) for eye, column in _EYES.items()}
    records = []
    for row in rows:
        levels = {eye: row.text(column) for eye, column in eyes.items() if row.text(column)}
        if len(levels) != 1:
            graded = " and ".join(levels) or "no eye"
            message = f"The row of {row[name]} in {file} must have a grade for one eye, but has one for {graded}."
            raise KerasDrError(message, "Correct that row.")
        ((eye, level),) = levels.items()
        # the paths begin with the set's folder and leave out "Images"; only their last two parts, the patient and the
        # file, can be relied on
        parts = PureWindowsPath(row[image]).parts
        name_inside = "/".join(parts if ".." in parts else parts[-2:])
        with row.named():
            path = find_image([file.parent / "Images", file.parent], name_inside)
            grade = UNGRADABLE if level == "5" else parse_grade(level)
        records.append(Record(safe_id(row[name]), path, grade, row.text(patient), eye, split))
    return records
