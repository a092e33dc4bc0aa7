"""Grades a photograph with a model of a bundle.

    grader = Grader("bundle")
    grading = grader.grade("left.jpg")
    print(grading.grade, grading.action)
    grading.save_overlay("left.png")

`Grader.grade` calls decode, prepare, invoke and conclude; the profiler times the same methods.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import EXPORT_AGAIN, Bundle
from edge_demo.grading import Grading
from edge_demo.interpreter import load_runner
from keras_dr.core import quality
from keras_dr.core.decision import ACTIONS, MARGIN, THRESHOLD, ReferralRule, decide, used_margin
from keras_dr.core.decoding import Image
from keras_dr.core.dicom import Subject, unwrap
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import split_frame
from keras_dr.core.image_files import printable
from keras_dr.core.names import class_words, eye_of_name
from keras_dr.core.preprocessing import Fundus, Photograph, circle_mask, prepare_photograph, read_photograph
from keras_dr.core.privacy import Privacy, shown_name

_MOST_DECIMALS = 17  # of probabilities in sentences


class Prepared(NamedTuple):
    """A prepared photograph; the fields are those of `Grading`, the image is the model's input uint8 RGB (S, S, 3)."""

    image: Image
    fundus: Fundus | None
    faults: tuple[str, ...]
    stretched: bool = False
    unfamiliar: tuple[str, ...] = ()


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
            variant: name of the model; by default `bundle.default_variant()`. One that failed its comparison at export
                is used only if it is named, and its results say so in `Grading.model_doubt`.
            threads: number of processor threads of the model, 1 or more; by default LiteRT chooses.
            margin: a photograph whose p_referable is at most this far below the threshold is uncertain, 0..1.
            operating_point: the name of the operating point at which photographs are referred; by default the default
                one of the bundle.
            threshold: a threshold on the probability of a referable class instead, 0..1; by default that of the
                operating point.
            privacy: how results name the patients of DICOM files; by default by a keyed hash.

        Raises:
            KerasDrError: the variant or the operating point is unknown, every model failed its comparison and none was
                named, the file of the variant is missing, changed or not as the bundle describes, or the margin is
                no number from 0 to 1 or breaks the promise of the operating point.
        """
        if threads is not None and threads < 1:
            message = f"The number of threads is {threads}; it must be 1 or more."
            raise KerasDrError(message, "Choose another number of threads.")
        at_point = Bundle.load(bundle).at(operating_point, threshold)
        at_point.check_margin(margin)
        self.bundle = replace(at_point, margin=used_margin(at_point.threshold, margin).item())
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
            model_doubt=self.bundle.model_doubt(self.variant),
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
        probability, limit = _told_apart(p_referable, threshold)
        grade = class_words(grade)
        if action == ACTIONS["grade"] and self.bundle.decision != THRESHOLD:
            return f"The grade {grade} is referable."
        if action in (ACTIONS["grade"], ACTIONS["threshold"]):
            return f"The probability of referable DR, {probability}, reaches the threshold {limit}."
        if action == ACTIONS["uncertain"]:
            margin = used_margin(threshold, self.margin).item()
            distance = f"at most {margin:g} below the threshold {limit}"
            return f"The probability of referable DR, {probability}, is {distance}: uncertain."
        if faults:
            return f"The photograph has faults: {', '.join(faults)}."
        if not self.bundle.referable:
            return "No class of this grader is referred."
        if threshold > 1:  # referable grades alone are referred
            return f"The grade {grade} is not referable."
        return f"The grade {grade} is not referable, and the probability {probability} is below {limit}."

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


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Return two numbers with three decimals, or with as many more as tell them apart.

    Example:
        >>> _told_apart(0.08029, 0.08031)
        ('0.08029', '0.08031')
    """
    decimals = 3
    while one != other and f"{one:.{decimals}f}" == f"{other:.{decimals}f}" and decimals < _MOST_DECIMALS:
        decimals += 1
    return f"{one:.{decimals}f}", f"{other:.{decimals}f}"


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
