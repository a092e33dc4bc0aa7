"""The engines that grade photographs: LiteRT in threads, or Keras in batches."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Prepared, read_photograph_file
from edge_demo.grading import Grading
from edge_demo.photographs import grade_file, one_of_many
from keras_dr.core.errors import KerasDrError
from keras_dr.core.frames import subject_of
from keras_dr.core.image_files import printable
from keras_dr.core.machine import usable_cores
from keras_dr.core.privacy import Privacy
from keras_dr.core.progress import Progress

if TYPE_CHECKING:
    from export.parity import Outputs

_BATCH = 16
_FORWARD_PASSES = 2  # of Keras at the same time: where one waits for a thread, the other uses the core
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
    turns = BoundedSemaphore(_FORWARD_PASSES)

    def forward(inputs: NDArray[np.uint8]) -> "Outputs":
        with turns:
            return outputs_of(inputs)

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        cv2.setNumThreads(1)  # batches are prepared beside each other
        workers = usable_cores()
        size = max(1, min(_BATCH, -(-len(images) // workers)))
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        results: Results = []
        with ThreadPoolExecutor(workers) as pool:
            for batch_results in pool.map(partial(_grade_batch, grader, forward), batches):
                results += batch_results
                progress(len(results), len(images))
        return results

    return grade


def _grade_batch(grader: Grader, forward: Callable[[NDArray[np.uint8]], "Outputs"], images: Sequence[Path]) -> Results:
    """Grade photographs in one forward pass; one that cannot be prepared takes no place in it."""
    attempts = [_attempt(partial(_prepare, grader, image)) for image in images]
    inputs = [attempt[0] for attempt in attempts if not isinstance(attempt, KerasDrError)]
    outputs = forward(np.stack(inputs)) if inputs else None
    results: Results = []
    row = 0  # of the outputs
    for image, attempt in zip(images, attempts, strict=True):
        if isinstance(attempt, KerasDrError):
            results.append(attempt)
        else:
            results.append(_attempt(partial(_conclude, grader, image, attempt, outputs, row)))
            row += 1
    return results


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
