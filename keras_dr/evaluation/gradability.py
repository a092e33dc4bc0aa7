"""Finds how bad a photograph may be: limits beyond which a run no longer grades as it does on good photographs.

The relative limits of `core.quality` show which photographs stand out in a set. The limits here come from what the
grader does. Validation photographs are blurred, darkened, dazzled, hazed and covered, each in steps of known strength,
and graded again. The grader holds at a strength if it keeps nine tenths of its sensitivity, gives the same grade to
four fifths of the photographs, and still tells photographs apart. The limit of a fault is the measured quality at the
weakest strength at which it does not hold.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders, quality
from keras_dr.core.decoding import Image
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import read_file
from keras_dr.core.preprocessing import Preprocessing, circle_mask, prepare_photograph, read_photograph
from keras_dr.core.progress import Progress, no_progress
from keras_dr.evaluation.robustness import check_originals
from keras_dr.metrics import referral
from keras_dr.metrics.gradability import (
    AS_TAKEN,
    Step,
    find_gradability_limits,
    holds,
    limit_rows,
    refused_by,
    step_rows,
)
from keras_dr.metrics.predictions import Predictions, patient_codes
from keras_dr.preparation import changes
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.gradability import gradability_text
from keras_dr.reports.gradability_plot import plot_gradability
from keras_dr.training.forward import decode
from keras_dr.training.run import Run, save_changes

_CHUNK = 4  # photographs that are in memory at the same time, at all strengths


@dataclass(frozen=True)
class Degradation:
    """A fault that is added to photographs in steps.

    Attributes:
        change: function of an RGB photograph and a strength.
        strengths: from weak to strong.
        words: what the strength is, with {} in its place.
    """

    change: Callable[[Image, float], Image]
    strengths: tuple[float, ...]
    words: str


# fault of `quality` -> how it is added
DEGRADATIONS: dict[str, Degradation] = {
    "blurred": Degradation(
        lambda image, share: changes.blurred(image, share * max(image.shape[:2])),
        (0.001, 0.002, 0.004, 0.008),
        "blur, {:.1%} of the longer side",
    ),
    "dark": Degradation(changes.with_exposure, (0.7, 0.5, 0.35, 0.2), "light x {:g}"),
    "bright": Degradation(changes.with_glare, (0.25, 0.5, 0.75, 1.0), "glare, {:.0%} of white"),
    "flat": Degradation(changes.with_contrast, (0.7, 0.5, 0.35, 0.2), "contrast x {:g}"),
    "cut off": Degradation(changes.with_occlusion, (0.15, 0.25, 0.35, 0.5), "{:.0%} covered"),
}


@dataclass(frozen=True)
class Gradability:
    """How bad photographs may be for a run.

    Attributes:
        folder: the folder with gradability.json, gradability.csv and gradability.png.
        figures: the content of gradability.json: "limits" (fault -> value of its measure), "steps" and "faults" (the
            rows of the two tables), and "refused" (figures with the refused photographs counted both ways).
    """

    folder: Path
    figures: dict[str, Any]

    def __str__(self) -> str:
        """Return the figures as tables."""
        return gradability_text(self.figures)


def gradability(
    run: Run | Path | str,
    prepared: PreparedSet | Path | str | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Gradability:
    """Degrade validation photographs step by step, and find the quality below which a run no longer grades.

    The limits are written into run.json, and travel with bundles that are exported afterwards. A photograph beyond one
    is called, for example, "too blurred to grade". Figures and a plot are written into RUN/gradability/.

    Args:
        run: the grader, or its folder.
        prepared: the Prepared set that the run was trained on, if it has moved; by default the path that the run
            recorded. The original files of its photographs must still exist.
        overwrite: whether an existing result is replaced; by default it is refused.
        progress: called with (photographs done, all photographs, "gradability"); by default nothing is called.

    Returns:
        The limits and figures.

    Raises:
        KerasDrError: there is no Run, its Prepared set is missing or has changed, an original photograph is gone, the
            run does not grade even the photographs as they were taken, or the result exists already.

    Example:
        >>> dr.gradability("runs/idrid").figures["limits"]
        {'dark': 0.131, 'blurred': 0.42}
    """
    run = Run.load(run)
    target = run.folder / "gradability"
    moved_to = PreparedSet.load(prepared).folder if prepared is not None else None
    data = run.own_set(moved_to).split("val")
    plan = {"model": run.about["model_sha256"], "threshold": run.threshold}
    with folders.growing_folder(target, "gradability", plan, overwrite) as folder:
        steps = grade_degraded(run, data, progress)
        as_taken = steps[0].predictions
        if not holds(as_taken, as_taken, run.threshold):
            raise KerasDrError(
                f"{run.folder} does not tell the validation photographs apart even as they were taken: it gives all "
                "the same grade, or sensitivity and specificity sum to 1 or less.",
                "Train a better grader first.",
            )
        figures = gradability_figures(steps, run.threshold)
        table = [{key: value for key, value in row.items() if "interval" not in key} for row in figures["steps"]]
        folders.write_bytes(folder / "gradability.csv", encode_csv(list(table[0]), table))
        plot_gradability(folder / "gradability.png", figures["steps"], len(data.rows))
        folders.write_json(folder / "gradability.json", {"schema_version": folders.SCHEMA_VERSION, **figures})
    save_changes(run, {"gradability": {"photographs": len(data.rows), "limits": figures["limits"]}})
    return Gradability(target, folders.read_json(target / "gradability.json"))


def gradability_figures(steps: Sequence[Step], threshold: float) -> dict[str, Any]:
    """Return `Gradability.figures` of the steps from `grade_degraded`."""
    as_taken = steps[0]
    limits = find_gradability_limits(steps, threshold)
    poor = refused_by(as_taken.measures, limits)
    return {
        "photographs": len(as_taken.predictions.labels),
        "limits": limits,
        "faults": limit_rows(steps, limits, threshold),
        "steps": step_rows(steps, threshold),
        "refused": referral.refused(as_taken.predictions, threshold, poor),
    }


def grade_degraded(run: Run, data: PreparedSet, progress: Progress | None = None) -> list[Step]:
    """Grade n photographs as they were taken, and with each fault at each strength.

    Args:
        run: the grader.
        data: the photographs, whose original files must still be where `prepare` read them.
        progress: called with (photographs done, all photographs, "gradability").

    Returns:
        The photographs as taken first, then each fault from weak to strong.

    Raises:
        KerasDrError: an original photograph is gone or cannot be read.
    """
    files = check_originals(data, "Gradability")
    model = run.model()
    progress = progress or no_progress
    strengths = [(AS_TAKEN, 0.0)]
    strengths += [(fault, strength) for fault, kind in DEGRADATIONS.items() for strength in kind.strengths]
    measures = np.empty((len(files), len(strengths), len(quality.MEASURES)))
    outputs: list[NDArray[np.float32]] = []
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(files), _CHUNK):
            chunk = files[first : first + _CHUNK]
            for images, values in pool.map(partial(_degraded, spec=run.preprocessing, strengths=strengths), chunk):
                measures[len(outputs)] = values
                outputs.append(model.predict_on_batch(images.astype(np.float32)))
                progress(len(outputs), len(files), "gradability")
    by_step = np.stack(outputs, axis=1)  # (steps, n, K)
    patients = patient_codes(data.rows)
    steps = []
    for index, (fault, strength) in enumerate(strengths):
        probabilities = decode(run, by_step[index])
        words = AS_TAKEN if fault == AS_TAKEN else DEGRADATIONS[fault].words.format(strength)
        by_name = {name: measures[:, index, place] for place, name in enumerate(quality.MEASURES)}
        predictions = Predictions(data.labels(), probabilities, run.task, run.decision, patients)
        steps.append(Step(fault, words, by_name, predictions))
    return steps


def _degraded(
    file: Path, spec: Preprocessing, strengths: Sequence[tuple[str, float]]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return a photograph prepared at each strength, uint8 RGB (m, S, S, 3), and its measures (m, 4)."""
    try:
        photograph = read_photograph(read_file(file), spec).pixels
    except OSError as error:
        raise KerasDrError(f"{file} cannot be read: {error.strerror}.", "Put the photograph back.") from error
    images = []
    measures = np.full((len(strengths), len(quality.MEASURES)), np.nan)
    for index, (fault, strength) in enumerate(strengths):
        changed = photograph if fault == AS_TAKEN else DEGRADATIONS[fault].change(photograph, strength)
        image, values = _prepared(changed, spec)
        images.append(image)
        measures[index] = [float(values.get(name, "nan")) for name in quality.MEASURES]
    return np.stack(images), measures


def _prepared(changed: Image, spec: Preprocessing) -> tuple[Image, dict[str, str]]:
    """Return the model's input of a changed photograph, and its measures; none if no fundus was found."""
    bitmap = cv2.imencode(".bmp", cv2.cvtColor(changed, cv2.COLOR_RGB2BGR))[1].tobytes()  # a lossless file
    read = read_photograph(bitmap, spec)
    image, fundus = prepare_photograph(read, spec)
    if fundus is None and spec.fundus != "none":
        return image, {}
    plain = image if spec.enhance == "none" else prepare_photograph(read, replace(spec, enhance="none"))[0]
    return image, quality.measure(plain, circle_mask(spec.size))
