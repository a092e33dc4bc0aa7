"""Record: one photograph of one eye of one patient, and its grade, as a data set publishes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """One photograph.

    Attributes:
        image_id: unique in its data set, safe as a file name (letters, digits, ".", "_", "-").
        path: the photograph's file.
        grade: ICDR grade 0..4.
        patient_id: photographs of one patient share it; the image_id where the data set does not tell.
        eye: "left", "right" or "" where unknown.
        split: "train", "val", "test", or "" where the data set has no official split.
        masks: lesion kind -> mask file.
    """

    image_id: str
    path: Path
    grade: int
    patient_id: str = ""
    eye: str = ""
    split: str = ""
    masks: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.patient_id:
            object.__setattr__(self, "patient_id", self.image_id)
        if self.split and self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS} or empty, not {self.split!r}")


def safe_id(text: str) -> str:
    """A file name made of letters, digits, ".", "_" and "-" alone; other characters become "-"."""
    return re.sub(r"[^\w.-]", "-", text).lstrip(".") or "-"
