"""Writes the Bundle: the verified variants of a grader, with everything a device needs to read their outputs."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_demo import interpreter
from export import parity
from export.activation_statistics import observe
from export.float_layers import quantise_within
from export.graph import build_graph
from export.mediapipe_file import to_mediapipe
from export.onnx_file import onnx_outputs, to_onnx
from export.variants import MEDIAPIPE, ONNX, check_variants, convert, file_name
from keras_dr.core import folders
from keras_dr.core.decision import Decision, rule_of
from keras_dr.core.errors import KerasDrError
from keras_dr.core.grade_sets import GradeSets
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import Task
from keras_dr.recipe import ParityLimits
from keras_dr.reports.bundle import bundle_card
from keras_dr.reports.model_card import MODEL_CARD

FAILED = "failed"  # folder inside the bundle
_NOTE = "kept.json"  # lists the converted variants while an export is incomplete
HEATMAPS = (
    "float32 (1, h, w, C): evidence for each class at each place of the feature map, in logits, unnormalised and not "
    "divided by the temperature. The spatial mean plus the bias of the class is its logit. Positive values speak for "
    "the class; the positive part is Grad-CAM at the pooled feature map."
)
LICENCE = (
    "Apache-2.0. For research: not a medical device, not for decisions about patients. Pretrained weights and "
    "photographs keep the terms of those who published them."
)


@dataclass(frozen=True)
class GraderSettings:
    """The settings of a grader that a device needs in addition to the weights.

    Attributes:
        task: label space with C classes.
        preprocessing: how photographs become the model's input of side S.
        point: the default operating point, chosen on validation.
        temperature: > 0, chosen on validation.
        weights: the backbone's initial weights: "imagenet", "none" or a file's name.
        model_sha256: SHA-256 of the run's model.keras.
        decision: the key of the rule by which probabilities become a grade, see `decision.rule_of`.
        points: further operating points, by name, chosen on validation.
        quality_limits: see `quality.find_limits`; None if the photographs were not measured.
        colour_limits: the same for the training photographs' colours; None if they were not measured.
        limits: the limits of each variant's gate.
        trained_on: what the grader was trained on: number of "photographs"; their "origin" in words, if it is known;
            and whether it learned from "other_graders".
        grade_sets: sets of grades, calibrated on patients who chose nothing; None: none are stated.
        card: MODEL_CARD.md of the run; None if it has not been evaluated.
    """

    task: Task
    preprocessing: Preprocessing
    point: OperatingPoint
    temperature: float
    weights: str
    model_sha256: str
    decision: str = "argmax"
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    quality_limits: Mapping[str, Sequence[float]] | None = None
    colour_limits: Mapping[str, Sequence[float]] | None = None
    limits: ParityLimits = field(default_factory=ParityLimits)
    trained_on: Mapping[str, Any] | None = None
    grade_sets: GradeSets | None = None
    card: str | None = None

    @property
    def rule(self) -> Decision:
        """How probabilities become a grade at the default operating point, see `decision.decide`."""
        return rule_of(self.decision, self.task.referable, self.point.value)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Training photographs, uint8 RGB (n, S, S, 3), for the ranges of integers, and the seed that picked them."""

    images: NDArray[np.uint8]
    seed: int


@dataclass(frozen=True, eq=False)
class Validation:
    """Validation photographs, uint8 RGB (m, S, S, 3), m >= 1, to compare variants on, and their classes int (m,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.integer]


def export_bundle(
    model: keras.Model,
    target: Path,
    settings: GraderSettings,
    calibration: Calibration,
    validation: Validation,
    variants: Sequence[str] = ("float32", "int8"),
    overwrite: bool = False,
    allow_drift: bool = False,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Convert a grader, compare each variant with it, and write the Bundle; a new call continues an interrupted one.

    Args:
        model: the trained grader, from `keras_dr.models.grader.build_model`.
        target: folder to write.
        settings: the settings that a device needs to read the model's outputs.
        calibration: training photographs, see `activation_statistics.pick_calibration`.
        validation: photographs for the comparison.
        variants: keys of `VARIANTS`, or "onnx" (see `onnx_file`) and "mediapipe" (see `mediapipe_file`), which
            bundle.json lists separately from the models.
        overwrite: whether an existing `target` is replaced.
        allow_drift: whether variants that fail their gate are kept among the others; bundle.json names the failure.
        progress: called with a line of text before each step.

    Raises:
        KerasDrError: a variant is unknown, the photographs do not have the model's size, or `target` exists; or, after
            the bundle is written, a variant failed its gate and was moved to failed/ with the reason.
    """
    asked = check_variants(variants)
    names = [name for name in asked if name != MEDIAPIPE]
    _check_photographs(model, settings.preprocessing, calibration.images, validation.images)
    limits = parity.limits_of(settings.limits)
    plan = {
        "model_sha256": settings.model_sha256,
        "temperature": settings.temperature,
        "variants": {name: dict(limits[name]) for name in names},
        "decision": settings.decision,
        "calibration_sha256": hashlib.sha256(calibration.images.tobytes()).hexdigest(),
        "versions": folders.versions(),
    }
    with folders.growing_folder(target, "bundle", plan, overwrite) as folder:
        kept = _write_models(model, settings, folder, names, calibration.images, limits, progress)
        figures = _measure(model, settings, folder, names, validation, progress)
        checked = _gate(figures, limits)
        measured = {name: figure.to_dict() for name, figure in figures.items()}
        failed = {} if allow_drift else checked["failures"]
        others: dict[str, Any] = {}
        for name, reasons in failed.items():
            _move_to_failed(folder, name, reasons, measured[name])
        sources = [name for name in ("int8", "float32") if name in names and name not in failed]
        if MEDIAPIPE in asked and sources:
            others = {MEDIAPIPE: _write_mediapipe(folder, sources[0], settings.task.classes)}
        files = {name: _describe(folder / file_name(name), kept[name]) for name in names if name not in failed}
        about = _manifest(model.name, settings, files, calibration, checked)
        folders.write_json(folder / "parity.json", {**checked, "figures": measured})
        folders.write_bytes(folder / MODEL_CARD, bundle_card(about, measured, settings.card).encode())
        (folder / _NOTE).unlink()
        about |= others
        about["files"] = {name: folders.sha256_of(folder / name) for name in ("parity.json", MODEL_CARD)}
        folders.write_manifest(folder, "bundle", **about)
    if failed:
        reasons_in_words = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in failed.items())
        raise KerasDrError(
            f"Variants differ too much from the float model on validation photographs: {reasons_in_words}.",
            f"They are in {target / FAILED}; the rest of the bundle is complete. To keep them in the bundle, export "
            "with --allow-drift.",
        )


def _manifest(
    backbone: str,
    settings: GraderSettings,
    files: Mapping[str, dict[str, Any]],
    calibration: Calibration,
    checked: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of bundle.json, except the hashes of files that are written later."""
    about: dict[str, Any] = {
        **settings.task.to_dict(),
        "preprocessing": settings.preprocessing.to_dict(),
        "threshold": float(settings.point.value),
        "operating_point": settings.point.to_dict(),
        "temperature": float(settings.temperature),
        "decision": settings.decision,
        "operating_points": {name: point.to_dict() for name, point in settings.points.items()},
    }
    if settings.quality_limits:
        about["quality_limits"] = settings.quality_limits
    if settings.colour_limits:
        about["colour_limits"] = settings.colour_limits
    if settings.trained_on:
        about["trained_on"] = dict(settings.trained_on)
    if settings.grade_sets:
        about["grade_sets"] = settings.grade_sets.to_dict()
    about |= {
        "heatmaps": HEATMAPS,
        "backbone": backbone,
        "weights": settings.weights,
        "models": {name: file for name, file in files.items() if name != ONNX},
    }
    if ONNX in files:
        about[ONNX] = files[ONNX]
    return about | {
        "calibration": {"images": len(calibration.images), "seed": calibration.seed, "split": "train"},
        "run": {"model_sha256": settings.model_sha256},
        "parity": checked,
        "licence": LICENCE,
    }


def _check_photographs(model: keras.Model, spec: Preprocessing, *photographs: NDArray[np.uint8]) -> None:
    shape = (spec.size, spec.size, 3)
    for images in photographs:
        if not len(images) or images.dtype != np.uint8 or images.shape[1:] != shape:
            actual = f"{images.dtype} {images.shape}"
            message = f"The photographs are {actual}, but must be uint8 (n, {spec.size}, {spec.size}, 3) with n > 0."
            raise KerasDrError(message, "Prepare the set again.")
    if model.input_shape[1:] != shape:
        message = f"The model's input is {model.input_shape}, but the photographs have {spec.size} pixels a side."
        raise KerasDrError(message, "Export with the Prepared set of the run.")


def _write_models(
    model: keras.Model,
    settings: GraderSettings,
    folder: Path,
    names: list[str],
    photographs: NDArray[np.uint8],
    limits: Mapping[str, parity.Limits],
    progress: Callable[[str], None] | None,
) -> dict[str, list[str]]:
    """Write a file for each variant; files that an interrupted export with the same plan left are kept.

    Returns:
        Variant -> names of the operators that stayed in float although the others were quantised.
    """
    report = progress or (lambda text: None)
    note = folder / _NOTE
    kept: dict[str, list[str]] = folders.read_json(note) if note.is_file() else {}
    for name in kept:
        failed = folder / FAILED / file_name(name)
        if failed.is_file():  # moved there by an export that was killed afterwards
            failed.replace(folder / failed.name)
    folders.remove_folder(folder / FAILED)
    missing = [name for name in names if name not in kept]
    if missing:
        report("tracing the model")
        content = convert(build_graph(model, settings.temperature))
        statistics = None
        for name in missing:
            report(f"converting to {name}")
            file = content
            kept[name] = []
            if name == ONNX:
                file = to_onnx(content)
            elif name != "float32":
                statistics = statistics or observe(content, photographs)
                file, kept[name] = quantise_within(
                    content, name, statistics, photographs, limits[name], settings.rule, report
                )
            folders.write_bytes(folder / file_name(name), file)
            folders.write_json(note, kept)
    return kept


def _measure(
    model: keras.Model,
    settings: GraderSettings,
    folder: Path,
    names: list[str],
    validation: Validation,
    progress: Callable[[str], None] | None,
) -> dict[str, parity.Parity]:
    """Return each variant's figures compared with the float model."""
    images = validation.images
    reference = parity.float_outputs(model, settings.temperature, images)
    figures = {}
    for name in names:
        if progress:
            progress(f"comparing {name} with the float model on {len(images)} photographs")
        run_file = onnx_outputs if name == ONNX else interpreter.outputs_of_file
        outputs = run_file((folder / file_name(name)).read_bytes(), images)
        figures[name] = parity.compare(
            reference, outputs, validation.labels, settings.task, settings.point.value, settings.rule
        )
    return figures


def _gate(figures: dict[str, parity.Parity], limits: Mapping[str, parity.Limits]) -> dict[str, Any]:
    """Return the limits of each variant, and the reasons of each variant that fails."""
    limits_used = {}
    failures = {}
    for name, variant_figures in figures.items():
        limits_used[name] = {figure: list(limit) for figure, limit in limits[name].items()}
        reasons = parity.failures(variant_figures, limits[name])
        if reasons:
            failures[name] = reasons
    return {"limits": limits_used, "failures": failures}


def _move_to_failed(folder: Path, name: str, reasons: list[str], figures: dict[str, Any]) -> None:
    """Move a variant to failed/, and write a file with the reasons next to it."""
    (folder / FAILED).mkdir(exist_ok=True)
    (folder / file_name(name)).replace(folder / FAILED / file_name(name))
    folders.write_json(folder / FAILED / f"{name}.json", {"reasons": reasons, "figures": figures})


def _write_mediapipe(folder: Path, source: str, classes: Sequence[str]) -> dict[str, Any]:
    """Write the file for MediaPipe from a variant that passed its gate, and return its entry in bundle.json."""
    file = folder / file_name(MEDIAPIPE)
    folders.write_bytes(file, to_mediapipe((folder / file_name(source)).read_bytes(), classes))
    size = file.stat().st_size
    return {"file": file.name, "sha256": folders.sha256_of(file), "size_bytes": size, "from": source}


def _describe(file: Path, kept: list[str]) -> dict[str, Any]:
    size = file.stat().st_size
    return {"file": file.name, "sha256": folders.sha256_of(file), "size_bytes": size, "float_operators": kept}
