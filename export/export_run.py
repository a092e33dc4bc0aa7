"""Exports a Run: calibrated on its training photographs, compared on its validation photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from export.activation_statistics import pick_calibration
from export.float_layers import SEARCHING
from export.variants import check_variants
from export.write_bundle import export_bundle
from keras_dr.core import folders
from keras_dr.reports.model_card import MODEL_CARD
from keras_dr.training.run import Run

CALIBRATION_IMAGES, CALIBRATION_SEED = 100, 42


def export_run(
    run_folder: Path,
    target: Path,
    variants: Sequence[str] = ("float32", "int8"),
    overwrite: bool = False,
    allow_drift: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    prepared_folder: Path | None = None,
) -> dict[str, Any]:
    """Export a Run, calibrated on its training photographs and compared on its validation photographs.

    Args:
        run_folder: the Run.
        target, variants, overwrite, allow_drift: as for `export_bundle`.
        progress: called with (steps done, steps, what is going on).
        prepared_folder: the Prepared set that it was trained on, if that has moved.

    Returns:
        The content of bundle.json, and under "figures" that of parity.json.

    Raises:
        KerasDrError: no Run there, its Prepared set is gone or another, or as for `export_bundle`.
    """
    folders.check_target(target, "bundle", overwrite)
    names = check_variants(variants)
    run = Run.load(run_folder)
    data = run.own_set(prepared_folder)
    train, val = data.split("train"), data.split("val")
    picked = pick_calibration(train.labels(), CALIBRATION_IMAGES, CALIBRATION_SEED)
    return export_bundle(
        run.model(),
        target,
        **of_run(run),
        quality_limits=folders.read_manifest(data.folder, "prepared").get("quality_limits"),
        calibration_images=train.images(picked),
        calibration_seed=CALIBRATION_SEED,
        validation=(val.images(), val.labels()),
        variants=names,
        overwrite=overwrite,
        allow_drift=allow_drift,
        progress=_counted(progress, 1 + 2 * len(names)) if progress else None,
    )


def of_run(run: Run) -> dict[str, Any]:
    """What `export_bundle` is told of a Run."""
    card = run.folder / MODEL_CARD
    return {
        "task": run.task,
        "spec": run.preprocessing,
        "threshold": run.threshold,
        "temperature": run.temperature,
        "decision": run.decision,
        "points": run.points,
        "limits": run.recipe.parity,
        "card": card.read_text("utf-8") if card.is_file() else None,
        "weights": Path(run.recipe.weights).name,
        "model_sha256": run.about["model_sha256"],
    }


def _counted(progress: Callable[[int, int, str], None], total: int) -> Callable[[str], None]:
    """Each line is a step but for the search, which is part of a conversion."""
    done = -1

    def say(text: str) -> None:
        nonlocal done
        done += not text.startswith(SEARCHING)
        progress(done, total, text)

    return say
