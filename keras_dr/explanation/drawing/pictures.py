"""The pictures of an explanation: a board a method, overlays, before and after fine-tuning, lesions under the heat."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders, overlay
from keras_dr.core.decision import decide
from keras_dr.core.encoding import encode_png
from keras_dr.explanation.drawing.boards import BoardRow, write_board
from keras_dr.explanation.drawing.sheets import Cell, lesion_colours, overlaid, verdict, with_contours, write_sheet
from keras_dr.explanation.methods import Explainer

if TYPE_CHECKING:
    from keras_dr.explanation.job import Job

MOST_LESION_ROWS = 6
MOST_LESION_METHODS = 4
Maps = Mapping[int, Mapping[str, NDArray[np.float32]]]


def write_figures(
    backbone: str, explainer: Explainer, job: "Job", maps: Maps, before: keras.Model | None, folder: Path
) -> None:
    """board.png, heatmaps/*.png, and where there is something to show before-after.png and lesions.png.

    `maps` holds for each photograph shown a float32 (h, w) a method.
    """
    _write_boards(backbone, job, maps, folder)
    _write_lesions(job, maps, folder / "lesions.png")
    if before is not None and job.data.labelled:
        _write_before_after(Explainer(before, None, explainer.temperature), explainer, job, folder / "before-after.png")


def _write_boards(backbone: str, job: "Job", maps: Maps, folder: Path) -> None:
    """A board a method, and an overlay for each photograph on it."""
    entries, images, wrong = [job.entry(index) for index in job.board], job.data.images(job.board), job.wrong()
    here = f"{wrong[job.board].sum()} of {len(entries)} here, chosen to hold both"
    note = f"✗ wrong: {here}; {wrong.sum()} of {len(wrong)} in the split" if job.data.labelled else ""
    methods = list(maps[job.board[0]])
    for method in methods:
        suffix = f"-{method}" if len(methods) > 1 else ""
        rows = [
            BoardRow(
                image,
                maps[index][method],
                entry["label"] or "not graded",
                entry["prediction"],
                entry["confidence"],
                entry["correct"] is not False,
                entry["image_id"],
            )
            for index, image, entry in zip(job.board, images, entries, strict=True)
        ]
        title = f"{method} · {backbone} · {job.data.name}, {job.split}"
        write_board(folder / f"board{suffix}.png", rows, title, note)
        for row in rows:
            blended = overlay.blend(row.image, row.heatmap)
            folders.write_bytes(folder / "heatmaps" / f"{row.name}{suffix}.png", encode_png(blended))


def _write_lesions(job: "Job", maps: Maps, file: Path) -> None:
    """Outlines of the masks on the photograph and on its overlays, of photographs on the board that have masks."""
    masks = {index: found for index in job.board if (found := job.data.masks(index))}
    chosen = list(masks)[:MOST_LESION_ROWS]
    if not chosen:
        return
    colours = lesion_colours(list({kind: None for index in chosen for kind in masks[index]}))
    rows = []
    for index in chosen:
        entry, image = job.entry(index), job.data.image(index)
        said = verdict(entry["prediction"], entry["confidence"])
        cells = [Cell(image, f"{entry['image_id']}: {said}", entry["correct"] is False)]
        cells += [overlaid(image, heat, method) for method, heat in list(maps[index].items())[:MOST_LESION_METHODS]]
        rows.append([Cell(with_contours(one.image, masks[index], colours), one.title, one.wrong) for one in cells])
    title = f"Lesions and heat of the predicted class · {job.data.name}, {job.split}"
    write_sheet(file, rows, title, "outlines: what ophthalmologists marked", colours)


def _write_before_after(before: Explainer, after: Explainer, job: "Job", file: Path) -> None:
    """One photograph a class: Grad-CAM of the grader with its backbone frozen, and fine-tuned."""
    first: dict[str, int] = {}
    for index in job.board:
        first.setdefault(job.data.rows[index]["label"], index)
    rows = []
    for label, index in first.items():
        image = job.data.image(index)
        cells = [Cell(image, f"true: {label}")]
        for name, explainer in (("frozen backbone", before), ("fine-tuned", after)):
            probabilities, _ = explainer.look(image[None])
            best = int(decide(probabilities, explainer.decision)[0])
            heat = explainer.heatmaps(image[None], np.array([best]))[0]
            said = verdict(job.data.task.classes[best], probabilities[0, best])
            cells.append(overlaid(image, heat, f"{name}: {said}", job.data.task.classes[best] != label))
        rows.append(cells)
    title = f"Before and after fine-tuning · grad-cam · {job.data.name}, {job.split}"
    write_sheet(file, rows, title, "one photograph a class; red: not the true class")
