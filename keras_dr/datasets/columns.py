"""Which columns of a table are read.

Their names decide, and their values if several columns have known names. If these differ, the user must choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import IMAGE_COLUMNS, first_line_is_data, no_column
from keras_dr.core.names import eye_of_value
from keras_dr.core.tables import Header, TableRow, fold, is_unknown
from keras_dr.datasets.grades import find_grade, named_grade
from keras_dr.datasets.naming import split_of_value
from keras_dr.datasets.options import NONE, SourceOptions

LABELS = ("grade", "level", "diagnosis", "label", "class", "dr_grade", "adjudicated_dr_grade", "retinopathy grade")
# names that count if no column has one of the above
_FURTHER_LABELS = (
    *("dr_level", "dr_severity", "dr_stage", "dr_class", "dr_label", "dr", "icdr", "icdr_grade", "icdr_level"),
    *("severity", "severity_level", "stage", "target", "category", "class_name", "labels", "ground_truth"),
    *("retinopathy", "retinopathy_level", "retinopathy_severity", "diabetic_retinopathy"),
    *("diabetic_retinopathy_grade", "diabetic_retinopathy_level", "diabetic_retinopathy_severity"),
)
PATIENTS = (
    *("patient_id", "patient", "subject_id", "subject", "patient_number", "patient_no", "patient_code", "patient_name"),
    *("patient_identifier", "patients", "pid", "person_id", "participant_id", "participant", "subject_number", "mrn"),
)
EYES = ("eye", "laterality", "side", "eye_side", "image_laterality", "eye_laterality")
SPLITS = ("split", "set", "subset", "usage", "partition", "data_split", "dataset_split", "phase")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        image: the column of file names.
        label: the column of classes.
        patient: the column of patients; None: there is none.
        eye: the column that says left or right; None: there is none.
        split: the column of published splits; None: there is none.
    """

    image: str
    label: str
    patient: str | None
    eye: str | None
    split: str | None

    def named(self) -> dict[str, str]:
        """Return attribute -> column for each column that exists."""
        columns = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        return {name: column for name, column in columns.items() if column}


def has_needed_columns(header: Header, options: SourceOptions) -> bool:
    """Whether a table has a column for the photographs and a column for the class.

    Args:
        header: the table's header.
        options: columns that the user named; for the others, known names count.
    """
    images = [options.image_column] if options.image_column else IMAGE_COLUMNS
    labels = [options.label_column] if options.label_column else (*LABELS, *_FURTHER_LABELS)
    present = {fold(name) for name in header.named}
    return all(present & {fold(name) for name in names} for names in (images, labels))


def choose_columns(
    header: Header, rows: Sequence[TableRow], options: SourceOptions, is_photograph: Callable[[str], bool]
) -> Columns:
    """Choose the columns of a table that are read.

    Args:
        header: the table's header.
        rows: all rows of the table.
        options: columns that the user named.
        is_photograph: a function that returns whether a name is that of a photograph that exists.

    Raises:
        KerasDrError: a needed column is missing, a column that the user named does not exist, or two columns may hold
            the same property but differ.
    """
    image = _image_column(header, rows, options.image_column, is_photograph)
    labels = _named(header, options.label_column, "--label-column")
    eyes = _named(header, options.eye_column, "--eye-column")
    splits = _named(header, options.split_column, "--split-column")
    if labels is None:
        known = [name for name in header.find(LABELS) or header.find(_FURTHER_LABELS) if name != image]
        labels = [name for name in known if not (_all(rows, name, eye_of_value) or _all(rows, name, split_of_value))]
        no_labels = [name for name in known if name not in labels]
        if eyes is None:
            eyes = header.find(EYES) or [name for name in no_labels if _all(rows, name, eye_of_value)]
        if splits is None:
            splits = header.find(SPLITS) or [name for name in no_labels if _all(rows, name, split_of_value)]
    grades = [name for name in header.named if named_grade(name) >= 0 and _all(rows, name, "01".__contains__)]
    if not labels and len(grades) > 1:
        message = f"{header.file} has a column for each class ({', '.join(grades)}), not a single column for the class."
        raise KerasDrError(message, "Write a single column, grade, with the name of the class.")
    if not labels:
        raise KerasDrError(
            no_column(header, "class", "grade, label or diagnosis"), "Name it with --label-column COLUMN."
        )
    patients = [] if options.patients in ("names", NONE) else _named(header, options.patient_column, "--patient-column")
    if patients is None:
        patients = header.find(PATIENTS)
    if eyes is None:
        eyes = header.find(EYES)
    splits = _valid_splits(rows, header.find(SPLITS) if splits is None else splits)
    return Columns(
        image=image,
        label=_only(header, rows, labels, "class", "--label-column", _label_value),
        patient=_optional(header, rows, patients, "patient", "--patient-column"),
        eye=_optional(header, rows, eyes, "eye", "--eye-column", eye_of_value),
        split=_optional(header, rows, splits, "split", "--split-column", split_of_value),
    )


def _named(header: Header, name: str, option: str) -> list[str] | None:
    """Return the column that the user named, [] for "none"; None if the user named none.

    Raises:
        KerasDrError: the table has no such column.
    """
    if not name:
        return None
    columns = header.find([name])
    if columns:
        return columns
    if name.lower() == NONE and option not in ("--label-column", "--image-column"):
        return []
    has = ", ".join(header.named)
    raise KerasDrError(f"{header.file} has no column {name!r}; it has {has}.", f"Correct {option}.")


def _image_column(header: Header, rows: Sequence[TableRow], named: str, is_photograph: Callable[[str], bool]) -> str:
    """Return the column of the photographs; of several, the first that names the most files."""
    candidates = _named(header, named, "--image-column") or header.find(IMAGE_COLUMNS)
    sample = rows[:: max(1, len(rows) // 50)]
    if not candidates and first_line_is_data(header):
        raise KerasDrError(no_column(header, "photographs", "image"), "Write a header line above it: image,grade")
    if not candidates:
        fitting = [name for name in header.named if any(is_photograph(row[name]) for row in sample)]
        hint = f" {fitting[0]!r} holds names of files that exist." if fitting else ""
        message = no_column(header, "photographs", "image, filename or path") + hint
        raise KerasDrError(message, f"Name it with --image-column {fitting[0] if fitting else 'COLUMN'}.")
    counts = {name: sum(is_photograph(row[name]) for row in sample) for name in candidates}
    most = max(counts.values())
    if not most:  # no column names files: take the first that has a name in each row
        return min(candidates, key=lambda name: (any(not row.text(name) for row in rows), candidates.index(name)))
    return next(name for name, count in counts.items() if count == most)


def _only(
    header: Header,
    rows: Sequence[TableRow],
    candidates: Sequence[str],
    what: str,
    option: str,
    value: Callable[[str], object],
) -> str:
    """Return the first of several columns that say the same in every row.

    Args:
        header: the table's header.
        rows: all rows of the table.
        candidates: the columns, at least one.
        what: what they hold, for the message.
        option: the option that chooses one of them.
        value: a function that returns the meaning of a cell.

    Raises:
        KerasDrError: two of them differ.
    """
    first = candidates[0]
    for other in candidates[1:]:
        row = next((row for row in rows if value(row.text(first)) != value(row.text(other))), None)
        if row is not None:
            message = (
                f"The {what} may be in the column {first!r} or {other!r} of {header.file}, which differ in "
                f"{row.place.split(' of ')[0]} ({row.text(first)!r} and {row.text(other)!r})."
            )
            raise KerasDrError(message, f"Choose one with {option}.")
    return first


def _optional(
    header: Header,
    rows: Sequence[TableRow],
    candidates: Sequence[str],
    what: str,
    option: str,
    value: Callable[[str], object] = str,
) -> str | None:
    return _only(header, rows, candidates, what, option, value) if candidates else None


def _label_value(text: str) -> object:
    grade = find_grade(text)
    return text if grade is None else grade


def _all(rows: Sequence[TableRow], column: str, value: Callable[[str], object]) -> bool:
    """Whether a column has a known value in every row that has a value, and at least one row has one."""
    texts = {row[column] for row in rows}
    known = [text for text in texts if not is_unknown(text)]
    return bool(known) and all(map(value, known))


def _valid_splits(rows: Sequence[TableRow], candidates: Sequence[str]) -> list[str]:
    """Return those of several columns that hold only splits.

    A single column is kept, so that a wrong cell in it is reported.
    """
    if len(candidates) < 2:
        return list(candidates)
    return [name for name in candidates if _all(rows, name, split_of_value)] or [candidates[0]]
