"""Everything about one photograph: all methods, the predicted class and its rival, and what would change that."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import decide
from keras_dr.core.encoding import encode_npz
from keras_dr.core.errors import KerasDrError
from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.explanation.drawing.sheets import AGAINST, FOR, Cell, blend_signed, overlaid, verdict, write_sheet
from keras_dr.explanation.forward_pass import check_fit
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.explanation.scores import faithfulness
from keras_dr.explanation.scores.heat import finished, score_maps
from keras_dr.preparation.prepared_set import PreparedSet


def explain_photograph(
    model: keras.Model,
    data: PreparedSet,
    index: int,
    out_folder: Path,
    methods: Sequence[str] = tuple(METHODS),
    temperature: float = 1.0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write explanation.png, heatmaps.npz (float32 (2, h, w) a method) and scores.json of one photograph.

    Args:
        model: a grader.
        data: a Prepared set.
        index: which of its photographs.
        out_folder: folder to write, whole or not at all.
        methods: keys of `METHODS`, each a row of the figure.
        temperature: of the grader, > 0.
        overwrite: replace an existing `out_folder`.
        progress: called with (methods done, methods, method).

    Returns:
        What scores.json says: probabilities, the two classes, scores of the first one's maps, and for each method
        the smallest share of the fundus, hottest first, whose blurring changes the decision, and to what.

    Raises:
        KerasDrError: `out_folder` exists; a method that does not fit; photographs that do not fit.
    """
    folders.check_target(out_folder, "explanation", overwrite)
    explainer = Explainer(model, None, temperature)
    for method in methods:
        explainer.find_method(method)
    check_fit(explainer, data)
    image = data.image(index)
    probabilities = explainer.look(image[None])[0][0]
    first = int(decide(probabilities[None], explainer.decision)[0])
    top = np.array([first, *[one for one in np.argsort(-probabilities, kind="stable") if one != first][:1]])
    rows, maps, changes = [_first_row(explainer, data, index, probabilities, top)], {}, {}
    for done, method in enumerate(methods, start=1):
        maps[method] = np.stack([explainer.heatmaps(image[None], np.array([one]), method)[0] for one in top])
        changes[method], last = _change(explainer, data, index, maps[method][0], int(top[0]))
        names = [data.task.classes[one] for one in top]
        cells = [overlaid(image, heat, f"{method}: {name}") for heat, name in zip(maps[method], names, strict=True)]
        rows.append([*cells, last])
        if progress:
            progress(done, len(methods), method)
    scores = finished(score_maps(data, index, {method: both[0] for method, both in maps.items()}), {})
    about = _about(data, index, probabilities, first, changes) | {"scores": scores}
    _write(out_folder, rows, maps, about, [data.task.classes[one] for one in top], overwrite)
    return about


def _first_row(
    explainer: Explainer,
    data: PreparedSet,
    index: int,
    probabilities: NDArray[np.floating],
    top: NDArray[np.integer],
) -> list[Cell]:
    """The photograph, and where the evidence speaks for the first class rather than the second."""
    image, names = data.image(index), data.task.classes
    label = data.rows[index]["label"] or "not graded"
    wrong = label in names and names[top[0]] != label
    row = [Cell(image, f"true: {label}; {verdict(names[top[0]], probabilities[top[0]])}", wrong)]
    try:
        evidence = model_evidence(explainer.look(image[None])[1], explainer.model)[0]
    except KerasDrError:  # no linear head: no evidence that adds up
        return row
    difference = evidence[..., top[0]] - evidence[..., top[1]]
    if not difference.any():  # two steps of an ordinal head, for which the same speaks
        return row
    return [*row, Cell(blend_signed(image, difference), f"evidence: {names[top[0]]} less {names[top[1]]}")]


def _change(
    explainer: Explainer, data: PreparedSet, index: int, heatmap: NDArray[np.floating], target: int
) -> tuple[dict[str, Any], Cell]:
    """The least share of the fundus, hottest first, whose blurring changes the decision, and the photograph then."""
    image = data.image(index)
    fundus = faithfulness.lit(image, data.fundus(index))
    ranks = faithfulness.rank_pixels(enlarge(heatmap, image.shape[0]), fundus, seed=42)
    tried = faithfulness.deletions(image, ranks, faithfulness.blurred(image, fundus))
    said = faithfulness.probabilities(lambda some: explainer.look(some)[0], tried)
    decided = decide(said, explainer.decision)
    changed = np.flatnonzero(decided != target)
    if not len(changed):
        shown = np.rint(tried[-1]).astype(np.uint8)
        return {"blurred_share": None, "becomes": None}, Cell(shown, "blurring all of it changes nothing")
    step = int(changed[0])
    name, share = data.task.classes[decided[step]], step / faithfulness.STEPS
    shown = np.clip(np.rint(tried[step]), 0, 255).astype(np.uint8)
    cell = Cell(shown, f"hottest {share:.0%} blurred: {verdict(name, said[step, decided[step]])}")
    return {"blurred_share": share, "becomes": name}, cell


def _about(
    data: PreparedSet, index: int, probabilities: NDArray[np.floating], predicted: int, changes: dict[str, Any]
) -> dict[str, Any]:
    row, classes = data.rows[index], data.task.classes
    return {
        "schema_version": folders.SCHEMA_VERSION,
        "versions": folders.versions(),
        "set": data.name,
        "image_id": row["image_id"],
        "split": row["split"],
        "label": row["label"],
        "prediction": classes[predicted],
        "probabilities": dict(zip(classes, probabilities.tolist(), strict=True)),
        "decision_changes": changes,
    }


def _write(
    out_folder: Path,
    rows: list[list[Cell]],
    maps: dict[str, NDArray[np.float32]],
    about: dict[str, Any],
    names: Sequence[str],
    again: bool,
) -> None:
    first, second = names
    title = f"{about['image_id']} · {about['set']}, {about['split']}"
    note = "; ".join(verdict(name, value) for name, value in about["probabilities"].items())
    with folders.growing_folder(out_folder, "explanation", {"call": uuid.uuid4().hex}, again) as folder:
        legend = {f"for {first}": FOR, f"for {second}": AGAINST}
        write_sheet(folder / "explanation.png", rows, title, note.replace("_", " "), legend)
        folders.write_bytes(folder / "heatmaps.npz", encode_npz(maps))
        folders.write_json(folder / "scores.json", about)
