"""Measure how a run grades the same photographs if they look as if taken by another camera or carelessly.

Each photograph is read from its original file, changed, and prepared again as a device would prepare it, so that the
detection of the fundus is tested as well.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.decoding import Image, decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import read_file
from keras_dr.core.headers import read_header
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.core.progress import Progress, no_progress
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions, patient_codes
from keras_dr.preparation import changes
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training.forward import decode
from keras_dr.training.run import Run

AS_TAKEN = "as taken"
TOGETHER = "all of these, milder"
_CHUNK = 32  # photographs that are in memory at the same time


def _all_mildly(image: Image) -> Image:
    """Make a photograph mildly warm, dark, pale, coarse, blurred, vignetted, off-centre, squashed and compressed."""
    image = changes.with_gains(image, (1.1, 0.95, 0.9))
    image = changes.with_saturation(changes.with_gamma(image, 1.2), 0.8)
    image = changes.blurred(changes.at_resolution(image, 0.7), 0.001 * max(image.shape[:2]))
    image = changes.with_border(changes.with_vignette(image, 0.3), 0.05)
    return changes.compressed(changes.squashed(image, 0.85), 60)


# name -> function that changes an RGB photograph; blur and border are shares of its longer side
CHANGES: dict[str, Callable[[Image], Image]] = {
    "red x 0.8": partial(changes.with_gains, gains=(0.8, 1, 1)),
    "red x 1.2": partial(changes.with_gains, gains=(1.2, 1, 1)),
    "green x 0.8": partial(changes.with_gains, gains=(1, 0.8, 1)),
    "green x 1.2": partial(changes.with_gains, gains=(1, 1.2, 1)),
    "blue x 0.8": partial(changes.with_gains, gains=(1, 1, 0.8)),
    "blue x 1.2": partial(changes.with_gains, gains=(1, 1, 1.2)),
    "gamma 0.7": partial(changes.with_gamma, exponent=0.7),
    "gamma 1.4": partial(changes.with_gamma, exponent=1.4),
    "saturation 0.6": partial(changes.with_saturation, factor=0.6),
    "saturation 1.4": partial(changes.with_saturation, factor=1.4),
    "blur 0.2 %": lambda image: changes.blurred(image, 0.002 * max(image.shape[:2])),
    "JPEG quality 40": partial(changes.compressed, quality=40),
    "half the resolution": partial(changes.at_resolution, share=0.5),
    "vignette 60 %": partial(changes.with_vignette, strength=0.6),
    "black border 10 %": partial(changes.with_border, share=0.1),
    "squashed to 75 %": partial(changes.squashed, share=0.75),
    TOGETHER: _all_mildly,
}


@dataclass(frozen=True, eq=False)
class Graded:
    """The grades of n photographs under one change.

    Attributes:
        name: `AS_TAKEN`, or a key of `CHANGES`.
        probabilities: float64 (n, C).
    """

    name: str
    probabilities: NDArray[np.float64]


def grade_changed(run: Run, data: PreparedSet, progress: Progress | None = None) -> list[Graded]:
    """Grade the photographs as they were taken, and under each of `CHANGES`.

    Args:
        run: the grader.
        data: n photographs, whose original files must still be where `prepare` read them.
        progress: called with (photographs done, photographs times changes, "robustness").

    Raises:
        KerasDrError: an original photograph is gone or cannot be read.
    """
    files = check_originals(
        data, "Robustness", "Put the data set back where prepare read it, or leave out --robustness."
    )
    model = run.model()
    progress = progress or no_progress
    all_changes = {AS_TAKEN: lambda image: image} | CHANGES
    total = len(all_changes) * len(files)
    outputs: dict[str, list[NDArray[np.float32]]] = {name: [] for name in all_changes}
    with ThreadPoolExecutor() as pool:
        for number, (name, change) in enumerate(all_changes.items()):
            for first in range(0, len(files), _CHUNK):
                chunk = files[first : first + _CHUNK]
                prepared = pool.map(partial(_prepared, change=change, spec=run.preprocessing), chunk)
                images = np.stack(list(prepared)).astype(np.float32)
                outputs[name].append(model.predict_on_batch(images))
                progress(number * len(files) + first + len(chunk), total, "robustness")
    return [Graded(name, decode(run, np.concatenate(parts))) for name, parts in outputs.items()]


def check_originals(
    data: PreparedSet, what: str, remedy: str = "Put the data set back where prepare read it."
) -> list[Path]:
    """Return the original files of the photographs.

    Args:
        data: the photographs.
        what: what is measured on them, for the message.
        remedy: what to do if one is gone.

    Raises:
        KerasDrError: an original photograph is gone.
    """
    files = [data.source / row["source"] for row in data.rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise KerasDrError(
            f"{what} is measured on the original photographs, but {missing[0]} is not there "
            f"(missing: {len(missing)} of {len(files)}).",
            remedy,
        )
    return files


def _prepared(file: Path, change: Callable[[Image], Image], spec: Preprocessing) -> Image:
    """Return the prepared photograph uint8 RGB (S, S, 3), changed before its fundus is detected."""
    try:
        data = read_file(file)
    except OSError as error:
        raise KerasDrError(f"{file} cannot be read: {error.strerror}.", "Put the photograph back.") from error
    changed = change(decode_rgb(data, header=read_header(data, spec.page), bits=spec.bits))
    bitmap = cv2.imencode(".bmp", cv2.cvtColor(changed, cv2.COLOR_RGB2BGR))[1]  # a lossless file
    return prepare_image(bitmap.tobytes(), spec)


def robustness_rows(graded: list[Graded], data: PreparedSet, run: Run) -> list[dict[str, Any]]:
    """Return the figures of each change, as rows of robustness.csv.

    Args:
        graded: from `grade_changed`, the photographs as taken first.
        data: the photographs.
        run: the grader, for its task, its decision and its threshold.

    Returns:
        One dictionary per change, with its name as "change"; the quadratic kappa with a 95 % interval from a bootstrap
        over patients; the AUROC of the positive classes; the shares of photographs that get the same class and the same
        referral as the photograph as taken; and, if the classes are ordered, the mean shift of the predicted class, in
        classes. A figure that does not exist is None.
    """
    labels = data.labels()
    patients = patient_codes(data.rows)
    rows = []
    as_taken: Predictions | None = None
    for graded_set in graded:
        probabilities = graded_set.probabilities
        predictions = Predictions(labels, probabilities, run.task, run.rule, patients)
        as_taken = as_taken or predictions
        scores = measure.validation_scores(labels, probabilities, run.task, run.rule)
        low, high = measure.kappa_interval(predictions) or (None, None)
        referral = predictions.referred(run.threshold) == as_taken.referred(run.threshold)
        shift = (predictions.predicted - as_taken.predicted).mean()
        rows.append(
            {
                "change": graded_set.name,
                "quadratic_kappa": scores["val_quadratic_kappa"],
                "quadratic_kappa_low": low,
                "quadratic_kappa_high": high,
                "auroc": scores["val_auroc"],
                "same_class": float((predictions.predicted == as_taken.predicted).mean()),
                "same_referral": float(referral.mean()) if run.task.referable else None,
                "mean_shift": float(shift) if run.task.ordered else None,
            }
        )
    return rows


def mean_over_changes(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the mean kappa and AUROC over all changes, without the photographs as taken."""
    changed = [row for row in rows if row["change"] != AS_TAKEN]

    def mean(key: str) -> float | None:
        values = [row[key] for row in changed]
        return None if None in values else float(np.mean(values))

    return {"quadratic_kappa": mean("quadratic_kappa"), "auroc": mean("auroc")}


def measure_robustness(run: Run, data: PreparedSet, progress: Progress | None = None) -> Mapping[str, Any]:
    """Return what `evaluate --robustness` adds to metrics.json: {"changes": rows, "mean": means over the changes}."""
    rows = robustness_rows(grade_changed(run, data, progress), data, run)
    return {"changes": rows, "mean": mean_over_changes(rows)}
