"""The explanation of one photograph: all methods, the predicted class and its rival, and what changes the decision."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.decision import Decision, decide
from keras_dr.core.encoding import encode_npz
from keras_dr.core.errors import KerasDrError
from keras_dr.core.names import class_words
from keras_dr.core.overlay import enlarge
from keras_dr.core.progress import Progress
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.explanation.drawing.canvas import coarse_note
from keras_dr.explanation.drawing.sheets import AGAINST, FOR, Cell, blend_signed, overlaid, verdict, write_sheet
from keras_dr.explanation.forward_pass import check_fit
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.explanation.scores import faithfulness
from keras_dr.explanation.scores.heat import combine_scores, score_maps
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
    engine: str = "closed-form",
    decision: Decision | None = None,
) -> dict[str, Any]:
    """Write explanation.png, heatmaps.npz (float32 (2, h, w) per method) and scores.json of one photograph.

    Args:
        model: a grader.
        data: a Prepared set.
        index: the index of the photograph in the set.
        out_folder: the folder to write; it is written completely or not at all.
        methods: keys of `METHODS`; each is one row of the figure.
        temperature: the temperature of the grader, > 0.
        overwrite: whether an existing `out_folder` is replaced; by default it is refused.
        progress: called with (methods done, number of methods, name of the method).
        engine: one of `methods.ENGINES`.
        decision: how the class is decided, see `decision.decide`; None: by the kind of head.

    Returns:
        The content of scores.json: the probabilities, the predicted class, and the scores of its maps. For each method,
        it also holds the smallest share of the fundus, hottest pixels first, whose blurring changes the decision, and
        the class that is then predicted.

    Raises:
        KerasDrError: `out_folder` exists; a method does not fit the grader; the photograph does not fit the grader.
    """
    folders.check_target(out_folder, "explanation", overwrite)
    explainer = Explainer(model, None, temperature, engine, decision)
    for method in methods:
        explainer.find_method(method)
    check_fit(explainer, data)
    image = data.image(index)
    probabilities = explainer.predict(image[None])[0][0]
    top = _predicted_and_rival(probabilities, explainer.decision)
    class_names = [data.task.classes[class_index] for class_index in top]
    rows = [_first_row(explainer, data, index, probabilities, top)]
    maps: dict[str, NDArray[np.float32]] = {}
    changes: dict[str, dict[str, Any]] = {}
    for done, method in enumerate(methods, start=1):
        maps[method] = np.stack(
            [explainer.heatmaps(image[None], np.array([class_index]), method)[0] for class_index in top]
        )
        changes[method], changed_cell = _change(explainer, data, index, maps[method][0], int(top[0]))
        row = [overlaid(image, heat, f"{method}: {name}") for heat, name in zip(maps[method], class_names, strict=True)]
        rows.append([*row, changed_cell])
        if progress:
            progress(done, len(methods), method)
    predicted_maps = {method: both[0] for method, both in maps.items()}
    scores = combine_scores(score_maps(data, index, predicted_maps), {})
    about = _about(data, index, probabilities, int(top[0]), changes) | {"scores": scores}
    _write(out_folder, rows, maps, about, class_names, overwrite)
    return about


def _predicted_and_rival(probabilities: NDArray[np.floating], decision: Decision) -> NDArray[np.int64]:
    """The predicted class and the most probable other one, int64 (2,), of the probabilities float (C,)."""
    predicted = int(decide(probabilities[None], decision)[0])
    by_probability = np.argsort(-probabilities, kind="stable")
    rival = next(int(class_index) for class_index in by_probability if class_index != predicted)
    return np.array([predicted, rival])


def _first_row(
    explainer: Explainer,
    data: PreparedSet,
    index: int,
    probabilities: NDArray[np.floating],
    top: NDArray[np.integer],
) -> list[Cell]:
    """The photograph, and a map of where the evidence favours the predicted class over its rival."""
    image = data.image(index)
    class_names = data.task.classes
    label = data.rows[index]["label"] or "not graded"
    wrong = label in class_names and class_names[top[0]] != label
    row = [Cell(image, f"true: {label} / predicted: {verdict(class_names[top[0]], probabilities[top[0]])}", wrong)]
    try:
        evidence = model_evidence(explainer.predict(image[None])[1], explainer.model)[0]
    except KerasDrError:  # without a linear head the evidence does not add up to the score
        return row
    difference = evidence[..., top[0]] - evidence[..., top[1]]
    if not difference.any():  # two steps of an ordinal head, which have the same evidence
        return row
    title = f"evidence: {class_names[top[0]]} minus {class_names[top[1]]}"
    return [*row, Cell(blend_signed(image, difference), title)]


def _change(
    explainer: Explainer, data: PreparedSet, index: int, heatmap: NDArray[np.floating], target: int
) -> tuple[dict[str, Any], Cell]:
    """The smallest share of the fundus, hottest pixels first, whose blurring changes the decision, and a picture of it.

    Args:
        explainer: the explainer of the grader.
        data: the set of the photograph.
        index: the index of the photograph in the set.
        heatmap: float (h, w), the map of the class `target`.
        target: the predicted class.
    """
    image = data.image(index)
    fundus = faithfulness.lit(image, data.fundus(index))
    ranks = faithfulness.rank_pixels(enlarge(heatmap, image.shape[0]), fundus, seed=42)
    blurred_images = faithfulness.deletions(image, ranks, faithfulness.blurred(image, fundus))
    probabilities = faithfulness.probabilities(lambda batch: explainer.predict(batch)[0], blurred_images)
    decisions = decide(probabilities, explainer.decision)
    changed = np.flatnonzero(decisions != target)
    if not len(changed):
        last_image = np.rint(blurred_images[-1]).astype(np.uint8)
        return {"blurred_share": None, "becomes": None}, Cell(last_image, "blurring the whole fundus changes nothing")
    step = int(changed[0])
    name = data.task.classes[decisions[step]]
    share = step / faithfulness.STEPS
    changed_image = np.clip(np.rint(blurred_images[step]), 0, 255).astype(np.uint8)
    title = f"hottest {share:.0%} blurred: {verdict(name, probabilities[step, decisions[step]])}"
    return {"blurred_share": share, "becomes": name}, Cell(changed_image, title)


def _about(
    data: PreparedSet, index: int, probabilities: NDArray[np.floating], predicted: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """The content of scores.json without the scores."""
    row = data.rows[index]
    classes = data.task.classes
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
    class_names: Sequence[str],
    overwrite: bool,
) -> None:
    """Write the folder; `class_names` are the predicted class and its rival."""
    predicted, rival = class_names
    title = f"{about['image_id']} · {about['set']}, {about['split']}"
    notes = [*(verdict(name, value) for name, value in about["probabilities"].items()), coarse_note(maps)]
    note = "; ".join(filter(None, notes))
    legend = {f"for {predicted}": FOR, f"for {rival}": AGAINST}
    with folders.growing_folder(out_folder, "explanation", {"call": uuid.uuid4().hex}, overwrite) as folder:
        write_sheet(folder / "explanation.png", rows, title, class_words(note), legend)
        folders.write_bytes(folder / "heatmaps.npz", encode_npz(maps))
        folders.write_json(folder / "scores.json", about)
