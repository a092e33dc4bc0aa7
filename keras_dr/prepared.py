"""Writes and reads a Prepared set: photographs made ready for the model, with their grades and splits.

    PREPARED/ prepared.json manifest.csv images/<image_id>.png masks/<lesion>/<image_id>.png rejected.csv preview.png

`prepare` runs in processes that never import TensorFlow, and goes on where an interrupted call stopped.
"""

import csv
import hashlib
import io
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_dr import preprocessing, runs
from keras_dr.errors import KerasDrError
from keras_dr.grades import TASKS, Task, task_of_classes
from keras_dr.preprocessing import Preprocessing
from keras_dr.records import SPLITS, Record
from keras_dr.splits import SplitShares, assign_splits, group_photographs

COLUMNS = (
    *("image_id", "patient_id", "eye", "grade", "label", "split", "group_id", "source", "source_sha256"),
    *("pixels_sha256", "fundus_x", "fundus_y", "fundus_radius"),
)
REJECTED_COLUMNS = ("image_id", "source", "reason")
_PREVIEWED = 6  # photographs a class
Row = dict[str, Any]


@dataclass(frozen=True)
class PreparedSet:
    """A Prepared set, read.

    Attributes:
        folder: where it lies.
        task: its label space.
        preprocessing: what was done to its photographs.
        rows: manifest.csv, a dictionary of strings an image.
    """

    folder: Path
    task: Task
    preprocessing: Preprocessing
    rows: tuple[dict[str, str], ...]

    @property
    def name(self) -> str:
        """The folder's name, by which results refer to the set."""
        return self.folder.resolve().name

    def split(self, name: str) -> "PreparedSet":
        """The photographs of one split, or of all ("all").

        Raises:
            KerasDrError: the split is unknown or empty.
        """
        rows = tuple(row for row in self.rows if name in ("all", row["split"]))
        if not rows:
            found = ", ".join(f"{key} {n}" for key, n in Counter(row["split"] for row in self.rows).items())
            raise KerasDrError(f"photographs in the split {name!r} of {self.folder}", found, "Choose another --split.")
        return PreparedSet(self.folder, self.task, self.preprocessing, rows)

    def labels(self) -> NDArray[np.int64]:
        """int64 (n,), class indices."""
        return np.array([self.task.classes.index(row["label"]) for row in self.rows], np.int64)

    def image_files(self) -> list[str]:
        """Paths of the prepared PNG files."""
        return [str(self.folder / "images" / f"{row['image_id']}.png") for row in self.rows]

    def image(self, index: int) -> NDArray[np.uint8]:
        """One prepared photograph, uint8 RGB (S, S, 3)."""
        return preprocessing.decode_rgb(Path(self.image_files()[index]).read_bytes())

    def images(self, indices: Iterable[int] | None = None) -> NDArray[np.uint8]:
        """The photographs at these indices, or all, uint8 RGB (n, S, S, 3)."""
        return np.stack([self.image(index) for index in (range(len(self.rows)) if indices is None else indices)])

    def masks(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Lesion kind -> float32 (S, S), the share 0..1 of each pixel that the lesion covers."""
        files = sorted(self.folder.glob(f"masks/*/{self.rows[index]['image_id']}.png"))
        grey = {file.parent.name: preprocessing.decode_rgb(file.read_bytes())[..., 0] for file in files}
        return {lesion: mask.astype(np.float32) / np.float32(255) for lesion, mask in grey.items()}

    def fundus(self, index: int) -> NDArray[np.bool_]:
        """bool (S, S), True on the fundus; everywhere where no circle was found."""
        size = self.preprocessing.size
        found = self.rows[index]["fundus_radius"]
        return preprocessing.circle_mask(size) if found else np.ones((size, size), bool)


def load(folder: Path) -> PreparedSet:
    """Read a Prepared set.

    Raises:
        KerasDrError: not a Prepared set, manifest.csv changed since it was written, or a photograph is gone.
    """
    about = runs.read_manifest(folder, "prepared")
    file = folder / "manifest.csv"
    if not file.is_file() or runs.sha256_of(file) != about["manifest_sha256"]:
        found = "another" if file.is_file() else "no file"
        remedy = "Prepare the set again; to change labels or splits, change the source."
        raise KerasDrError(f"{file} as prepare wrote it (sha256 in prepared.json)", found, remedy)
    with file.open(newline="", encoding="utf-8") as stream:
        rows = tuple(csv.DictReader(stream))
    images = {entry.name for entry in os.scandir(folder / "images")} if (folder / "images").is_dir() else set()
    gone = [row["image_id"] for row in rows if f"{row['image_id']}.png" not in images]
    if gone:
        raise KerasDrError(f"{len(rows)} photographs in {folder / 'images'}", f"{gone[0]}.png gone", "Prepare again.")
    return PreparedSet(folder, task_of_classes(about["classes"]), Preprocessing.from_dict(about["preprocessing"]), rows)


def prepare(
    records: Sequence[Record],
    source: Path,
    target: Path,
    spec: Preprocessing,
    *,
    dataset: str,
    task: str = "icdr",
    shares: SplitShares | None = None,
    seed: int = 42,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write a Prepared set.

    Args:
        records: the photographs.
        source: folder to which the manifest's `source` column is relative.
        target: folder to write.
        spec: preprocessing of every photograph.
        dataset: name of the adapter, for prepared.json.
        task: key of `TASKS`.
        shares: sizes of the splits that the data set lacks.
        seed: of these splits.
        workers: processes; None: as many as cores.
        overwrite: replace an existing `target`.
        progress: called with (photographs done, photographs in all).

    Returns:
        What prepared.json says: counts by split and class, number rejected, duplicates.

    Raises:
        KerasDrError: `target` exists, a class or split stays empty, or no photograph is readable.
    """
    shares = shares or SplitShares()
    plan = {
        "records": hashlib.sha256(repr(records).encode()).hexdigest(),
        "preprocessing": spec.to_dict(),
        "schema_version": runs.SCHEMA_VERSION,
    }
    with runs.growing_folder(target, plan, overwrite) as folder:
        outcomes = _prepare_images(records, source, folder, spec, workers, progress)
        rejected = [row for row in outcomes if "reason" in row]
        if len(rejected) == len(records):
            found = f"none among {len(records)}; the first: {rejected[0]['source']}: {rejected[0]['reason']}"
            raise KerasDrError(f"readable photographs in {source}", found, "Check SOURCE.")
        kept = [(record, row) for record, row in zip(records, outcomes, strict=True) if "reason" not in row]
        rows = _manifest_rows(kept, TASKS[task], shares, seed)
        _write_csv(folder / "rejected.csv", REJECTED_COLUMNS, rejected)
        _write_csv(folder / "manifest.csv", COLUMNS, rows)
        counts = _count(rows, TASKS[task])
        about = {
            "dataset": dataset,
            "task": task,
            "classes": list(TASKS[task].classes),
            "preprocessing": spec.to_dict(),
            "seed": seed,
            "counts": counts,
            "rejected": len(rejected),
            "fundus_not_found": sum(not row["fundus_radius"] for row in rows),
            "duplicates": len(rows) - len({row["pixels_sha256"] for row in rows}),
            "leaks": _count_leaks(rows),
            "manifest_sha256": runs.sha256_of(folder / "manifest.csv"),
        }
        _write_preview(folder, rows, TASKS[task], spec.size)
        runs.write_manifest(folder, "prepared", **about)
        (folder / "progress.jsonl").unlink()
    return about


def _prepare_images(
    records: Sequence[Record],
    source: Path,
    folder: Path,
    spec: Preprocessing,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Row]:
    """A row a record, in order; those that progress.jsonl already tells of are not made again."""
    journal = folder / "progress.jsonl"
    rows: dict[str, Row] = {}
    for line in journal.read_text("utf-8").splitlines() if journal.is_file() else []:
        try:
            row = json.loads(line)
        except ValueError:  # the line being written when the call was interrupted
            continue
        rows[row["image_id"]] = row
    (folder / "images").mkdir(exist_ok=True)
    missing = [record for record in records if record.image_id not in rows]
    work = partial(_prepare_one, source=source, folder=folder, spec=spec)
    with journal.open("a", encoding="utf-8") as stream:
        stream.write("\n")
        for row in _run(work, missing, workers or os.cpu_count() or 1):
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            rows[row["image_id"]] = row
            if progress:
                progress(len(rows), len(records))
    return [rows[record.image_id] for record in records]


def _run(work: Callable[[Record], Row], records: Sequence[Record], workers: int) -> Iterator[Row]:
    if workers == 1 or len(records) < 16:
        yield from map(work, records)
        return
    # spawn, not fork: a fork of a process with TensorFlow's threads can hang
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(work, records, chunksize=4)


def _prepare_one(record: Record, *, source: Path, folder: Path, spec: Preprocessing) -> Row:
    """Write one photograph's PNG and masks; its row, or the reason why there is none."""
    row: Row = {"image_id": record.image_id, "source": _relative(record.path, source)}
    try:
        data = record.path.read_bytes()
        photograph = preprocessing.read_photograph(data, spec)
    except (OSError, KerasDrError) as error:
        found = error.found if isinstance(error, KerasDrError) else error.strerror
        return row | {"reason": str(found)}
    image, fundus = preprocessing.prepare_photograph(photograph, spec)
    runs.write_bytes(folder / "images" / f"{record.image_id}.png", _png(image))
    for lesion, file in record.masks.items():
        mask = (preprocessing.decode_rgb(file.read_bytes()).max(axis=2) > 0).astype(np.uint8) * 255
        if mask.shape != photograph.shape:
            return row | {"reason": f"mask {file.name} is {mask.shape}, the photograph {photograph.shape}"}
        (folder / "masks" / lesion).mkdir(parents=True, exist_ok=True)
        covered = preprocessing.crop_square(mask, fundus, spec.size)
        runs.write_bytes(folder / "masks" / lesion / f"{record.image_id}.png", _png(covered))
    return row | {
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "pixels_sha256": hashlib.sha256(image.tobytes()).hexdigest(),
        "fundus_x": f"{fundus.x:.2f}" if fundus else "",
        "fundus_y": f"{fundus.y:.2f}" if fundus else "",
        "fundus_radius": f"{fundus.radius:.2f}" if fundus else "",
    }


def _relative(path: Path, source: Path) -> str:
    base = source if source.is_dir() else source.parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


def _png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 (S, S) or RGB (S, S, 3)."""
    encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
    return encoded.tobytes()


def _manifest_rows(kept: Sequence[tuple[Record, Row]], task: Task, shares: SplitShares, seed: int) -> list[Row]:
    labels = [task.label(record.grade) for record, _ in kept]
    groups = group_photographs(
        [record.patient_id for record, _ in kept],
        [row["source_sha256"] for _, row in kept],
        [row["pixels_sha256"] for _, row in kept],
    )
    splits = assign_splits([record.split for record, _ in kept], labels, groups, shares, seed)
    return [
        row
        | {
            "patient_id": record.patient_id,
            "eye": record.eye,
            "grade": record.grade,
            "label": task.classes[label],
            "split": split,
            "group_id": group,
        }
        for (record, row), label, group, split in zip(kept, labels, groups, splits, strict=True)
    ]


def _count(rows: Sequence[Row], task: Task) -> dict[str, dict[str, int]]:
    """Split -> class -> photographs.

    Raises:
        KerasDrError: a class has no photograph in the training split.
    """
    pairs = Counter((row["split"], row["label"]) for row in rows)
    counts = {split: {name: pairs[split, name] for name in task.classes} for split in SPLITS}
    empty = [name for name, count in counts["train"].items() if not count]
    if empty:
        remedy = "Add some, or choose another --task."
        raise KerasDrError("training photographs of every class", f"none of {', '.join(empty)}", remedy)
    return counts


def _count_leaks(rows: Sequence[Row]) -> int:
    """Test photographs that have a pixel for pixel copy in train or val, as official splits may."""
    seen = {row["pixels_sha256"] for row in rows if row["split"] != "test"}
    return sum(row["split"] == "test" and row["pixels_sha256"] in seen for row in rows)


def _write_csv(file: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    runs.write_bytes(file, text.getvalue().encode())


def _write_preview(folder: Path, rows: Sequence[Row], task: Task, size: int) -> None:
    """preview.png: a line of photographs a class, its name before them."""
    side = min(size, 160)
    lines = []
    for name in task.classes:
        label = np.zeros((side, side, 3), np.uint8)
        cv2.putText(label, name, (6, side // 2), cv2.FONT_HERSHEY_SIMPLEX, side / 320, (255, 255, 255), 1, cv2.LINE_AA)
        chosen = [row for row in rows if row["label"] == name][:_PREVIEWED]
        files = [folder / "images" / f"{row['image_id']}.png" for row in chosen]
        images = [preprocessing.decode_rgb(file.read_bytes()) for file in files]
        tiles = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
        tiles += [np.zeros_like(label)] * (_PREVIEWED - len(tiles))
        lines.append(np.hstack([label, *tiles]))
    runs.write_bytes(folder / "preview.png", _png(np.vstack(lines)))
