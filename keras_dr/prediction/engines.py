"""The engines that grade photographs: LiteRT in threads, or Keras in batches."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, TypeVar

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Grading, Prepared, read_photograph_file
from edge_demo.photographs import grade_file, one_of_many
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import subject_of
from keras_dr.core.image_files import printable
from keras_dr.core.machine import usable_cores
from keras_dr.core.privacy import Privacy
from keras_dr.core.progress import Progress

_BATCH = 16
Value = TypeVar("Value")
Results = list[Grading | KerasDrError]  # for each photograph its grading, or the reason why it could not be graded
Engine = Callable[[Sequence[Path], Progress], Results]


def litert_engine(
    bundle: Bundle,
    pictures: Mapping[Path, Path] = MappingProxyType({}),
    privacy: Privacy | None = None,
    eyes: Mapping[str, str] = MappingProxyType({}),
) -> Engine:
    """Return an engine with one grader in one thread per core, so that no photograph waits until another is decoded.

    Args:
        bundle: the bundle, at the operating point to use.
        pictures: photograph -> the PNG file to which its picture is written, see `Grading.picture`.
        privacy: how results name the patients of DICOM files; by default by a keyed hash.
        eyes: path of a photograph, as in its grading -> "left" or "right", for its picture.
    """

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        workers = max(1, min(len(images), usable_cores()))
        threads = 1 if workers > 1 else usable_cores()  # of each grader
        cv2.setNumThreads(threads)
        free_graders: SimpleQueue[Grader] = SimpleQueue()
        for _ in range(workers):
            free_graders.put(Grader(bundle, threads=threads, privacy=privacy))
        photographs_done = count(1)

        def grade_and_draw(grader: Grader, image: Path) -> Grading:
            grading = grade_file(grader, image)
            grading = replace(grading, eye=eyes.get(grading.path, grading.eye))
            if image in pictures:
                grading.save_picture(pictures[image])
            return _without_arrays(grading)

        def grade_photograph(image: Path) -> Grading | KerasDrError:
            grader = free_graders.get()
            try:
                return _attempt(lambda: grade_and_draw(grader, image))
            finally:
                free_graders.put(grader)
                progress(next(photographs_done), len(images))

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(grade_photograph, images))

    return grade


def keras_engine(model: Any, temperature: float, bundle: Bundle, privacy: Privacy | None = None) -> Engine:
    """Return an engine that passes batches through the trained model.

    The photographs are prepared, and the grades decided, by the same `Grader` as on a device.

    Args:
        model: the Keras model of the run.
        temperature: the temperature of the run, > 0.
        bundle: the bundle that was made from the run.
        privacy: how results name the patients of DICOM files; by default by a keyed hash.
    """
    from export.parity import float_grader

    outputs_of = float_grader(model, temperature)
    grader = Grader(bundle, privacy=privacy)

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        cv2.setNumThreads(1)  # the photographs of a batch are prepared beside each other
        results: Results = []
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(images), _BATCH):
                results += _grade_batch(grader, outputs_of, images[start : start + _BATCH], pool)
                progress(len(results), len(images))
        return results

    return grade


def _grade_batch(
    grader: Grader, outputs_of: Callable[[Any], Any], images: Sequence[Path], pool: ThreadPoolExecutor
) -> Results:
    """Grade photographs in one forward pass; one that cannot be prepared takes no place in it."""
    attempts = list(pool.map(lambda image: _attempt(lambda: _prepare(grader, image)), images))
    inputs = [attempt[0] for attempt in attempts if not isinstance(attempt, KerasDrError)]
    outputs = outputs_of(np.stack(inputs)) if inputs else None
    rows = np.cumsum([not isinstance(attempt, KerasDrError) for attempt in attempts]) - 1  # of the outputs

    def conclude(image: Path, attempt: Prepared | KerasDrError, row: int) -> Grading | KerasDrError:
        if isinstance(attempt, KerasDrError):
            return attempt
        return _attempt(lambda: _conclude(grader, image, attempt, outputs, row))

    return list(pool.map(conclude, images, attempts, rows))


def _attempt(step: Callable[[], Value]) -> Value | KerasDrError:
    """Return the result of a step of the grading of one photograph, or the error that it raised."""
    try:
        with one_of_many():
            return step()
    except KerasDrError as error:
        return error


def _prepare(grader: Grader, image: Path) -> Prepared:
    return grader.prepare(grader.decode(read_photograph_file(image)[0]))


def _conclude(grader: Grader, image: Path, prepared: Prepared, outputs: Any, row: int) -> Grading:
    probabilities_and_heatmaps = (outputs.probabilities[row].astype(np.float32), outputs.heatmaps[row])
    grading = grader.conclude(printable(image), prepared, probabilities_and_heatmaps)
    return _without_arrays(grader.identify(grading, subject_of(image)))


def _without_arrays(grading: Grading) -> Grading:
    """Return the grading without its heat map and photographs, which take much memory."""
    return replace(
        grading,
        heatmap=np.empty((0, 0), np.float32),
        prepared=np.empty((0, 0, 3), np.uint8),
        photograph=None,
    )
