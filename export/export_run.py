"""Exports a Run: calibrates variants on its training photographs, and compares them on its validation photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_demo.bundle import Bundle
from export.activation_statistics import pick_calibration
from export.float_layers import SEARCHING
from export.variants import check_variants
from export.write_bundle import Calibration, GraderSettings, Validation, export_bundle
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress
from keras_dr.datasets import origin_of
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.model_card import MODEL_CARD
from keras_dr.training.run import Run

CALIBRATION_IMAGES = 100
CALIBRATION_SEED = 42


def export(
    run: Run | Path | str,
    target: Path | str,
    variants: Sequence[str] = ("float32", "int8"),
    *,
    prepared: PreparedSet | Path | str | None = None,
    operating_point: str | None = None,
    threshold: float | None = None,
    allow_drift: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Convert a Run into a Bundle of TFLite files for a device; a repeated call continues an interrupted one.

    The integer variants are calibrated on 100 training photographs. Each variant is compared with the float model on
    the validation photographs, and has to pass the gate that the recipe sets.

    Args:
        run: the trained grader, or its folder.
        target: the folder to write.
        variants: names of `VARIANTS` ("float32", "float16", "dynamic", "int8", "int16x8"), or "onnx".
        prepared: the Prepared set that the run was trained on, if it has moved; by default the path that the run
            recorded.
        operating_point: the name of the operating point that becomes the bundle's default; by default the run's.
        threshold: a threshold on the probability of referable DR instead, 0..1; by default that of the operating point.
        allow_drift: whether variants that fail their gate are kept among the others, and whether a grader that learned
            nothing is exported. By default such variants are moved into failed/ with the reason, and an error is raised
            after everything else is written.
        overwrite: whether an existing bundle at `target` is replaced; by default this is an error.
        progress: called with (steps done, all steps, description of the current step).

    Returns:
        The Bundle.

    Raises:
        KerasDrError: there is no Run; its Prepared set is missing or has changed; a variant is unknown; `target`
            exists; or a variant failed its gate.

    Example:
        >>> bundle = dr.export("runs/idrid", "bundles/idrid", variants=["float32", "int8"])
        >>> dr.Grader(bundle).grade("eye.jpg").grade
        'mild'
    """
    target = Path(target)
    folders.check_target(target, "bundle", overwrite)
    names = check_variants(variants)
    run = Run.load(run).at(operating_point, threshold)
    if run.learned_nothing and not allow_drift:
        raise KerasDrError(run.learned_nothing, "Train again; to export it anyway, pass --allow-drift.")
    moved_to = PreparedSet.load(prepared).folder if prepared is not None else None
    data = run.own_set(moved_to)
    train = data.split("train")
    validation = data.split("val")
    picked = pick_calibration(train.labels(), CALIBRATION_IMAGES, CALIBRATION_SEED)
    export_bundle(
        run.model(),
        target,
        settings_of(run, data),
        Calibration(train.images(picked), CALIBRATION_SEED),
        Validation(validation.images(), validation.labels()),
        names,
        overwrite=overwrite,
        allow_drift=allow_drift,
        progress=_counted(progress, 1 + 2 * len(names)) if progress else None,
    )
    return Bundle.load(target)


def settings_of(run: Run, data: PreparedSet | None = None) -> GraderSettings:
    """Return the settings that a device needs from a run, with the limits of its Prepared set, if given."""
    card = run.folder / MODEL_CARD
    about = folders.read_manifest(data.folder, "prepared") if data else {}
    return GraderSettings(
        task=run.task,
        preprocessing=run.preprocessing,
        point=run.point,
        temperature=run.temperature,
        weights=Path(run.recipe.weights).name,
        model_sha256=run.about["model_sha256"],
        decision=run.decision,
        points=run.further_points,
        quality_limits=about.get("quality_limits"),
        colour_limits=about.get("colour_limits"),
        limits=run.recipe.parity,
        trained_on=_trained_on(run, about.get("dataset", "")),
        grade_sets=run.grade_sets,
        card=card.read_text("utf-8") if card.is_file() else None,
    )


def _trained_on(run: Run, dataset: str) -> dict[str, Any]:
    """Return `GraderSettings.trained_on` of a run, whose photographs are from this data set."""
    counts = run.about["data"]["photographs"]
    folds_together = run.about["data"].get("folds")  # then the validation photographs of each are trained on by others
    about: dict[str, Any] = {"photographs": counts["train"] + (counts["val"] if folds_together else 0)}
    if origin_of(dataset):
        about["origin"] = origin_of(dataset)
    if run.about.get("started_from") or run.about.get("taught_by"):
        about["other_graders"] = True
    return about


def _counted(progress: Progress, total: int) -> Callable[[str], None]:
    """Return a function that counts each line of text as a step, except the search, which is part of a conversion."""
    done = -1

    def report(text: str) -> None:
        nonlocal done
        if not text.startswith(SEARCHING):
            done += 1
        progress(done, total, text)

    return report
