"""Grades photographs from files, of which one that fails does not stop the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_demo.grader import Grader
from edge_demo.grading import Grading
from keras_dr.core.errors import KerasDrError


def grade_file(grader: Grader, image: Path) -> Grading:
    """Grade a file with `Grader.grade`."""
    with one_of_many():
        return grader.grade(image)


@contextmanager
def one_of_many() -> Iterator[None]:
    """Turn errors of OpenCV and of a lack of memory into a KerasDrError, so that the other photographs are graded."""
    try:
        yield
    except (cv2.error, MemoryError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        message = f"The photograph cannot be prepared here: {reason}."
        raise KerasDrError(message, "Reduce or crop it first.") from error
