"""Any CSV with an image column, a label column and, if it has them, patient, eye and split columns.

SOURCE is the CSV itself or the folder that holds one CSV; images are sought beside it and in the folders there. A
label is a grade, a number or a class name. Lesion masks, where there are any, lie in
masks/<lesion>/<image name without folder and suffix>.png.
"""

from collections import Counter
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_COLUMNS
from keras_dr.datasets.grades import find_grade
from keras_dr.datasets.records import SPLITS, Record, safe_id
from keras_dr.datasets.tables import find_image, folders_below, image_stem, is_file, pick_column, read_table

NAME = "csv"
GRADE = ("grade", "level", "diagnosis", "label", "class", "dr_grade", "adjudicated_dr_grade", "retinopathy grade")
PATIENT = ("patient_id", "patient", "subject_id")
EYE = ("eye", "laterality", "side")
SPLIT = ("split", "set", "subset")
_SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_EYE_NAMES = {"l": "left", "os": "left", "left": "left", "r": "right", "od": "right", "right": "right"}


def recognises(source: Path) -> bool:
    """A CSV file, or a folder that holds exactly one."""
    return _table_of(source) is not None


def _table_of(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".csv" else None
    tables = sorted(source.glob("*.csv"))
    return tables[0] if len(tables) == 1 else None


def read(source: Path) -> list[Record]:
    """The CSV's records.

    Raises:
        KerasDrError: no CSV, or several; a needed column is missing; a split is unknown; a name leads out.
    """
    file = _table_of(source)
    if file is None:
        raise KerasDrError(f"one CSV file at {source}", "none or several", "Name the CSV file itself as SOURCE.")
    rows = read_table(file)
    image, grade = pick_column(file, rows, IMAGE_COLUMNS), pick_column(file, rows, GRADE)
    patient, eye, split = (pick_column(file, rows, names, needed=False) for names in (PATIENT, EYE, SPLIT))
    folders = folders_below(file.parent, depth=1)
    masks = sorted(path for path in file.parent.glob("masks/*") if path.is_dir())
    ids = _image_ids([row[image] for row in rows])
    records = []
    for row, image_id in zip(rows, ids, strict=True):
        with row.named():
            path, part = find_image(folders, row[image]), _split(row.get(split, ""))
        found = {lesion.name: lesion / f"{path.stem}.png" for lesion in masks}
        records.append(
            Record(
                image_id=image_id,
                path=path,
                grade=find_grade(row[grade]),
                patient_id=row.get(patient, ""),
                eye=_EYE_NAMES.get(row.get(eye, "").lower(), ""),
                split=part,
                masks={lesion: mask for lesion, mask in found.items() if is_file(mask)},
                label=row[grade],
                origin=row.place,
            )
        )
    return records


def _image_ids(names: list[str]) -> list[str]:
    """The file names without folder and suffix; with the folder where two folders have a file of that name."""
    stems = [image_stem(name.replace("\\", "/")) for name in names]
    counts = Counter(Path(stem).name for stem in set(stems))
    return [safe_id(Path(stem).name if counts[Path(stem).name] == 1 else stem) for stem in stems]


def _split(text: str) -> str:
    name = _SPLIT_NAMES.get(text.lower(), text.lower())
    if name and name not in SPLITS:
        raise KerasDrError(f"a split among {', '.join(SPLITS)} or none", repr(text), "Correct that row.")
    return name
