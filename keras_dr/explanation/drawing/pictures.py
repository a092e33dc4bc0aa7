"""The pictures of an explanation: one board per method, overlays, before and after fine-tuning, lesions and heat."""

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
from keras_dr.explanation.drawing.canvas import coarse_note
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
    """Write board.png and heatmaps/*.png, and before-after.png and lesions.png where there is something to show.

    Args:
        backbone: the name of the backbone, for the titles.
        explainer: the explainer of the grader.
        job: the photographs and the choice of those to show.
        maps: index -> method -> float32 (h, w), for each photograph on the board.
        before: the grader before fine-tuning, if there is one.
        folder: the folder to write into.
    """
    _write_boards(backbone, job, maps, folder)
    _write_lesions(job, maps, folder / "lesions.png")
    if before is not None and job.data.labelled:
        _write_before_after(
            Explainer(before, None, explainer.temperature, explainer.engine, explainer.decision),
            explainer,
            job,
            folder / "before-after.png",
        )


def _write_boards(backbone: str, job: "Job", maps: Maps, folder: Path) -> None:
    """Write one board per method, and an overlay of each photograph on it."""
    entries = [job.entry(index) for index in job.board]
    images = job.data.images(job.board)
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
        notes = [_board_note(job) if job.data.labelled else "", coarse_note({method: rows[0].heatmap})]
        write_board(folder / f"board{suffix}.png", rows, title, "; ".join(filter(None, notes)))
        for row in rows:
            blended = overlay.blend(row.image, row.heatmap)
            folders.write_bytes(folder / "heatmaps" / f"{row.name}{suffix}.png", encode_png(blended))


def _board_note(job: "Job") -> str:
    """The numbers of wrong predictions on the board and in the split, as text."""
    wrong = job.wrong()
    on_board = f"{wrong[job.board].sum()} of {len(job.board)} here, chosen to include right and wrong ones"
    return f"✗ wrong: {on_board}; {wrong.sum()} of {len(wrong)} in the split"


def _write_lesions(job: "Job", maps: Maps, file: Path) -> None:
    """Draw the outlines of the masks on photographs of the board that have masks, and on their overlays."""
    masks = {index: job.data.masks(index) for index in job.board}
    chosen = [index for index in job.board if masks[index]][:MOST_LESION_ROWS]
    if not chosen:
        return
    colours = lesion_colours(list({kind for index in chosen for kind in masks[index]}))
    rows = []
    for index in chosen:
        entry = job.entry(index)
        image = job.data.image(index)
        title = f"{entry['image_id']}: {verdict(entry['prediction'], entry['confidence'])}"
        cells = [Cell(image, title, entry["correct"] is False)]
        for method, heat in list(maps[index].items())[:MOST_LESION_METHODS]:
            cells.append(overlaid(image, heat, method))
        rows.append([Cell(with_contours(cell.image, masks[index], colours), cell.title, cell.wrong) for cell in cells])
    title = f"Lesions and heat of the predicted class · {job.data.name}, {job.split}"
    notes = ["outlines: lesions marked by ophthalmologists", coarse_note(maps[chosen[0]])]
    write_sheet(file, rows, title, "; ".join(filter(None, notes)), colours)


def _write_before_after(before: Explainer, after: Explainer, job: "Job", file: Path) -> None:
    """Draw one photograph per class with Grad-CAM of the grader before (frozen backbone) and after fine-tuning."""
    first_of_class: dict[str, int] = {}
    for index in job.board:
        first_of_class.setdefault(job.data.rows[index]["label"], index)
    rows = []
    for label, index in first_of_class.items():
        image = job.data.image(index)
        cells = [Cell(image, f"true: {label}")]
        for stage, explainer in (("frozen backbone", before), ("fine-tuned", after)):
            probabilities, _ = explainer.predict(image[None])
            predicted = int(decide(probabilities, explainer.decision)[0])
            predicted_name = job.data.task.classes[predicted]
            heat = explainer.heatmaps(image[None], np.array([predicted]))[0]
            title = f"{stage}: {verdict(predicted_name, probabilities[0, predicted])}"
            cells.append(overlaid(image, heat, title, predicted_name != label))
        rows.append(cells)
    title = f"Before and after fine-tuning · grad-cam · {job.data.name}, {job.split}"
    write_sheet(file, rows, title, "one photograph per class; red: not the true class")
