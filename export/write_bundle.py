"""Writes the Bundle: the variants of a grader, verified, with everything a device needs to read their outputs."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
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
from export.onnx_file import onnx_outputs, to_onnx
from export.variants import ONNX, check_variants, convert, file_name
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import Task
from keras_dr.metrics.operating_points import OperatingPoint
from keras_dr.recipe import ParityLimits
from keras_dr.reports.bundle import bundle_card
from keras_dr.reports.model_card import MODEL_CARD

FAILED = "failed"  # folder inside the bundle
_NOTE = "kept.json"  # of what an export has converted, until it is whole
HEATMAPS = (
    "float32 (1, h, w, C): evidence for each class at each place of the feature map, in logits, unnormalised and not "
    "divided by the temperature. The spatial mean plus the bias of the class is its logit. Positive values speak for "
    "the class; the positive part is Grad-CAM at the pooled feature map."
)
LICENCE = (
    "Apache-2.0. For research: not a medical device, not for decisions about patients. Pretrained weights and "
    "photographs keep the terms of those who published them."
)


def export_bundle(
    model: keras.Model,
    target: Path,
    *,
    task: Task,
    spec: Preprocessing,
    threshold: float,
    temperature: float,
    weights: str,
    model_sha256: str,
    decision: str = "argmax",
    points: Mapping[str, OperatingPoint] | None = None,
    limits: ParityLimits | None = None,
    card: str | None = None,
    quality_limits: dict[str, list[float]] | None = None,
    calibration_images: NDArray[np.uint8],
    calibration_seed: int,
    validation: tuple[NDArray[np.uint8], NDArray[np.integer]],
    variants: Sequence[str] = ("float32", "int8"),
    overwrite: bool = False,
    allow_drift: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Convert a grader, compare each variant with it, and write the Bundle; an interrupted export goes on.

    Args:
        model: the trained grader, from `keras_dr.model.build_model`.
        target: folder to write.
        task: label space, C classes.
        spec: preprocessing of its photographs, side S.
        threshold: refer where the probability of referable DR reaches it, 0..1; chosen on validation.
        temperature: > 0, chosen on validation.
        decision: how probabilities become a grade, key of `decision.DECISIONS`.
        points: further operating points, by name, chosen on validation.
        limits: what a variant has to hold to pass; None: the recipe's defaults.
        card: MODEL_CARD.md of the run, if it has been evaluated.
        quality_limits: see `quality.find_limits`; None where the photographs were not measured.
        weights: what the backbone started from ("imagenet", "none", a file's name), for bundle.json.
        model_sha256: of the run's model.keras.
        calibration_images: uint8 RGB (n, S, S, 3), training photographs (see `calibration.pick_calibration`).
        calibration_seed: with which they were picked.
        validation: photographs uint8 RGB (m, S, S, 3) and class indices int (m,), m >= 1, for the comparison.
        variants: keys of `VARIANTS`, or "onnx" (see `onnx_file`), which bundle.json lists beside the models.
        overwrite: replace an existing `target`.
        allow_drift: keep variants that fail their gate among the others; bundle.json tells of the failure.
        progress: called with a line of text before each step.

    Returns:
        The content of bundle.json, and under "figures" each variant's figures, as in parity.json.

    Raises:
        KerasDrError: unknown variant, photographs of another size than the model's, `target` exists; or, once the
            bundle is written, that a variant failed its gate and lies under failed/ with the reason.
    """
    names = check_variants(variants)
    _check_photographs(model, spec, calibration_images, validation[0])
    allowed = parity.limits_of(limits or ParityLimits())
    plan = {
        "model_sha256": model_sha256,
        "temperature": temperature,
        "variants": {name: dict(allowed[name]) for name in names},
        "decision": decision,
        "calibration_sha256": hashlib.sha256(calibration_images.tobytes()).hexdigest(),
        "versions": folders.versions(),
    }
    with folders.growing_folder(target, "bundle", plan, overwrite) as folder:
        kept = _write_models(model, temperature, folder, names, calibration_images, allowed, decision, progress)
        figures = _measure(model, temperature, folder, names, validation, (task, threshold, decision), progress)
        checked = _gate(figures, allowed)
        measured = {name: figure.to_dict() for name, figure in figures.items()}
        failed = {} if allow_drift else checked["failures"]
        for name, reasons in failed.items():
            _set_apart(folder, name, reasons, measured[name])
        files = {name: _describe(folder / file_name(name), kept[name]) for name in names if name not in failed}
        about = {
            "task": task.name,
            "classes": list(task.classes),
            "referable": list(task.referable),
            "preprocessing": spec.to_dict(),
            "threshold": float(threshold),
            "temperature": float(temperature),
            "decision": decision,
            "operating_points": {name: point.to_dict() for name, point in (points or {}).items()},
            **({"quality_limits": quality_limits} if quality_limits else {}),
            "heatmaps": HEATMAPS,
            "backbone": model.name,
            "weights": weights,
            "models": {name: one for name, one in files.items() if name != ONNX},
            **({ONNX: files[ONNX]} if ONNX in files else {}),
            "calibration": {"images": len(calibration_images), "seed": calibration_seed, "split": "train"},
            "run": {"model_sha256": model_sha256},
            "parity": checked,
            "licence": LICENCE,
        }
        folders.write_json(folder / "parity.json", {**checked, "figures": measured})
        folders.write_bytes(folder / MODEL_CARD, bundle_card(about, measured, card).encode())
        (folder / _NOTE).unlink()
        about["files"] = {name: folders.sha256_of(folder / name) for name in ("parity.json", MODEL_CARD)}
        folders.write_manifest(folder, "bundle", **about)
    if failed:
        found = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in failed.items())
        remedy = f"What failed lies in {target / FAILED}; the rest is whole. To keep it, export with --allow-drift."
        raise KerasDrError("every variant to agree with the float model on validation photographs", found, remedy)
    return {**about, "figures": measured}


def _check_photographs(model: keras.Model, spec: Preprocessing, *photographs: NDArray[np.uint8]) -> None:
    shape = (spec.size, spec.size, 3)
    for images in photographs:
        if not len(images) or images.dtype != np.uint8 or images.shape[1:] != shape:
            found = f"{images.dtype} {images.shape}"
            raise KerasDrError(f"photographs, uint8 (n, {spec.size}, {spec.size}, 3)", found, "Prepare the set again.")
    if model.input_shape[1:] != shape:
        remedy = "Export with the Prepared set of the run."
        raise KerasDrError(f"a model for photographs of {spec.size} pixels", str(model.input_shape), remedy)


def _write_models(
    model: keras.Model,
    temperature: float,
    folder: Path,
    names: list[str],
    calibration: NDArray[np.uint8],
    limits: Mapping[str, parity.Limits],
    decision: str,
    progress: Callable[[str], None] | None,
) -> dict[str, list[str]]:
    """Write a file each; those that an interrupted export left under the same plan are kept.

    Returns:
        Variant -> names of the operators that stayed in float though the others were quantised.
    """
    say = progress or (lambda text: None)
    note = folder / _NOTE
    kept: dict[str, list[str]] = folders.read_json(note) if note.is_file() else {}
    for apart in (folder / FAILED / file_name(name) for name in kept):
        if apart.is_file():  # by an export that was killed after it
            apart.replace(folder / apart.name)
    folders.remove_folder(folder / FAILED)
    missing = [name for name in names if name not in kept]
    if missing:
        say("tracing the model")
        content = convert(build_graph(model, temperature))
        statistics = None
        for name in missing:
            say(f"converting to {name}")
            file, kept[name] = content, []
            if name == ONNX:
                file = to_onnx(content)
            elif name != "float32":
                statistics = statistics or observe(content, calibration)
                file, kept[name] = quantise_within(content, name, statistics, calibration, limits[name], decision, say)
            folders.write_bytes(folder / file_name(name), file)
            folders.write_json(note, kept)
    return kept


def _measure(
    model: keras.Model,
    temperature: float,
    folder: Path,
    names: list[str],
    validation: tuple[NDArray[np.uint8], NDArray[np.integer]],
    reading: tuple[Task, float, str],
    progress: Callable[[str], None] | None,
) -> dict[str, parity.Parity]:
    """Variant -> its figures against the float model; `reading` is task, threshold, decision."""
    images, labels = validation
    reference = parity.float_outputs(model, temperature, images)
    figures = {}
    for name in names:
        if progress:
            progress(f"comparing {name} with the float model on {len(images)} photographs")
        answer = onnx_outputs if name == ONNX else interpreter.outputs_of_file
        outputs = answer((folder / file_name(name)).read_bytes(), images)
        figures[name] = parity.compare(reference, outputs, labels, *reading)
    return figures


def _gate(figures: dict[str, parity.Parity], limits: Mapping[str, parity.Limits]) -> dict[str, Any]:
    """The limits used, and variant -> reasons of those that fail."""
    return {
        "limits": {n: {k: list(limit) for k, limit in limits[n].items()} for n in figures},
        "failures": {n: reasons for n in figures if (reasons := parity.failures(figures[n], limits[n]))},
    }


def _set_apart(folder: Path, name: str, reasons: list[str], figures: dict[str, Any]) -> None:
    """Move a variant to failed/, beside a file that tells why."""
    (folder / FAILED).mkdir(exist_ok=True)
    (folder / file_name(name)).replace(folder / FAILED / file_name(name))
    folders.write_json(folder / FAILED / f"{name}.json", {"reasons": reasons, "figures": figures})


def _describe(file: Path, kept: list[str]) -> dict[str, Any]:
    size = file.stat().st_size
    return {"file": file.name, "sha256": folders.sha256_of(file), "size_bytes": size, "float_operators": kept}
