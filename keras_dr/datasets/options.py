"""What a person may say about a source instead of leaving it to be understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keras_dr.core.errors import KerasDrError

NONE = "none"
PATIENTS = ("auto", "names", NONE)


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source, where that is not left to be understood.

    Attributes:
        image_column: column of the table that names the photographs; "": the known names.
        label_column: column that holds the class.
        patient_column: column that holds the patient; "none": there is none.
        eye_column: column that holds the eye; "none": there is none.
        split_column: column that holds the published split; "none": there is none.
        images: folder in which the table's photographs lie; None: beside the table and in the folders there.
        classes: class names in the order of the model's outputs; (): as understood.
        positive: the classes that send a patient on; (): none of them; None: as understood.
        renamed: label in the source -> the class that is meant, which may be a grade ("2", "moderate", "ungradable").
        patients: "auto": the patient column, else clear names; "names": from the names of the files; "none": every
            photograph counts as a patient of its own.
    """

    image_column: str = ""
    label_column: str = ""
    patient_column: str = ""
    eye_column: str = ""
    split_column: str = ""
    images: Path | None = None
    classes: tuple[str, ...] = ()
    positive: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    patients: str = "auto"

    def __post_init__(self) -> None:
        if self.patients not in PATIENTS:
            message = f"Patients are taken from one of {', '.join(PATIENTS)}, not from {self.patients!r}."
            raise KerasDrError(message, "Correct --patients.")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice or len(self.classes) == 1:
            message = f"The class {twice[0]} stands twice in --classes." if twice else "One class alone is no task."
            raise KerasDrError(message, "Name two or more classes, each once.")
        if self.patients == "names" and self.patient_column not in ("", NONE):
            message = f"Patients cannot come from the names and from the column {self.patient_column}."
            raise KerasDrError(message, "Leave out --patients or --patient-column.")

    @property
    def speaks_of_a_table(self) -> bool:
        """Whether columns or the folder of a table's photographs are named."""
        columns = (self.image_column, self.label_column, self.patient_column, self.eye_column, self.split_column)
        return any(columns) or self.images is not None


def parse_options(
    *,
    classes: str | None = None,
    positive: str | None = None,
    renamed: tuple[str, ...] = (),
    **others: str | Path | None,
) -> SourceOptions:
    """Options as a command line says them.

    Args:
        classes: names joined by commas.
        positive: names joined by commas, or "none".
        renamed: texts LABEL=CLASS.
        others: the other attributes of `SourceOptions`; None leaves one as it is.

    Raises:
        KerasDrError: a text that is not of that form, or a value that does not exist.
    """
    pairs: dict[str, str] = {}
    for text in renamed:
        label, sign, name = text.rpartition("=")
        if not (sign and label.strip() and name.strip()):
            raise KerasDrError(f"--map takes LABEL=CLASS, not {text!r}.", "For example: --map Sano=no_dr")
        if pairs.setdefault(label.strip(), name.strip()) != name.strip():
            raise KerasDrError(f"--map says two classes for the label {label.strip()!r}.", "Leave one of them out.")
    said: dict[str, object] = {name: value for name, value in others.items() if value is not None}
    if classes is not None:
        said["classes"] = _names(classes)
    if positive is not None:
        said["positive"] = () if positive.strip().lower() == NONE else _names(positive)
    return SourceOptions(renamed=pairs, **said)  # type: ignore[arg-type] # checked by the dataclass's own annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
