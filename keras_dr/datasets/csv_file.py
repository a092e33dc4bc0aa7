"""Any table with an image column, a label column and, if it has them, patient, eye and split columns.

SOURCE is the table itself or the folder that holds it; images are sought beside it and in the folders there. A label
is a grade, a number or a class name. Tables that are splits by their names (train.csv, test.csv) are read together.
Lesion masks, where there are any, lie in masks/<lesion>/<image name without folder and suffix>.png.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import APPLE_DOUBLE
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
from keras_dr.datasets.naming import eye_of_value, split_of_value
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.patients import example_of_names, groups_of_folders, name_patients, patients_of_names
from keras_dr.datasets.photograph_index import PhotographIndex, image_stem, is_file
from keras_dr.datasets.reading import Reading
from keras_dr.datasets.records import SPLITS, Record, safe_id
from keras_dr.datasets.table_files import tables_of, tables_to_read, usable_tables

NAME = "csv"


@dataclass(frozen=True)
class _Table:
    """One table of a source: its rows, its columns, and the split that its name says ("" where it is the only one)."""

    file: Path
    columns: Columns
    rows: Sequence[TableRow]
    split: str
    dialect: str
    unused: tuple[str, ...]
    unnamed: int


def recognises(source: Path, options: SourceOptions | None = None) -> bool:
    """A table, or a folder with one that has a column for the photographs and one for the class."""
    if source.is_file():
        return source.suffix.lower() in TABLE_SUFFIXES
    return bool(usable_tables(tables_of(source), options or SourceOptions()))


def read(source: Path) -> list[Record]:
    """The table's records, as `understand` reads them without options."""
    return list(understand(source, SourceOptions()).records)


def understand(source: Path, options: SourceOptions) -> Reading:
    """Read a table, or several that are splits by their names.

    Args:
        source: the table, or a folder.
        options: columns, the folder of the photographs, and where patients come from.

    Raises:
        KerasDrError: no table, or several that may be meant; a needed column is missing, or two may be meant; a
            split is unknown; a name leads out, or two files bear it.
    """
    files, others = tables_to_read(source, options)
    root = source if source.is_dir() else source.parent
    index = PhotographIndex(_photograph_folder(root, options))
    tables = [_read(file, index, options, split) for file, split in files.items()]
    masks = sorted(path for path in root.glob("masks/*") if path.is_dir())
    strange_eyes = Counter[str]()
    named = [pair for table in tables for pair in _records(table, index, masks, strange_eyes)]
    left_out = [(record, APPLE_DOUBLE) for record, _ in named if record.path.name.startswith("._")]
    named = [(record, patient) for record, patient in named if not record.path.name.startswith("._")]
    records = _with_ids([record for record, _ in named], several=len(tables) > 1)
    column = next((table.columns.patient for table in tables if table.columns.patient), None)
    records, patients, notes = _with_patients(records, [patient for _, patient in named], column, options)
    notes += _other_classes(records)
    notes += [f"Matched, though written {how}: {len(names)} names." for how, names in index.notes.items()]
    notes += [f"Neither left nor right: {eye!r}, of {count} photographs." for eye, count in strange_eyes.items()]
    first = tables[0]
    split_column = next((table.columns.split for table in tables if table.columns.split), None)
    names = f"the tables' names ({', '.join(table.file.name for table in tables)})"
    return Reading(
        records=records,
        why=f"{_listed(table.file.name for table in tables)} the photographs and their classes",
        columns=first.columns.named(),
        unused=tuple(dict.fromkeys(name for table in tables for name in table.unused)),
        unnamed=first.unnamed,
        tables={table.file: table.dialect for table in tables},
        patients=patients,
        splits=f"column {split_column}" if split_column else names if len(tables) > 1 else "",
        left_out=tuple(left_out),
        passed=dict.fromkeys(others, "without a column for the photographs and one for the class (tables)"),
        notes=tuple(notes),
    )


def _other_classes(records: Sequence[Record]) -> list[str]:
    """A note where photographs lie in folders of another grade than the table says."""
    other = [
        record
        for record in records
        if record.grade is not None and find_grade(record.path.parent.name) not in (None, record.grade)
    ]
    if not other:
        return []
    first = other[0]
    return [
        f"{len(other)} photographs lie in a folder of another grade than the table says, such as "
        f"{first.path.parent.name}/{first.path.name} ({first.label}); the table is taken."
    ]


def _listed(names: Iterable[str]) -> str:
    """ "a.csv names", "a.csv, b.csv name"."""
    found = list(names)
    return f"{', '.join(found)} {'names' if len(found) == 1 else 'name'}"


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
        except KerasDrError as error:  # two files, or a spoiled name: it is meant for a photograph
            return "may be" in error.message or "leading zeros" in error.message

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
    table: _Table, index: PhotographIndex, masks: Sequence[Path], strange_eyes: Counter[str]
) -> list[tuple[Record, str]]:
    """A record a row, whose id is its name as the table has it, and its patient, "" where the table names none."""
    columns, found = table.columns, []
    for row in table.rows:
        with row.named():
            split = table.split or (_split(row.text(columns.split)) if columns.split else "")
            name = "" if is_missing(row[columns.image]) else row[columns.image]
            path = index.find(name, split)
        eye = row.text(columns.eye)
        if eye and not is_unknown(eye) and not eye_of_value(eye):
            strange_eyes[eye] += 1
        patient, label = row.text(columns.patient), row.text(columns.label)
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
        found.append((record, "" if is_unknown(patient) else patient))
    return found


def _split(text: str) -> str:
    if not text:
        return ""
    split = split_of_value(text)
    if not split:
        message = f"There is a split among {', '.join(SPLITS)} or none; this is {text!r}"
        raise KerasDrError(message, "Correct that row, or leave the column out with --split-column none.")
    return split


def _with_ids(records: Sequence[Record], several: bool) -> list[Record]:
    """With ids: the file names without folder and suffix; with the folder where two folders have a file of that name.

    Where names begin anew in each of several tables, with the split before them.
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
    """With patients and, where those come from names, eyes; in words where they come from; and notes.

    A photograph without a patient is one of its own.
    """
    stems = [image_stem(record.path.name) for record in records]
    if any(patients):
        notes = []
        spellings: dict[str, str] = {}
        spelled = [spellings.setdefault(unicodedata.normalize("NFC", one).casefold(), one) for one in patients]
        if spelled != list(patients):
            notes.append(f"Patients that differ in case alone are taken for one: {len(set(patients) - set(spelled))}.")
            patients = spelled
        if "" in patients:
            notes.append(f"Without a patient, so each one of its own: {patients.count('')} photographs.")
        looking = patients_of_names(stems)
        if looking and len(set(patients)) == len(patients):
            pair = example_of_names(stems, looking)
            notes.append(
                f"No two photographs share a patient, though {pair} look like one's two eyes: --patients names."
            )
        pairs = [(patient, "") for patient in patients]
        words = f"column {column}"
    else:
        pairs, words, notes = name_patients(stems, options)
        groups = (
            []
            if pairs or options.patients != "auto"
            else groups_of_folders([record.path.parent.name for record in records])
        )
        if groups:
            records = [replace(record, neighbours=group) for record, group in zip(records, groups, strict=True)]
            notes = [f"Folders such as {min(groups)} may be patients: no cut divides one of them.", *notes]
        if column:
            notes = [f"The column {column} names no patient in any row.", *notes]
    pairs = pairs or [("", "")] * len(records)
    found = [
        replace(record, patient_id=patient, eye=record.eye or eye)
        for record, (patient, eye) in zip(records, pairs, strict=True)
    ]
    return found, words, notes
