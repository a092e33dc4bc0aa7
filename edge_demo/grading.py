"""The result of grading one photograph: its grade and action, as a dictionary and as pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import overlay
from keras_dr.core.decoding import Image
from keras_dr.core.encoding import encode_png
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.frames import FRAME
from keras_dr.core.grade_sets import set_words
from keras_dr.core.image_files import IMAGE_SUFFIXES
from keras_dr.core.names import class_words
from keras_dr.core.png_marks import mark_png
from keras_dr.core.preprocessing import Fundus

FOOTER = "Research use only, not a medical device."
HEATMAP = "heat map"  # the purpose that is noted in a heat map's file


def image_id(path: str) -> str:
    """Return a photograph's name without its folders and without the suffix of an image file; eye_frame-2 of frames."""
    name = Path(path)
    if FRAME.fullmatch(name.name) and name.parent.name:
        return f"{image_id(str(name.parent))}_{name.name}"
    return name.stem if name.suffix.lower() in IMAGE_SUFFIXES else name.name


@dataclass(frozen=True, eq=False)
class Grading:
    """The result for one photograph.

    Attributes:
        path: the name under which the caller gave the photograph.
        grade: name of the class that the bundle's decision picks.
        probabilities: class name -> probability 0..1, calibrated, in the order of the bundle's classes.
        p_referable: their sum over the referable classes.
        referred: whether the action begins with "refer".
        fundus_found: False if no fundus circle was found and the whole photograph was graded.
        faults: the photograph's faults (`quality`), such as "dark", which is unusual among the training photographs, or
            "too dark to grade", on which the grader is known to fail, "no fundus" or "two fundi"; empty if it has none.
        action: "refer: by grade" if `grade` is referable; otherwise "refer: by threshold" if `p_referable` reaches the
            threshold; otherwise "refer: uncertain" if it is less than the margin below; otherwise "retake" if the
            photograph has faults; otherwise "none".
        reason: why this is the action, a sentence.
        heatmap: float32 (h, w), evidence for `grade`, unnormalised; its spatial mean plus the bias is the logit.
        prepared: uint8 RGB (S, S, 3), the model's input.
        stretched: whether the photograph was squashed and has been stretched back.
        unfamiliar: differences of its colours from those of the training photographs, such as "redder", which may shift
            the grade; empty if there are none.
        trained_on: the photographs that the grader was trained on, in words; "" if its bundle does not say.
        photograph: uint8 RGB (h, w, 3), as it was decoded, reduced if the model's input needs fewer pixels; None if it
            was not kept.
        circle: the fundus in the pixels of `photograph`; None if none was found.
        subject: of a DICOM file, what the result says of its patient, eye, date and device; see `Privacy.about`.
        eye: "left" or "right", as the DICOM file, the list or the name of the photograph says; "" if none says it.
        grade_set: neighbouring grades, of which one is the true one with the coverage `grade_set_coverage`; empty if
            the bundle has no calibrated sets.
        grade_set_coverage: 0..1; 0 without a set.
        model_doubt: that the model failed its comparison at export, a sentence; "" if it passed.
    """

    path: str
    grade: str
    probabilities: dict[str, float]
    p_referable: float
    referred: bool
    fundus_found: bool
    faults: tuple[str, ...]
    action: str
    reason: str
    heatmap: NDArray[np.float32] = field(repr=False)
    prepared: Image = field(repr=False)
    stretched: bool = False
    unfamiliar: tuple[str, ...] = ()
    trained_on: str = ""
    photograph: Image | None = field(default=None, repr=False)
    circle: Fundus | None = None
    subject: Mapping[str, str] = field(default_factory=dict)
    eye: str = ""
    grade_set: tuple[str, ...] = ()
    grade_set_coverage: float = 0.0
    model_doubt: str = ""

    @property
    def grade_set_in_words(self) -> str:
        """The set of grades, such as "moderate or severe"; "" if none is stated."""
        return set_words(self.grade_set) if self.grade_set else ""

    @property
    def grade_set_sentence(self) -> str:
        """What is said of the set of grades, a sentence; "" if none is stated."""
        if not self.grade_set:
            return ""
        share = f"{100 * self.grade_set_coverage:g} %"
        return f"With {share} coverage the grade is {self.grade_set_in_words}."

    @property
    def unfamiliar_sentence(self) -> str:
        """What is said of unusual colours, a sentence; "" if there are none."""
        if not self.unfamiliar:
            return ""
        words = ", ".join(self.unfamiliar)
        return f"Its colours are unlike those of the training photographs ({words}): the grade may be shifted."

    @property
    def action_in_words(self) -> str:
        """The action for a line of text."""
        return "no action" if self.action == "none" else self.action

    @property
    def image_id(self) -> str:
        """The photograph's name; see the function `image_id`."""
        return image_id(self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, without the arrays."""
        names = ["image_id", "path", "grade", "probabilities", "p_referable", "referred", "fundus_found"]
        names += ["faults", "action", "reason", "stretched", "unfamiliar", "trained_on"]
        about = {name: getattr(self, name) for name in names}
        if self.grade_set:
            about["grade_set"] = {
                "grades": self.grade_set,
                "words": self.grade_set_in_words,
                "coverage": self.grade_set_coverage,
            }
        if self.model_doubt:
            about["model_doubt"] = self.model_doubt
        return about | {"subject": dict(self.subject)} if self.subject else about

    def overlay(self) -> Image:
        """Return the heat map drawn over the prepared photograph, uint8 RGB (S, S, 3)."""
        return overlay.blend(self.prepared, self.heatmap)

    def picture(self) -> Image:
        """Return the photograph as it was taken, with its heat map and the result in words, uint8 RGB (H, W, 3).

        Raises:
            KerasDrError: the photograph was not kept.
        """
        if self.photograph is None:
            raise KerasDrError("The photograph of this grading was not kept.", "Grade it again with Grader.grade.")
        from edge_demo.picture import draw_picture

        lines = [self.reason, *filter(None, [self.grade_set_sentence])]
        if self.faults and self.action != "retake":
            lines.append(f"Faults of the photograph: {', '.join(self.faults)}.")
        if self.unfamiliar:
            lines.append(f"Colours unlike those of the training photographs: {', '.join(self.unfamiliar)}.")
        if self.model_doubt:
            lines.append(self.model_doubt)
        if self.trained_on:
            lines.append(f"Grader: {self.trained_on}.")
        lines.append(FOOTER)
        headline = f"{class_words(self.grade)}; {self.action_in_words}"
        if self.eye:
            headline = f"{self.eye.capitalize()} eye: {headline}"
        return draw_picture(self.photograph, self.circle, self.heatmap, headline, lines, self.probabilities, self.grade)

    def save_picture(self, path: Path | str) -> None:
        """Write `picture()` as a PNG file, whole or not at all; arguments and errors are those of `save_overlay`."""
        self._save(path, self.picture())

    def save_overlay(self, path: Path | str) -> None:
        """Write `overlay()` as a PNG file, whole or not at all.

        Args:
            path: the file to write; its name ends in .png.

        Raises:
            KerasDrError: the name does not end in .png, or the file cannot be written.
        """
        self._save(path, self.overlay())

    def _save(self, path: Path | str, image: Image) -> None:
        path = Path(path)
        if path.suffix.lower() != ".png":
            message = f"The file name of a heat map must end in .png, but is {path.name}."
            raise KerasDrError(message, "Choose another name.")
        try:
            write_bytes(path, mark_png(encode_png(image), HEATMAP))
        except OSError as error:
            message = f"The heat map {path} cannot be written: {error.strerror or error}."
            raise KerasDrError(message, "Choose a folder that exists, is writable and has free space.") from error
