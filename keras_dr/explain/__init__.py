"""Where a grader saw its evidence: heat maps, a board to look at, and scores against the fundus and the lesions.

    FOLDER/ board.png scores.json heatmaps/<image_id>.npz heatmaps/<image_id>.png

An .npz holds a float32 (h, w) map a method, as `heatmaps` makes it; a .png is the overlay of a photograph on the board.
With several methods the pictures carry the method's name: board-grad-cam.png, heatmaps/<image_id>-grad-cam.png.
"""

import io
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr import overlay, runs
from keras_dr.errors import KerasDrError
from keras_dr.explain.boards import BoardRow, write_board
from keras_dr.explain.heatmaps import METHODS, find_method, heatmaps
from keras_dr.explain.scores import Scores, score_heatmap, summarise, uniform_scores
from keras_dr.explain.selection import choose_for_board, sample_evenly
from keras_dr.files import encode_png
from keras_dr.heads import probabilities as class_probabilities
from keras_dr.model import class_evidence, feature_layer
from keras_dr.prepared import PreparedSet

__all__ = ["METHODS", "MOST_SCORED", "explain", "heatmaps"]

MOST_SCORED = 200
_BATCH = 8


@dataclass(frozen=True)
class _Job:
    """What is to be explained.

    Attributes:
        prepared: N photographs.
        probabilities: float (N, C).
        methods: keys of `METHODS`, each once.
        board, scored: ascending or ordered indices of the photographs that are shown, and scored.
        seed: of the bootstrap.
    """

    prepared: PreparedSet
    probabilities: NDArray[np.floating]
    methods: list[str]
    board: NDArray[np.int64]
    scored: NDArray[np.int64]
    seed: int

    def wrong(self) -> NDArray[np.bool_]:
        """bool (N,), where the prediction is not the true class; nowhere if the photographs have no grades."""
        predictions = self.probabilities.argmax(axis=1)
        return predictions != self.prepared.labels() if self.prepared.labelled else np.zeros(len(predictions), bool)

    def entry(self, index: int) -> dict[str, Any]:
        """What scores.json says of a photograph, without its scores."""
        row, probabilities = self.prepared.rows[index], self.probabilities[index]
        prediction = self.prepared.task.classes[probabilities.argmax()]
        return {
            "image_id": row["image_id"],
            "label": row["label"],
            "prediction": prediction,
            "confidence": float(probabilities.max()),
            "correct": row["label"] == prediction if row["label"] else None,
            "on_board": index in self.board,
            "scored": index in self.scored,
        }


@dataclass(frozen=True)
class _Explained:
    """Maps, float32 (h, w), and scores of one photograph by method, and the scores of a uniform map."""

    maps: dict[str, NDArray[np.float32]]
    scores: dict[str, Scores]
    uniform: Scores


def explain(
    model: keras.Model,
    prepared: PreparedSet,
    out_folder: Path,
    *,
    n: int = 12,
    methods: Sequence[str] = ("grad-cam",),
    probabilities: NDArray[np.floating] | None = None,
    seed: int = 42,
    score_all: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the explanation of a grader's predictions on a set of photographs; each map is of the predicted class.

    Args:
        model: a grader, see `model.build_model`.
        prepared: one split, N photographs.
        out_folder: folder to write, whole or not at all.
        n: photographs on the board, at least 1.
        methods: keys of `METHODS`.
        probabilities: float (N, C); None: the model's own, without temperature.
        seed: of the choice of photographs and of the bootstrap.
        score_all: score the whole split, or an even sample of `MOST_SCORED` of a larger one; else the board alone.
        overwrite: replace an existing `out_folder`.
        progress: called with (photographs done, photographs in all).

    Returns:
        What scores.json says.

    Raises:
        KerasDrError: `out_folder` exists; an unknown method; photographs, classes or probabilities that do not fit.
    """
    runs.check_target(out_folder, "explanation", overwrite)
    _check(model, prepared, n, methods, probabilities)
    if probabilities is None:
        probabilities = _predict(model, prepared)
    predictions = probabilities.argmax(axis=1)
    labels = prepared.labels() if prepared.labelled else predictions
    board = choose_for_board(labels, predictions, n, seed)
    scored = sample_evenly(labels, MOST_SCORED, seed) if score_all else board
    job = _Job(prepared, probabilities, list(dict.fromkeys(methods)), board, scored, seed)
    # A plan that no other call has: nothing that an interrupted call left is used again.
    with runs.growing_folder(out_folder, "explanation", {"call": uuid.uuid4().hex}, overwrite) as folder:
        explained = _write_maps(model, job, folder / "heatmaps", progress)
        _write_pictures(model.name, job, explained, folder)
        about = _about(model, job, explained)
        runs.write_json(folder / "scores.json", about)
    return about


def _check(
    model: keras.Model,
    prepared: PreparedSet,
    n: int,
    methods: Sequence[str],
    probabilities: NDArray[np.floating] | None,
) -> None:
    """Refuse what does not fit together, before any work."""
    for method in methods:
        find_method(method)
    if not methods:
        raise KerasDrError(f"a heat map method among {', '.join(METHODS)}", "none", "Name one with --method.")
    if n < 1:
        raise KerasDrError("at least 1 photograph on the board", str(n), "Choose another -n.")
    size, classes = model.input_shape[1], len(prepared.task.classes)
    if prepared.preprocessing.size != size:
        found = f"{prepared.preprocessing.size} pixels in {prepared.folder}"
        raise KerasDrError(
            f"photographs of {size} pixels, as {model.name} takes", found, f"Prepare with --size {size}."
        )
    if class_evidence(model).shape[1] != classes:
        remedy = f"Prepare {prepared.folder} for the task that the grader was trained on."
        raise KerasDrError(f"a grader of {classes} classes", f"one of {class_evidence(model).shape[1]}", remedy)
    wanted = (len(prepared.rows), classes)
    if probabilities is not None and probabilities.shape != wanted:
        remedy = "Pass those of exactly these photographs."
        raise KerasDrError(f"probabilities of shape {wanted}", str(probabilities.shape), remedy)


def _images(prepared: PreparedSet, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8 RGB (b, S, S, 3)."""
    return np.stack([prepared.image(int(index)) for index in indices])


def _predict(model: keras.Model, prepared: PreparedSet) -> NDArray[np.float64]:
    """The model's probabilities, float64 (N, C)."""
    total = len(prepared.rows)
    logits = [
        keras.ops.convert_to_numpy(model(_images(prepared, range(start, min(start + _BATCH, total))), training=False))
        for start in range(0, total, _BATCH)
    ]
    return class_probabilities(np.concatenate(logits), len(prepared.task.classes))


def _write_maps(
    model: keras.Model, job: _Job, folder: Path, progress: Callable[[int, int], None] | None
) -> dict[int, _Explained]:
    """Make, score and write the heat maps of every photograph shown or scored, by its index."""
    folder.mkdir()
    chosen = np.union1d(job.board, job.scored)
    explained = {}
    for start in range(0, len(chosen), _BATCH):
        indices = chosen[start : start + _BATCH]
        images, classes = _images(job.prepared, indices), job.probabilities[indices].argmax(axis=1)
        maps = {method: heatmaps(model, images, classes, method, _BATCH) for method in job.methods}
        for position, index in enumerate(indices.tolist()):
            own = {method: batch[position] for method, batch in maps.items()}
            explained[index] = _score(job.prepared, index, own)
            stream = io.BytesIO()
            np.savez(stream, **own)
            runs.write_bytes(folder / f"{job.prepared.rows[index]['image_id']}.npz", stream.getvalue())
        if progress:
            progress(len(explained), len(chosen))
    return explained


def _score(prepared: PreparedSet, index: int, maps: dict[str, NDArray[np.float32]]) -> _Explained:
    """Score maps as the overlay shows them, normalised and enlarged to the photograph."""
    fundus, masks = prepared.fundus(index), prepared.masks(index)
    size = prepared.preprocessing.size
    enlarged = {method: overlay.enlarge(overlay.normalise(heat), size) for method, heat in maps.items()}
    scores = {method: score_heatmap(heat, fundus, masks) for method, heat in enlarged.items()}
    return _Explained(maps, scores, uniform_scores(fundus, masks))


def _write_pictures(backbone: str, job: _Job, explained: dict[int, _Explained], folder: Path) -> None:
    """A board a method, and an overlay for each photograph on it."""
    entries = [job.entry(index) for index in job.board.tolist()]
    images = _images(job.prepared, job.board)
    wrong = job.wrong()
    here = f"{wrong[job.board].sum()} of {len(entries)} here, chosen to hold both"
    note = f"✗ wrong: {here}; {wrong.sum()} of {len(wrong)} in the split" if job.prepared.labelled else ""
    for method in job.methods:
        suffix = f"-{method}" if len(job.methods) > 1 else ""
        rows = [
            BoardRow(
                image,
                explained[index].maps[method],
                entry["label"] or "not graded",
                entry["prediction"],
                entry["confidence"],
                entry["correct"] is not False,
                entry["image_id"],
            )
            for index, image, entry in zip(job.board.tolist(), images, entries, strict=True)
        ]
        title = f"{method} · {backbone} · {job.prepared.name}, {_split(job.prepared)}"
        write_board(folder / f"board{suffix}.png", rows, title, note)
        for row in rows:
            blended = overlay.blend(row.image, row.heatmap)
            runs.write_bytes(folder / "heatmaps" / f"{row.name}{suffix}.png", encode_png(blended))


def _split(prepared: PreparedSet) -> str:
    """The one split of these photographs, or "all"."""
    names = {row["split"] for row in prepared.rows}
    return names.pop() if len(names) == 1 else "all"


def _about(model: keras.Model, job: _Job, explained: dict[int, _Explained]) -> dict[str, Any]:
    """The content of scores.json."""
    total, scored = len(job.prepared.rows), [explained[index] for index in job.scored.tolist()]
    sampling = (
        "whole split"
        if len(scored) == total
        else f"{len(scored)} of {total}, evenly by {'true' if job.prepared.labelled else 'predicted'} class"
    )
    if len(scored) < total and np.array_equal(job.scored, job.board):
        sampling = f"the {len(scored)} of the board, chosen to hold right and wrong predictions"
    uniform = [one.uniform for one in scored]
    return {
        "schema_version": runs.SCHEMA_VERSION,
        "versions": runs.versions(),
        "set": job.prepared.name,
        "split": _split(job.prepared),
        "backbone": model.name,
        "feature_layer": feature_layer(model).name,
        "explained_class": "predicted",
        "photographs_in_split": total,
        "photographs_scored": len(scored),
        "sampling": sampling,
        "seed": job.seed,
        "without_heat": {m: sum(not one.maps[m].any() for one in scored) for m in job.methods},
        "summary": {m: summarise([one.scores[m] for one in scored], uniform, job.seed) for m in job.methods},
        "photographs": [job.entry(index) | {"scores": one.scores} for index, one in explained.items()],
    }
