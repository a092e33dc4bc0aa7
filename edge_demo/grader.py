"""Grades a photograph with a model of a bundle.

    grader = Grader("bundle")
    grading = grader.grade("left.jpg")
    print(grading.grade, grading.action)
    grading.save_overlay("left.png")

`Grader.grade` calls decode, prepare, invoke and conclude; the profiler times the same methods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import EXPORT_AGAIN, Bundle
from edge_demo.interpreter import load_runner
from keras_dr.core import overlay, quality
from keras_dr.core.decision import ACTIONS, MARGIN, THRESHOLD, ReferralRule, decide
from keras_dr.core.decoding import Image
from keras_dr.core.dicom import Subject, unwrap
from keras_dr.core.encoding import encode_png
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes
from keras_dr.core.frames import FRAME, split_frame
from keras_dr.core.grade_sets import set_words
from keras_dr.core.image_files import IMAGE_SUFFIXES, printable
from keras_dr.core.names import eye_of_name
from keras_dr.core.outputs import mark_png
from keras_dr.core.preprocessing import Fundus, Photograph, circle_mask, prepare_photograph, read_photograph
from keras_dr.core.privacy import Privacy, shown_name

FOOTER = "Research use only, not a medical device."


class Prepared(NamedTuple):
    """A prepared photograph; the fields are those of `Grading`, the image is the model's input uint8 RGB (S, S, 3)."""

    image: Image
    fundus: Fundus | None
    faults: tuple[str, ...]
    stretched: bool = False
    unfamiliar: tuple[str, ...] = ()


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
        if self.trained_on:
            lines.append(f"Grader: {self.trained_on}.")
        lines.append(FOOTER)
        headline = f"{self.grade.replace('_', ' ')}; {self.action_in_words}"
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
            write_bytes(path, mark_png(encode_png(image), "heat map"))
        except OSError as error:
            message = f"The heat map {path} cannot be written: {error.strerror or error}."
            raise KerasDrError(message, "Choose a folder that exists, is writable and has free space.") from error


class Grader:
    """A loaded model of a bundle. Only one thread may use it at a time."""

    def __init__(
        self,
        bundle: Bundle | Path | str,
        variant: str | None = None,
        threads: int | None = None,
        margin: float = MARGIN,
        privacy: Privacy | None = None,
        operating_point: str | None = None,
        threshold: float | None = None,
    ) -> None:
        """Verify and load a model.

        Args:
            bundle: a Bundle, the folder that `export` wrote, or the name of a shipped grader such as "idrid-lite".
            variant: name of the model; by default `bundle.default_variant()`.
            threads: number of processor threads of the model, 1 or more; by default LiteRT chooses.
            margin: a photograph whose p_referable is at most this far below the threshold is uncertain, 0..1.
            operating_point: the name of the operating point at which photographs are referred; by default the default
                one of the bundle.
            threshold: a threshold on the probability of a referable class instead, 0..1; by default that of the
                operating point.
            privacy: how results name the patients of DICOM files; by default by a keyed hash.

        Raises:
            KerasDrError: the variant or the operating point is unknown, the file of the variant is missing, changed
                or not as the bundle describes, or the margin breaks the promise of the operating point.
        """
        if threads is not None and threads < 1:
            message = f"The number of threads is {threads}; it must be 1 or more."
            raise KerasDrError(message, "Choose another number of threads.")
        self.bundle = Bundle.load(bundle).at(operating_point, threshold)
        self.bundle.check_margin(margin)
        self.margin = margin
        self.privacy = privacy or Privacy()
        self.variant = variant or self.bundle.default_variant()
        path = self.bundle.model_path(self.variant)
        try:
            self._model = load_runner(path, threads)
            self._check_signature(path)
        except (ValueError, RuntimeError) as error:
            reason = str(error).rstrip(".")
            message = f"The file {path} cannot be loaded as a TFLite model with one signature: {reason}."
            raise KerasDrError(message, EXPORT_AGAIN) from error

    def _check_signature(self, path: Path) -> None:
        size, count = self.bundle.preprocessing.size, len(self.bundle.classes)
        wanted = {
            "image": ((1, size, size, 3), np.uint8),
            "probabilities": ((1, count), np.float32),
            "heatmaps": ((1, None, None, count), np.float32),
        }
        details = {**self._model.get_input_details(), **self._model.get_output_details()}
        for name, (shape, dtype) in wanted.items():
            if name not in details:
                message = f"The signature of the model {path} has no {name!r}, only {', '.join(details)}."
                raise KerasDrError(message, EXPORT_AGAIN)
            actual_shape = tuple(int(length) for length in details[name]["shape"])
            if not _shape_fits(actual_shape, shape) or details[name]["dtype"] != dtype:
                expected = f"{np.dtype(dtype)} {shape}".replace("None", "any")
                actual = f"{np.dtype(details[name]['dtype'])} {actual_shape}"
                message = (
                    f"The tensor {name!r} in the signature of the model {path} is {actual}, but must be {expected}."
                )
                raise KerasDrError(message, EXPORT_AGAIN)

    def decode(self, photograph: bytes) -> Photograph:
        """Return an image file's pixels at the scale that the model's input needs, and the fundus circle in them.

        Raises:
            KerasDrError: the bytes are not a photograph, or the file is cut short.
        """
        return read_photograph(photograph, self.bundle.preprocessing)

    def prepare(self, photograph: Photograph) -> Prepared:
        """Return the model's input uint8 RGB (S, S, 3), the fundus circle and the faults of a decoded photograph."""
        spec, limits = self.bundle.preprocessing, self.bundle.quality_limits
        image, fundus = prepare_photograph(photograph, spec)
        stretched = photograph.stretched is not None
        if photograph.several:
            return Prepared(image, fundus, ("two fundi",))
        if fundus is None and spec.fundus != "none":
            return Prepared(image, fundus, ("no fundus",))
        if fundus is None or not (limits or self.bundle.gradability_limits):
            return Prepared(image, fundus, (), stretched)
        plain = image  # the measures are those of the photograph without enhancement
        if spec.enhance != "none":
            plain = prepare_photograph(photograph, replace(spec, enhance="none"))[0]
        measures = quality.measure(plain, circle_mask(spec.size))
        faults = quality.faults_of(measures, limits, self.bundle.gradability_limits)
        unfamiliar: tuple[str, ...] = ()
        if self.bundle.colour_limits:
            unfamiliar = quality.unfamiliar(measures, self.bundle.colour_limits)
        return Prepared(image, fundus, faults, stretched, unfamiliar)

    def invoke(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the model: uint8 RGB (S, S, 3) -> float32 probabilities (C,) in 0..1, raw heat maps (h, w, C)."""
        outputs = self._model(image=image[None])
        return outputs["probabilities"][0], outputs["heatmaps"][0]

    def conclude(
        self,
        name: str,
        prepared: Prepared,
        outputs: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> Grading:
        """Return the result for one photograph.

        Args:
            name: the photograph's name.
            prepared: from `prepare`.
            outputs: from `invoke`, float32 (C,) and (h, w, C).

        Raises:
            KerasDrError: a probability is not a finite number.
        """
        image, fundus, faults, stretched, unfamiliar = Prepared(*prepared)
        probabilities, heatmaps = outputs
        if not np.isfinite(probabilities).all():
            message = f"The model's probabilities are not all finite numbers: {probabilities.tolist()}."
            raise KerasDrError(message, "Choose another variant.")
        best = int(decide(probabilities[None], self.bundle.rule)[0])
        rule = ReferralRule(self.bundle.referable, self.bundle.threshold, self.margin)
        p_referable = float(rule.scores(probabilities[None])[0])
        grade = self.bundle.classes[best]
        reason = str(rule.reasons(probabilities[None], np.array([best]))[0])
        action = ACTIONS.get(reason, "retake" if faults else "none")
        return Grading(
            path=name,
            grade=grade,
            probabilities=dict(zip(self.bundle.classes, probabilities.tolist(), strict=True)),
            p_referable=p_referable,
            referred=bool(reason),
            fundus_found=fundus is not None or self.bundle.preprocessing.fundus == "none",
            faults=faults,
            action=action,
            reason=self._explain(action, grade, p_referable, faults),
            heatmap=heatmaps[..., best],
            prepared=image,
            stretched=stretched,
            unfamiliar=unfamiliar,
            trained_on=self.bundle.trained_on,
            grade_set=self._grade_set(probabilities, best),
            grade_set_coverage=self.bundle.grade_sets.coverage if self.bundle.grade_sets else 0.0,
        )

    def _grade_set(self, probabilities: NDArray[np.float32], best: int) -> tuple[str, ...]:
        """Return the names of the grades in the set of float (C,) and the predicted class; empty without sets."""
        if self.bundle.grade_sets is None:
            return ()
        inside = self.bundle.grade_sets.contains(probabilities[None], np.array([best]))[0]
        return tuple(name for name, belongs in zip(self.bundle.classes, inside, strict=True) if belongs)

    def _explain(self, action: str, grade: str, p_referable: float, faults: tuple[str, ...]) -> str:
        """Return the reason for an action as a sentence."""
        threshold = self.bundle.threshold
        grade = grade.replace("_", " ")
        if action == ACTIONS["grade"] and self.bundle.decision != THRESHOLD:
            return f"The grade {grade} is referable."
        if action in (ACTIONS["grade"], ACTIONS["threshold"]):
            return f"The probability of referable DR, {p_referable:.3f}, reaches the threshold {threshold:.3f}."
        if action == ACTIONS["uncertain"]:
            below = f"{p_referable:.3f}, is at most {self.margin:g} below the threshold {threshold:.3f}"
            return f"The probability of referable DR, {below}: uncertain."
        if faults:
            return f"The photograph has faults: {', '.join(faults)}."
        if not self.bundle.referable:
            return "No class of this grader is referred."
        if threshold > 1:  # referable grades alone are referred
            return f"The grade {grade} is not referable."
        return f"The grade {grade} is not referable, and the probability {p_referable:.3f} is below {threshold:.3f}."

    def grade(self, photograph: bytes | Path | str, name: str | None = None, frame: int | None = None) -> Grading:
        """Grade one photograph.

        Args:
            photograph: the path of its file, or the file's content.
            name: the photograph's name in the result; by default the path, or "photograph" for bytes.
            frame: of the content of a DICOM file with several frames, the number of the frame, from 1.

        Raises:
            KerasDrError: the file cannot be read, or is not a photograph.

        Example:
            >>> grading = dr.Grader("idrid-lite").grade("eye.jpg")
            >>> grading.grade, grading.action
            ('mild', 'none')
        """
        if isinstance(photograph, bytes):
            data, subject = unwrap(photograph, frame)
            name = name or "photograph"
        else:
            data, subject = read_photograph_file(Path(photograph))
            name = name or printable(photograph)
        decoded = self.decode(data)
        prepared = self.prepare(decoded)
        grading = self.conclude(name, prepared, self.invoke(prepared.image))
        circle = prepared.fundus.scaled(1 / decoded.reduction) if prepared.fundus else None
        grading = replace(grading, photograph=decoded.pixels, circle=circle)
        return self.identify(grading, subject)

    def identify(self, grading: Grading, subject: Subject | None) -> Grading:
        """Return a grading with what its result may say of the patient, and without identifying parts in its path.

        Args:
            grading: the grading.
            subject: what the DICOM file says; None: the photograph is no DICOM file.
        """
        if subject is None:
            return replace(grading, eye=eye_of_name(grading.image_id))
        path = self.privacy.mask(grading.path, subject.secrets)
        return replace(grading, path=path, subject=self.privacy.about(subject), eye=subject.eye)

    def name_of(self, image: Path) -> str:
        """Return the path of a photograph as results may name it, also of one that cannot be graded."""
        return shown_name(image, self.privacy)


def _shape_fits(actual: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether a tensor has the wanted shape; None stands for any length."""
    if len(actual) != len(wanted):
        return False
    return all(length in (None, actual_length) for length, actual_length in zip(wanted, actual, strict=True))


def read_photograph_file(photograph: Path) -> tuple[bytes, Subject | None]:
    """Return a photograph from its file or from a frame of it, and what a DICOM file says besides; see `dicom.unwrap`.

    Raises:
        KerasDrError: the file cannot be read.
    """
    file, frame = split_frame(photograph)
    return unwrap(read_bytes(file), frame)


def read_bytes(photograph: Path) -> bytes:
    """Return the content of a photograph's file.

    Raises:
        KerasDrError: the file cannot be read.
    """
    try:
        return photograph.read_bytes()
    except IsADirectoryError as error:
        message = f"{printable(photograph)} is a folder, not a photograph."
        raise KerasDrError(message, "Name a photograph in it.") from error
    except OSError as error:
        raise KerasDrError(
            f"The photograph {printable(photograph)} cannot be read: {error.strerror or error}.",
            "Check its name and its permissions.",
        ) from error
