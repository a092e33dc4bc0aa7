"""DeepDRiD, regular fundus images: 1,200 photographs for training, 400 for validation, two of each eye of a patient.

R. Liu et al., "DeepDRiD: Diabetic Retinopathy - Grading and Image Quality Estimation Challenge", Patterns 3(6), 2022.
The grade is the photographed eye's, not the patient's. "Overall quality" 0 is no reason to leave a photograph out:
experts graded those too, and they are half of the set. A level of 5 means ungradable. The test labels are published as
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
    """The folder of DeepDRiD, its regular_fundus_images, or one of the sets in that."""
    return bool(_tables(source))


def _tables(source: Path) -> dict[str, Path]:
    """Split -> label file."""
    found = {}
    for split, name in _SETS.items():
        for folder in (source, source / name, source / "regular_fundus_images" / name):
            if (folder / f"{name}.csv").is_file():
                found[split] = folder / f"{name}.csv"
    return found


def read(source: Path) -> list[Record]:
    """The records of the label files that are there; splits are official where both are.

    Raises:
        KerasDrError: no label file, a column is missing, or not exactly one eye of a photograph has a grade.
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
            found = " and ".join(levels) or "no eye"
            raise KerasDrError(f"{row[name]} in {file} has a grade of {found}, not of one eye.", "Correct that row.")
        ((eye, level),) = levels.items()
        # the paths begin with the set's folder and leave out "Images": patient and file are what holds
        inside = PureWindowsPath(row[image]).parts
        name_inside = "/".join(inside if ".." in inside else inside[-2:])
        with row.named():
            path = find_image([file.parent / "Images", file.parent], name_inside)
            grade = UNGRADABLE if level == "5" else parse_grade(level)
        records.append(Record(safe_id(row[name]), path, grade, row.text(patient), eye, split))
    return records
