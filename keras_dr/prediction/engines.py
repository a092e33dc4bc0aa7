"""ENGINES: how photographs are graded, by LiteRT in threads or by Keras in batches."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, Grading, Prepared, read_bytes
from edge_demo.photographs import grade_file, one_of_many
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import printable
from keras_dr.core.machine import usable_cores
from keras_dr.core.progress import Progress

_BATCH = 16


T = TypeVar("T")


Results = list[Grading | KerasDrError]


Engine = Callable[[Sequence[Path], Progress], Results]


def litert_engine(bundle: Bundle) -> Engine:
    """As many graders as cores, a thread each: no photograph waits for another's decoding."""

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        workers = max(1, min(len(images), usable_cores()))
        cv2.setNumThreads(1 if workers > 1 else usable_cores())
        free: SimpleQueue[Grader] = SimpleQueue()
        for _ in range(workers):
            free.put(Grader(bundle, threads=1 if workers > 1 else usable_cores()))
        done = count(1)

        def one(image: Path) -> Grading | KerasDrError:
            grader = free.get()
            try:
                return _attempt(lambda: _slim(grade_file(grader, image)))
            finally:
                free.put(grader)
                progress(next(done), len(images))

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, images))

    return grade


def keras_engine(model: Any, temperature: float, bundle: Bundle) -> Engine:
    """Batches through the trained model; preparation and conclusion are the grader's."""
    from export.parity import float_grader

    outputs_of, grader = float_grader(model, temperature), Grader(bundle)

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        results: Results = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            prepared = [_attempt(partial(_prepare, grader, image)) for image in batch]
            whole = [one[0] for one in prepared if not isinstance(one, KerasDrError)]
            outputs = outputs_of(np.stack(whole)) if whole else None
            rows = iter(range(len(whole)))
            for image, one in zip(batch, prepared, strict=True):
                results.append(
                    one
                    if isinstance(one, KerasDrError)
                    else _attempt(partial(_conclude, grader, image, one, outputs, next(rows)))
                )
            progress(len(results), len(images))
        return results

    return grade


def _attempt(step: Callable[[], T]) -> T | KerasDrError:
    """What a step of one photograph gives, or why it could not."""
    try:
        with one_of_many():
            return step()
    except KerasDrError as error:
        return error


def _prepare(grader: Grader, image: Path) -> Prepared:
    return grader.prepare(grader.decode(read_bytes(image)))


def _conclude(grader: Grader, image: Path, prepared: Prepared, outputs: Any, row: int) -> Grading:
    pair = outputs.probabilities[row].astype(np.float32), outputs.heatmaps[row]
    return _slim(grader.conclude(printable(image), prepared, pair))


def _slim(grading: Grading) -> Grading:
    return replace(grading, heatmap=np.empty((0, 0), np.float32), prepared=np.empty((0, 0, 3), np.uint8))
