"""Explain a grader on one split of a Prepared set: look once, make maps, score them, draw, write."""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.encoding import encode_npz
from keras_dr.core.progress import Progress
from keras_dr.explanation.drawing import pictures
from keras_dr.explanation.forward_pass import check_fit, maps_of, survey
from keras_dr.explanation.job import ExplanationOptions, ExtraInputs, Job
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.sampling import choose_for_board, sample_evenly
from keras_dr.explanation.scores import bundle_maps, faithfulness, sanity
from keras_dr.explanation.scores.heat import (
    BASELINES,
    Scores,
    Thresholds,
    find_thresholds,
    finished,
    score_maps,
    summarise,
)
from keras_dr.explanation.scores.sanity import agreement
from keras_dr.preparation.prepared_set import PreparedSet

MOST_SCORED = 200  # photographs whose maps need forward passes of their own


@dataclass
class _Found:
    """Results by photograph, as they come in."""

    maps: dict[int, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    scores: dict[int, dict[str, Scores]] = field(default_factory=dict)
    agreement: dict[int, dict[str, float | None]] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=dict)


def explain_split(
    model: keras.Model,
    data: PreparedSet,
    out_folder: Path,
    options: ExplanationOptions = ExplanationOptions(),
    companions: ExtraInputs = ExtraInputs(),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the explanation of a grader's predictions on photographs; each map is of the predicted class.

    Args:
        model: a grader, see `model.build_model`.
        data: one split, N photographs.
        out_folder: folder to write, whole or not at all.
        options: how many photographs, which methods and scores.
        companions: what else is looked at.
        overwrite: replace an existing `out_folder`.
        progress: called with (done, in all, what).

    Returns:
        What scores.json says.

    Raises:
        KerasDrError: `out_folder` exists; an unknown method or layer; photographs that do not fit.
    """
    folders.check_target(out_folder, "explanation", overwrite)
    explainer = Explainer(model, options.layer, options.temperature)
    options.check(explainer)
    check_fit(explainer, data)
    job = _plan(explainer, data, options, progress)
    # A plan that no other call has: nothing that an interrupted call left is used again.
    with folders.growing_folder(out_folder, "explanation", {"call": uuid.uuid4().hex}, overwrite) as folder:
        found = _make(explainer, job, companions.masked, progress)
        _write_maps(job, found, folder / "heatmaps")
        pictures.write_figures(model.name, explainer, job, found.maps, companions.before, folder)
        about = _about(explainer, job, found, companions) | _cost(explainer, job, found, companions, progress)
        folders.write_json(folder / "scores.json", about)
    return about


def _plan(explainer: Explainer, data: PreparedSet, options: ExplanationOptions, progress: Progress | None) -> Job:
    """Look at all photographs, and choose those to show and those to score."""
    methods = tuple(dict.fromkeys(options.methods))
    seen = survey(explainer, data, methods, progress)
    labels = data.labels() if data.labelled else seen.predictions
    board = choose_for_board(labels, seen.predictions, options.n, options.seed)
    most = len(labels) if all(explainer.is_free(method) for method in methods) else MOST_SCORED
    scored = sample_evenly(labels, most, options.seed) if options.score_all else board
    return Job(data, seen, options, board.tolist(), scored.tolist())


def _make(explainer: Explainer, job: Job, masked: PreparedSet | None, progress: Progress | None) -> _Found:
    """Maps and scores of every photograph shown or scored."""
    methods, found = list(dict.fromkeys(job.options.methods)), _Found()
    chosen = sorted({*job.board, *job.scored})
    if masked:
        others = survey(explainer, masked, methods, progress)
        known = maps_of(explainer, masked, others, range(len(masked.rows)), methods, progress)
        found.thresholds = find_thresholds([score_maps(masked, index, maps) for index, maps in known.items()])
    found.maps = maps_of(explainer, job.data, job.seen, chosen, methods, progress)
    for done, (index, maps) in enumerate(found.maps.items(), start=1):
        found.scores[index] = finished(score_maps(job.data, index, maps), found.thresholds)
        found.agreement[index] = agreement(maps, job.data.fundus(index)) if len(maps) > 1 else {}
        if progress:
            progress(done, len(chosen), "score")
    return found


def _write_maps(job: Job, found: _Found, folder: Path) -> None:
    """An .npz of raw maps a photograph."""
    folder.mkdir()
    for index, maps in found.maps.items():
        (folder / f"{job.data.rows[index]['image_id']}.npz").write_bytes(encode_npz(maps))


def _about(explainer: Explainer, job: Job, found: _Found, companions: ExtraInputs) -> dict[str, Any]:
    """The content of scores.json that needs no further forward passes."""
    scored, seed = job.scored, job.options.seed
    methods = dict.fromkeys(job.options.methods)
    everyone = (*methods, *BASELINES)
    return {
        "schema_version": folders.SCHEMA_VERSION,
        "versions": folders.versions(),
        "set": job.data.name,
        "split": job.split,
        "backbone": explainer.model.name,
        "feature_layer": explainer.layer.name,
        "explained_class": "predicted",
        "photographs_in_split": len(job.data.rows) + companions.left_out,
        "photographs_left_out": companions.left_out,
        "photographs_scored": len(scored),
        "sampling": _sampling(job),
        "seed": seed,
        "without_heat": {m: sum(not found.maps[index][m].any() for index in scored) for m in methods},
        "overlap_thresholds": found.thresholds,
        "overlap_photographs": len(companions.masked.rows) if companions.masked else 0,
        "summary": {name: summarise([found.scores[index][name] for index in scored], seed) for name in everyone},
        "agreement": summarise([found.agreement[index] for index in scored], seed),
        "photographs": [
            job.entry(index) | {"scores": {method: scores[method] for method in methods}}
            for index, scores in found.scores.items()
        ],
    }


def _sampling(job: Job) -> str:
    total = len(job.data.rows)
    if len(job.scored) == total:
        return "whole split"
    if job.scored == job.board:
        return f"the {len(job.scored)} of the board, chosen to hold right and wrong predictions"
    return f"{len(job.scored)} of {total}, evenly by {'true' if job.data.labelled else 'predicted'} class"


def _cost(
    explainer: Explainer, job: Job, found: _Found, companions: ExtraInputs, progress: Progress | None
) -> dict[str, Any]:
    """The scores that need further forward passes, where they are asked for."""
    options, about = job.options, {}
    labels = job.data.labels() if job.data.labelled else job.seen.predictions

    def some(most: int) -> list[int]:
        order = sample_evenly(labels[job.scored], most, options.seed)
        return [job.scored[position] for position in order]

    shared = (explainer, job.data, job.seen)
    if options.faithfulness:
        chosen = some(options.faithfulness)
        about["faithfulness"] = faithfulness.measure_faithfulness(*shared, found.maps, chosen, options.seed, progress)
    if options.sanity:
        chosen = some(options.sanity)
        about["sanity"] = sanity.measure_sanity(*shared, found.maps, chosen, options.seed, progress)
    if companions.bundle:
        chosen = some(bundle_maps.MOST_BUNDLED)
        about["bundle"] = bundle_maps.measure_bundle(*shared, *companions.bundle, chosen, options.seed)
    return about
