"""Any table with an image column and a label column; patient, eye and split columns are optional.

SOURCE is the table itself or the folder that holds it; photographs are searched for in its folder and in the folders
below. A label is a grade, a number or a class name. Tables whose names say that they are splits (train.csv, test.csv)
are read together. Lesion masks, if there are any, lie in masks/<lesion>/<image name without folder and suffix>.png.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import APPLE_DOUBLE
from keras_dr.core.names import eye_of_value, patients_of_names
from keras_dr.core.tables import (
    TABLE_SUFFIXES,
    TableRow,
    is_missing,
    is_unknown,
    plain_number,
    read_table,
)
from keras_dr.datasets.columns import Columns, choose_columns
from keras_dr.datasets.grades import find_grade
from keras_dr.datasets.naming import split_of_value
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.patients import example_of_names, groups_of_folders, name_patients
from keras_dr.datasets.photograph_index import PhotographIndex, UnclearNameError, image_stem, is_file
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import SPLITS, Record, safe_id
from keras_dr.datasets.table_files import tables_of, tables_to_read, usable_tables

NAME = "csv"


@dataclass(frozen=True)
class _Table:
    """One table of a source: its rows, its columns, and the split in its name ("" if it is the only table)."""

    file: Path
    columns: Columns
    rows: Sequence[TableRow]
    split: str
    dialect: str
    unused: tuple[str, ...]
    unnamed: int


def recognises(source: Path, options: SourceOptions | None = None) -> bool:
    """Whether this is a table, or a folder with a table that has columns for the photographs and for the class.

    Args:
        source: the folder or file.
        options: columns that the user named; None: none.
    """
    if source.is_file():
        return source.suffix.lower() in TABLE_SUFFIXES
    return bool(usable_tables(tables_of(source), options or SourceOptions()))


def read(source: Path) -> list[Record]:
    """Return the records of a table, as `understand` reads them without options."""
    return list(understand(source, SourceOptions()).records)


def understand(source: Path, options: SourceOptions) -> Reading:
    """Read a table, or several tables whose names say that they are splits.

    Args:
        source: the table, or a folder.
        options: columns, the folder of the photographs, and where patients come from.

    Raises:
        KerasDrError: there is no table, or it is not clear which one is meant; a needed column is missing, or two may
            be meant; a split is unknown; or the name of a photograph leads out of the folder or fits two files.
    """
    files, others = tables_to_read(source, options)
    root = source if source.is_dir() else source.parent
    index = PhotographIndex(_photograph_folder(root, options))
    tables = [_read(file, index, options, split) for file, split in files.items()]
    masks = sorted(path for path in root.glob("masks/*") if path.is_dir())
    unknown_eyes = Counter[str]()
    with_patients = [pair for table in tables for pair in _records(table, index, masks, unknown_eyes)]
    left_out = [(record, APPLE_DOUBLE) for record, _ in with_patients if record.path.name.startswith("._")]
    with_patients = [pair for pair in with_patients if not pair[0].path.name.startswith("._")]
    records = _with_ids([record for record, _ in with_patients], several=len(tables) > 1)
    column = next((table.columns.patient for table in tables if table.columns.patient), None)
    records, patients, notes = _with_patients(records, [patient for _, patient in with_patients], column, options)
    notes += _other_grades(records)
    notes += [
        f"Names that match a file although they are written {how}: {len(names)}." for how, names in index.notes.items()
    ]
    notes += [
        f"Photographs whose eye is {eye!r}, neither left nor right: {count}." for eye, count in unknown_eyes.items()
    ]
    first = tables[0]
    file_names = ", ".join(table.file.name for table in tables)
    split_column = next((table.columns.split for table in tables if table.columns.split), None)
    splits = f"the tables' names ({file_names})" if len(tables) > 1 else ""
    return Reading(
        records=records,
        why=f"{file_names} {'names' if len(tables) == 1 else 'name'} the photographs and their classes",
        columns=first.columns.named(),
        unused=tuple(dict.fromkeys(name for table in tables for name in table.unused)),
        unnamed=first.unnamed,
        tables={table.file: table.dialect for table in tables},
        patients=patients,
        splits=f"column {split_column}" if split_column else splits,
        left_out=tuple(left_out),
        not_used=dict.fromkeys(others, "without columns for the photographs and for the class (tables)"),
        notes=tuple(notes),
    )


def _other_grades(records: Sequence[Record]) -> list[str]:
    """Return a note if photographs lie in folders of another grade than the table says."""
    differing = [
        record
        for record in records
        if record.grade is not None and find_grade(record.path.parent.name) not in (None, record.grade)
    ]
    if not differing:
        return []
    first = differing[0]
    return [
        f"Photographs in a folder of another grade than the table says: {len(differing)}, such as "
        f"{first.path.parent.name}/{first.path.name} ({first.label}). The grade in the table is used."
    ]


def _photograph_folder(root: Path, options: SourceOptions) -> Path:
    if options.images is None:
        return root
    for folder in (options.images, root / options.images):
        if folder.is_dir():
            return folder
    raise KerasDrError(f"There is no folder {options.images} for the photographs.", "Correct --images.")


def _read(file: Path, index: PhotographIndex, options: SourceOptions, split: str) -> _Table:
    header, rows = read_table(file)

    def is_photograph(name: str) -> bool:
        try:
            return bool(name) and is_file(index.find(name, split))
        except UnclearNameError:
            return True
        except KerasDrError:
            return False

    columns = choose_columns(header, rows, options, is_photograph)
    used = set(columns.named().values())
    return _Table(
        file=file,
        columns=columns,
        rows=rows,
        split=split,
        dialect=header.dialect,
        unused=tuple(name for name in header.named if name not in used),
        unnamed=header.unnamed,
    )


def _records(
    table: _Table, index: PhotographIndex, masks: Sequence[Path], unknown_eyes: Counter[str]
) -> list[tuple[Record, str]]:
    """Return one record per row, whose id is the name in the table, with its patient; "" if the table names none."""
    columns = table.columns
    records = []
    for row in table.rows:
        with row.named():
            split = table.split or (_split(row.text(columns.split)) if columns.split else "")
            name = "" if is_missing(row[columns.image]) else row[columns.image]
            path = index.find(name, split)
        eye = row.text(columns.eye)
        if eye and not is_unknown(eye) and not eye_of_value(eye):
            unknown_eyes[eye] += 1
        patient = row.text(columns.patient)
        label = row.text(columns.label)
        files = {lesion.name: lesion / f"{path.stem}.png" for lesion in masks}
        record = Record(
            image_id=image_stem(plain_number(name).replace("\\", "/")),
            path=path,
            grade=find_grade(label),
            eye=eye_of_value(eye),
            split=split,
            masks={lesion: mask for lesion, mask in files.items() if is_file(mask)},
            label=label,
            origin=row.place,
        )
        records.append((record, "" if is_unknown(patient) else patient))
    return records


def _split(text: str) -> str:
    if not text:
        return ""
    split = split_of_value(text)
    if not split:
        message = f"A split must be one of {', '.join(SPLITS)} or empty, but is {text!r}"
        raise KerasDrError(message, "Correct that row, or leave the column out with --split-column none.")
    return split


def _with_ids(records: Sequence[Record], several: bool) -> list[Record]:
    """Give records their ids: the file names without suffix, with the folder if two folders have a file of that name.

    If several tables use the same names, the split comes before them.
    """
    stems = [record.image_id for record in records]
    counts = Counter(Path(stem).name for stem in set(stems))
    ids = [safe_id(Path(stem).name if counts[Path(stem).name] == 1 else stem) for stem in stems]
    if several and len(set(ids)) < len(ids):
        ids = [f"{record.split}_{image_id}" for record, image_id in zip(records, ids, strict=True)]
    return [replace(record, image_id=image_id) for record, image_id in zip(records, ids, strict=True)]


def _with_patients(
    records: Sequence[Record], patients: Sequence[str], column: str | None, options: SourceOptions
) -> tuple[list[Record], str, list[str]]:
    """Give records their patients and, if these come from file names, their eyes.

    A photograph without a patient counts as a patient of its own.

    Args:
        records: the records.
        patients: the patient of each in the table; "" if it names none.
        column: the table's column of patients; None: it has none.
        options: where patients come from.

    Returns:
        The records; where patients come from, in words; and notes for the user.
    """
    stems = [image_stem(record.path.name) for record in records]
    if any(patients):
        notes = []
        spellings: dict[str, str] = {}
        unified = [
            spellings.setdefault(unicodedata.normalize("NFC", patient).casefold(), patient) for patient in patients
        ]
        if unified != list(patients):
            replaced = len(set(patients) - set(unified))
            notes.append(f"Patients that differ only in case count as one patient (spellings replaced: {replaced}).")
            patients = unified
        if "" in patients:
            notes.append(
                f"Photographs without a patient, each of which counts as a patient of its own: {patients.count('')}."
            )
        from_names = patients_of_names(stems)
        if from_names and len(set(patients)) == len(patients):
            pair = example_of_names(stems, from_names)
            notes.append(
                f"No two photographs share a patient, but {pair} look like the two eyes of one patient; if they are, "
                "pass --patients names."
            )
        pairs = [(patient, "") for patient in patients]
        words = f"column {column}"
    else:
        pairs, words, notes = name_patients(stems, options)
        groups: list[str] = []
        if not pairs and options.patients == "auto":
            groups = groups_of_folders([record.path.parent.name for record in records])
        if groups:
            records = [replace(record, neighbours=group) for record, group in zip(records, groups, strict=True)]
            note = f"Folders such as {min(groups)} may be patients, so the photographs of one folder stay in one split."
            notes = [note, *notes]
        if column:
            notes = [f"The column {column} names no patient in any row.", *notes]
    pairs = pairs or [("", "")] * len(records)
    with_patients = [
        replace(record, patient_id=patient, eye=record.eye or eye)
        for record, (patient, eye) in zip(records, pairs, strict=True)
    ]
    return with_patients, words, notes
