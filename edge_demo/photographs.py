"""Photographs as files: read, graded one by one, and the names of their heat maps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_demo.grader import Grader, Grading
from keras_dr.core.errors import KerasDrError


def heatmap_files(target: Path, images: Sequence[Path]) -> list[Path]:
    """The PNG file of each photograph's heat map: `target` itself, or one named after the photograph inside it.

    Raises:
        KerasDrError: one .png file for several photographs, or a heat map that would overwrite a photograph.
    """
    single = target.suffix.lower() == ".png" and not target.is_dir()
    if single and len(images) > 1:
        raise KerasDrError(f"a folder for {len(images)} heat maps", str(target), "Pass a name without .png.")
    files, taken = [], set()
    for image in images:
        name, number = image.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{image.stem}-{number}"
        taken.add(name.lower())
        files.append(target if single else target / f"{name}.png")
    photographs = {image.resolve() for image in images}
    for file in files:
        if file.resolve() in photographs:
            raise KerasDrError("heat maps apart from the photographs", str(file), "Choose another --heatmap.")
    return files


def grade_file(grader: Grader, image: Path) -> Grading:
    """`Grader.grade` of a file."""
    with one_of_many():
        return grader.grade(image)


@contextmanager
def one_of_many() -> Iterator[None]:
    """A photograph that OpenCV or the memory cannot hold must not end the others' grading: a KerasDrError like any."""
    try:
        yield
    except (cv2.error, MemoryError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise KerasDrError("a photograph that can be prepared here", found, "Reduce or crop it first.") from error
