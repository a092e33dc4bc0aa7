"""IDRiD, part B (disease grading): official training and testing sets, no patient ids.

Consecutively numbered photographs are unusually similar, probably two eyes of one patient: in the training set .47 of
these pairs share a grade, but only .27 of random pairs; their mean colours differ by 2.5 standard deviations, those of
random pairs by 3.1. So blocks of ten numbers stay in one split when validation photographs are taken from the training
set. With single photographs drawn at random, a grader reached AUROC 1.00 on validation and .93 on the official testing
set, because it had memorised the other eye.

P. Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD)", Data 3(3):25, 2018. The two sets use the same
ids, so image ids begin with the set's name.
"""

from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import parse_grade
from keras_dr.datasets.records import Record, safe_id
from keras_dr.datasets.tables import find_image, pick_column, read_table

NAME = "idrid"
ORIGIN = "one camera in one clinic"  # a Kowa VX-10 alpha in an eye clinic in Nanded, India
_GRADING = "B. Disease Grading"
_BLOCK = 10  # numbers that stay together
_SETS = {
    "train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}


def _number(name: str) -> int:
    """Return the number in a name: 12 for "IDRiD_012"."""
    return int("".join(character for character in name if character in "0123456789")[-9:] or 0)


def recognises(source: Path) -> bool:
    """Whether this is the folder of IDRiD, or its part "B. Disease Grading"."""
    return (_part(source) / "2. Groundtruths").is_dir()


def _part(source: Path) -> Path:
    return source / _GRADING if (source / _GRADING).is_dir() else source


def read(source: Path) -> list[Record]:
    """Return the records of the grading part: 413 in the training set, 103 in the testing set.

    Args:
        source: a folder that `recognises` accepts.

    Raises:
        KerasDrError: a label file is missing.
    """
    part = _part(source)
    records = []
    for split, (folder, labels) in _SETS.items():
        file = part / "2. Groundtruths" / labels
        if not file.is_file():
            raise KerasDrError(f"IDRiD's label file {file} is missing.", "Unpack the data set again.")
        header, rows = read_table(file)
        image = pick_column(header, ("Image name",))
        grade = pick_column(header, ("Retinopathy grade",))
        for row in rows:
            with row.named():
                path = find_image([part / "1. Original Images" / folder], row[image])
                level = parse_grade(row[grade])
            block = f"{split} {_number(row[image]) // _BLOCK}"
            records.append(Record(safe_id(f"{split}_{row[image]}"), path, level, split=split, neighbours=block))
    return records
