"""Reads a Prepared set: prepared photographs with their grades and splits. `prepare` writes it.

PREPARED/ prepared.json manifest.csv images/<image_id>.png masks/<lesion>/<image_id>.png
          rejected.csv duplicates.csv preview.png
"""

import csv
import difflib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders, preprocessing, quality
from keras_dr.core.decoding import Image, decode_rgb
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS, Task, task_of
from keras_dr.datasets.records import SPLITS
from keras_dr.preparation.splits import ALL_SPLITS, CALIBRATION, Fold, fold_numbers

_AGAIN = "Prepare the set again."
_PIXELS = r"\d{1,6}\.\d\d"
# column -> what prepare writes there; for the columns that are read as more than text
_CELLS = {
    "grade": re.compile("[0-5]?"),
    "perceptual_hash": re.compile("([0-9a-f]{64})?"),
    **dict.fromkeys(("fundus_x", "fundus_y"), re.compile(f"(-?{_PIXELS})?")),
    "fundus_radius": re.compile(f"({_PIXELS})?"),
}
_STRETCHED = re.compile(r"(\d{1,6}x\d{1,6})?")  # the column `stretched`, which older sets lack
_TEXTS = ("image_id", "patient_id", "label", "split", "group_id", "source", "pixels_sha256")
COLUMNS = (*_TEXTS, *_CELLS, *quality.COLUMNS)  # every manifest must have these
ADDED = quality.COLOURS  # columns that sets of older versions lack


@dataclass(frozen=True)
class PreparedSet:
    """A Prepared set.

    Attributes:
        folder: its folder.
        task: its label space.
        preprocessing: the preprocessing of its photographs.
        rows: manifest.csv as one dictionary of texts per photograph.
        source: the folder of the original photographs when the set was prepared; the rows' `source` is relative to it.
        fold: the fold of a cross-validation that train and val are; None: they are the splits of the set.
        about: the content of prepared.json.
    """

    folder: Path
    task: Task
    preprocessing: Preprocessing
    rows: tuple[dict[str, str], ...]
    source: Path = Path()
    fold: Fold | None = None
    about: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(cls, source: "PreparedSet | Path | str") -> "PreparedSet":
        """Read a Prepared set.

        Args:
            source: the folder that `prepare` wrote; a Prepared set is returned as it is.

        Raises:
            KerasDrError: the folder is not a Prepared set, its manifest.csv was changed, or a photograph is missing.
        """
        if isinstance(source, PreparedSet):
            return source
        folder = Path(source)
        about, task, spec = _read_about(folder)
        file = folder / "manifest.csv"
        if not file.is_file() or folders.sha256_of(file) != about["manifest_sha256"]:
            fault = "differs from what prepare wrote (sha256 in prepared.json)" if file.is_file() else "does not exist"
            remedy = "Prepare the set again; to change labels or splits, change the source."
            raise KerasDrError(f"The file {file} {fault}.", remedy)
        rows = _read_rows(file, set(task.classes))
        images = {entry.name for entry in os.scandir(folder / "images")} if (folder / "images").is_dir() else set()
        missing = [row["image_id"] for row in rows if f"{row['image_id']}.png" not in images]
        if missing:
            count = f"{len(missing)} of {len(rows)} photographs are missing"
            message = f"The folder {folder / 'images'} lacks {missing[0]}.png ({count})."
            raise KerasDrError(message, _AGAIN)
        photographs = Path(os.path.normpath(folder.resolve() / about.get("source", "")))
        return cls(folder, task, spec, rows, photographs, about=about)

    def hashes(self) -> set[str]:
        """Return the SHA-256 of manifest.csv as it is, and as it would be without the columns of `ADDED`.

        A run holds one of them. So a set that a later version prepares again is still known as the run's own, if its
        photographs, pixels, grades and splits are the same.
        """
        file = self.folder / "manifest.csv"
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        columns = [column for column in rows[0] if column not in ADDED]
        return {folders.sha256_of(file), hashlib.sha256(encode_csv(columns, rows)).hexdigest()}

    def __str__(self) -> str:
        """Return the numbers of photographs by split and class, for the user."""
        lines = [f"{self.folder}: {len(self.rows)} photographs of {self.preprocessing.size} pixels"]
        for split in ALL_SPLITS:
            labels = Counter(row["label"] for row in self.rows if row["split"] == split)
            if split == CALIBRATION and not labels:  # most sets have none
                continue
            counts = ", ".join(f"{name or 'not graded'} {count}" for name, count in sorted(labels.items()))
            lines.append(f"  {split}: {counts or 'none'}")
        return "\n".join(lines)

    @property
    def name(self) -> str:
        """The folder's name, by which results refer to the set."""
        return self.folder.resolve().name

    def split(self, name: str) -> "PreparedSet":
        """Return the set with only the photographs of one split.

        Args:
            name: "train", "val", "test" or "calibration"; "all" keeps all photographs.

        Raises:
            KerasDrError: the split is unknown or empty.
        """
        rows = tuple(row for row in self.rows if name in ("all", row["split"]))
        if not rows:
            counts = ", ".join(f"{key} {n}" for key, n in Counter(row["split"] for row in self.rows).items())
            message = f"The split {name!r} of {self.folder} has no photographs. The set has: {counts or 'none'}."
            raise KerasDrError(message, "Choose another --split.")
        return replace(self, rows=rows)

    def folded(self, fold: Fold) -> "PreparedSet":
        """Return the set with train and val divided for a fold: its photographs are val, the others train.

        The test and calibration splits stay.

        Args:
            fold: the fold of a cross-validation.

        Raises:
            KerasDrError: there are too few patients for so many folds.
        """
        rows = [row for row in self.rows if row["split"] in ("train", "val")]
        labels = replace(self, rows=tuple(rows)).labels().tolist()
        numbers = fold_numbers(labels, [row["group_id"] for row in rows], fold.folds)
        sides = {
            row["image_id"]: "val" if number == fold.number else "train"
            for row, number in zip(rows, numbers, strict=True)
        }
        divided = tuple(row | {"split": sides.get(row["image_id"], row["split"])} for row in self.rows)
        return replace(self, rows=divided, fold=fold)

    def labelled_for(self, task: Task) -> "PreparedSet":
        """Return the photographs with the labels of a run's task.

        The ICDR grade decides if the task and the set have it, otherwise the name of the class. Photographs that have
        no class of the task, such as ungradable ones, are left out.

        Args:
            task: the task of the run.

        Raises:
            KerasDrError: no photograph has a class of the task.
        """
        if self.task == task or not any(row["label"] for row in self.rows):
            return replace(self, task=task)
        names = [(row, _class_of(row, task)) for row in self.rows]
        rows = tuple(row | {"label": name} for row, name in names if name)
        if not rows:
            run_task = f"{task.name} ({', '.join(task.classes)})"
            own_task = f"{self.task.name} ({', '.join(self.task.classes)})"
            message = f"No label in {self.folder}, whose task is {own_task}, is a class of the run's task {run_task}."
            raise KerasDrError(message, f"Prepare with --task {task.name}.")
        return replace(self, task=task, rows=rows)

    def index_of(self, image_id: str) -> int:
        """Return the index of the photograph with this id.

        Raises:
            KerasDrError: the set has no photograph with this id.
        """
        ids = [row["image_id"] for row in self.rows]
        if image_id not in ids:
            similar = ", ".join(difflib.get_close_matches(image_id, ids) or ids[:3])
            message = f"The set {self.folder} has no photograph with the image_id {image_id!r}."
            raise KerasDrError(message, f"Choose one from manifest.csv, such as {similar}.")
        return ids.index(image_id)

    def split_sha256(self, name: str) -> str:
        """Return the SHA-256 of the image ids of a split, by which the split is recognised later."""
        ids = "\n".join(row["image_id"] for row in self.split(name).rows)
        return hashlib.sha256(ids.encode()).hexdigest()

    @property
    def labelled(self) -> bool:
        """Whether the photographs have labels; sets that are published only for their lesion masks have none."""
        return all(row["label"] for row in self.rows)

    def labels(self) -> NDArray[np.int64]:
        """Return the class indices, int64 (n,).

        Raises:
            KerasDrError: the photographs have no grades.
        """
        if not self.labelled:
            raise KerasDrError(f"The photographs in {self.folder} have no grades.", "They can only be used by explain.")
        return np.array([self.task.classes.index(row["label"]) for row in self.rows], np.int64)

    def image_files(self) -> list[str]:
        """Return the paths of the prepared PNG files."""
        return [str(self._image_file(row)) for row in self.rows]

    def _image_file(self, row: Mapping[str, str]) -> Path:
        return self.folder / "images" / f"{row['image_id']}.png"

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a prepared photograph, uint8 RGB (S, S, 3)."""
        return read_image(self._image_file(self.rows[index]), self.preprocessing.size)

    def images(self, indices: Iterable[int] | None = None) -> NDArray[np.uint8]:
        """Return the photographs at these indices, by default all, uint8 RGB (n, S, S, 3)."""
        if indices is None:
            indices = range(len(self.rows))
        return np.stack([self.image(index) for index in indices])

    def masks(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Return lesion -> float32 (S, S), the share 0..1 of each pixel that the lesion covers."""
        name = f"{self.rows[index]['image_id']}.png"
        files = [folder / name for folder in sorted(self.folder.glob("masks/*")) if (folder / name).is_file()]
        grey = {file.parent.name: read_image(file, self.preprocessing.size)[..., 0] for file in files}
        return {lesion: mask.astype(np.float32) / np.float32(255) for lesion, mask in grey.items()}

    def fundus(self, index: int) -> NDArray[np.bool_]:
        """Return bool (S, S), True on the fundus; True everywhere if no circle was found."""
        size = self.preprocessing.size
        has_circle = bool(self.rows[index]["fundus_radius"])
        return preprocessing.circle_mask(size) if has_circle else np.ones((size, size), bool)


def _class_of(row: Mapping[str, str], task: Task) -> str | None:
    """Return the name of a photograph's class in a task; None if the task has no class for it."""
    if task.name in TASKS and row["grade"]:
        index = task.labels[int(row["grade"])]
        return None if index is None else task.classes[index]
    return row["label"] if row["label"] in task.classes and task.name not in TASKS else None


def read_image(file: Path, size: int) -> Image:
    """Read a photograph or mask of a Prepared set.

    Args:
        file: the PNG file.
        size: side S of the image in pixels.

    Returns:
        uint8 RGB (S, S, 3).

    Raises:
        KerasDrError: the file is missing, damaged, truncated or of another size.
    """
    try:
        image = decode_rgb(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except KerasDrError as error:
        reason = error.message
    else:
        if image.shape == (size, size, 3):
            return image
        reason = f"It has {image.shape[1]} x {image.shape[0]} pixels, not {size} x {size}."
    raise KerasDrError(f"The prepared image {file} cannot be used: {reason.rstrip('.')}.", _AGAIN)


def _read_about(folder: Path) -> tuple[dict[str, Any], Task, Preprocessing]:
    """Return the content of prepared.json, its task and its preprocessing.

    Raises:
        KerasDrError: a value is missing there or of another type.
    """
    about = folders.read_manifest(folder, "prepared")
    try:
        task = task_of(about)
        spec = Preprocessing.from_dict(about["preprocessing"])
        for split in {*SPLITS, *about["counts"]}:
            sum(about["counts"][split].values())
        for text in (about["manifest_sha256"], about.get("source", "")):
            os.fspath(text)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        file = folder / folders.MANIFESTS["prepared"]
        message = f"The file {file} differs from what prepare writes: {type(error).__name__}: {error}."
        raise KerasDrError(message, _AGAIN) from error
    return about, task, spec


def _read_rows(file: Path, classes: set[str]) -> tuple[dict[str, str], ...]:
    """Return the rows of manifest.csv, one dictionary per photograph.

    Raises:
        KerasDrError: the file is not a table; a column or a cell is missing or repeated; a split, class, grade, hash or
            number is one that prepare never writes; or two rows have the same id.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream, strict=True)
            columns = next(reader, [])
            cells = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise KerasDrError(f"The file {file} is not a table that prepare wrote: {error}.", _AGAIN) from error
    wrong = [column for column in COLUMNS if columns.count(column) != 1]
    if wrong:
        message = f"The table {file} must have the column {wrong[0]} once, but has it {columns.count(wrong[0])} times."
        raise KerasDrError(message, _AGAIN)
    uneven = [row for row in cells if len(row) != len(columns)]
    if uneven:
        message = f"The table {file} must have {len(columns)} cells in each row, but one row has {len(uneven[0])}."
        raise KerasDrError(message, _AGAIN)
    rows = tuple(dict(zip(columns, row, strict=True)) for row in cells)
    patterns = _CELLS | ({"stretched": _STRETCHED} if "stretched" in columns else {})
    for key, pattern in patterns.items():
        unknown_cell = next((row[key] for row in rows if not pattern.fullmatch(row[key])), None)
        if unknown_cell is not None:
            raise KerasDrError(
                f"The table {file} has a {key} that prepare never writes: {brief(unknown_cell)}.", _AGAIN
            )
    for key, known in {"split": set(ALL_SPLITS), "label": classes | {""}}.items():
        unknown = {row[key] for row in rows} - known
        if unknown:
            raise KerasDrError(f"The table {file} has a {key} that prepare never writes: {min(unknown)!r}.", _AGAIN)
    if len({row["image_id"] for row in rows}) < len(rows):
        raise KerasDrError(f"The table {file} has the same image_id in two rows.", _AGAIN)
    return rows
