"""What the user may say about a source, so that it need not be recognised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keras_dr.core.errors import KerasDrError
from keras_dr.core.privacy import Privacy

NONE = "none"
PATIENTS = ("auto", "names", NONE)


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source. By default everything is recognised from the source itself.

    Attributes:
        image_column: the table's column of file names; "": a column with a known name.
        label_column: the column of classes; "": a column with a known name.
        patient_column: the column of patients; "none": there is none; "": a column with a known name, if there is one.
        eye_column: the column of eyes; "none" and "" as for `patient_column`.
        split_column: the column of published splits; "none" and "" as for `patient_column`.
        images: the folder that holds the table's photographs; None: the table's folder and the folders in it.
        classes: all class names, in the order of the model's outputs; (): those that the labels name.
        positive: the classes whose patients are referred; (): none of them; None: those that the class names imply.
        renamed: label in the source -> its class, which may be a grade ("2", "moderate", "ungradable").
        patients: "auto": from the patient column, else from file names if they clearly name patients; "names": from
            file names; "none": every photograph counts as a patient of its own. DICOM files name their patients.
        privacy: how the patients of DICOM files are named.
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
    privacy: Privacy = field(default_factory=Privacy)

    def __post_init__(self) -> None:
        if self.patients not in PATIENTS:
            message = f"--patients must be one of {', '.join(PATIENTS)}, not {self.patients!r}."
            raise KerasDrError(message, "Correct --patients.")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice or len(self.classes) == 1:
            message = f"--classes names the class {twice[0]} twice." if twice else "--classes names only one class."
            raise KerasDrError(message, "Name two or more classes, each once.")
        if self.patients == "names" and self.patient_column not in ("", NONE):
            message = f"Patients cannot come both from file names and from the column {self.patient_column}."
            raise KerasDrError(message, "Leave out --patients or --patient-column.")

    @property
    def names_a_table(self) -> bool:
        """Whether an option names a column or the folder of a table's photographs."""
        columns = (self.image_column, self.label_column, self.patient_column, self.eye_column, self.split_column)
        return any(columns) or self.images is not None


def parse_options(
    *,
    classes: str | None = None,
    positive: str | None = None,
    renamed: tuple[str, ...] = (),
    privacy: Privacy | None = None,
    **others: str | Path | None,
) -> SourceOptions:
    """Return the options that the texts of a command line mean.

    Args:
        classes: class names joined by commas; None: the default.
        positive: class names joined by commas, or "none"; None: the default.
        renamed: texts of the form LABEL=CLASS.
        privacy: how the patients of DICOM files are named; None: by keyed hashes.
        others: the other attributes of `SourceOptions`; None stands for the default.

    Raises:
        KerasDrError: a text does not have this form, or a value is not allowed.
    """
    pairs: dict[str, str] = {}
    for text in renamed:
        label, sign, name = text.rpartition("=")
        if not (sign and label.strip() and name.strip()):
            raise KerasDrError(f"--map takes LABEL=CLASS, not {text!r}.", "For example: --map Sano=no_dr")
        if pairs.setdefault(label.strip(), name.strip()) != name.strip():
            raise KerasDrError(f"--map gives two classes for the label {label.strip()!r}.", "Leave one of them out.")
    values: dict[str, object] = {name: value for name, value in others.items() if value is not None}
    if classes is not None:
        values["classes"] = _names(classes, "--classes")
    if positive is not None:
        values["positive"] = () if positive.strip().lower() == NONE else _names(positive, "--positive")
    if privacy is not None:
        values["privacy"] = privacy
    return SourceOptions(renamed=pairs, **values)  # type: ignore[arg-type] # checked by the dataclass's own annotations


def _names(text: str, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise KerasDrError(f"{option} names no class: {text!r}.", f"Name them, such as {option} A,B; or leave it out.")
    return names
