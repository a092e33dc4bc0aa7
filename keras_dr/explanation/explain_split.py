"""Explains a grader on one split of a Prepared set: one forward pass, heat maps, their scores, pictures, files."""

import uuid
from collections.abc import Sequence
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
from keras_dr.explanation.forward_pass import check_fit, maps_of, survey_photographs
from keras_dr.explanation.job import ExplanationOptions, ExtraInputs, Job
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.sampling import choose_for_board, sample_evenly
from keras_dr.explanation.scores import bundle_maps, faithfulness, sanity
from keras_dr.explanation.scores.explained import Explained
from keras_dr.explanation.scores.heat import (
    BASELINES,
    Scores,
    Thresholds,
    combine_scores,
    find_thresholds,
    score_maps,
    summarise,
)
from keras_dr.explanation.scores.sanity import agreement
from keras_dr.preparation.prepared_set import PreparedSet

MOST_SCORED = 200  # the largest number of photographs that are scored if their maps need further forward passes


@dataclass
class _Results:
    """Results by index of the photograph, filled as they are computed."""

    maps: dict[int, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    scores: dict[int, dict[str, Scores]] = field(default_factory=dict)
    agreement: dict[int, dict[str, float | None]] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=dict)


def explain_split(
    model: keras.Model,
    data: PreparedSet,
    out_folder: Path,
    options: ExplanationOptions = ExplanationOptions(),
    extra: ExtraInputs = ExtraInputs(),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the explanation of a grader's predictions on photographs; each map is of the predicted class.

    Args:
        model: a grader, see `grader.build_model`.
        data: one split, N photographs.
        out_folder: the folder to write; it is written completely or not at all.
        options: how many photographs, which methods and scores.
        extra: further inputs, such as photographs with masks and the grader before fine-tuning.
        overwrite: whether an existing `out_folder` is replaced; by default it is refused.
        progress: called with (items done, number of items, name of the stage).

    Returns:
        The content of scores.json.

    Raises:
        KerasDrError: `out_folder` exists, a method or the layer is unknown, or the photographs do not fit the grader.
    """
    folders.check_target(out_folder, "explanation", overwrite)
    explainer = Explainer(model, options.layer, options.temperature, options.engine, options.decision)
    options.check(explainer)
    check_fit(explainer, data)
    job = _plan(explainer, data, options, progress)
    # The plan differs from that of any other call, so that nothing left by an interrupted call is used again.
    with folders.growing_folder(out_folder, "explanation", {"call": uuid.uuid4().hex}, overwrite) as folder:
        results = _compute(explainer, job, extra.masked, progress)
        _write_maps(job, results, folder / "heatmaps")
        pictures.write_figures(model.name, explainer, job, results.maps, extra.before, folder)
        about = _about(explainer, job, results, extra) | _further_scores(explainer, job, results, extra, progress)
        folders.write_json(folder / "scores.json", about)
    return about


def _plan(explainer: Explainer, data: PreparedSet, options: ExplanationOptions, progress: Progress | None) -> Job:
    """Grade all photographs, and choose those to show and those to score."""
    methods = _distinct_methods(options)
    survey = survey_photographs(explainer, data, methods, progress)
    labels = data.labels() if data.labelled else survey.predictions
    board = choose_for_board(labels, survey.predictions, options.n, options.seed)
    scored = board
    if options.score_all:
        maps_are_free = all(explainer.is_free(method) for method in methods)
        scored = sample_evenly(labels, len(labels) if maps_are_free else MOST_SCORED, options.seed)
    return Job(data, survey, options, board.tolist(), scored.tolist())


def _distinct_methods(options: ExplanationOptions) -> list[str]:
    """The methods in the given order, without repetitions."""
    return list(dict.fromkeys(options.methods))


def _compute(explainer: Explainer, job: Job, masked: PreparedSet | None, progress: Progress | None) -> _Results:
    """The maps and scores of every photograph that is shown or scored."""
    methods = _distinct_methods(job.options)
    results = _Results()
    chosen = sorted({*job.board, *job.scored})
    if masked:
        masked_survey = survey_photographs(explainer, masked, methods, progress)
        masked_maps = maps_of(explainer, masked, masked_survey, range(len(masked.rows)), methods, progress)
        results.thresholds = find_thresholds([score_maps(masked, index, maps) for index, maps in masked_maps.items()])
    results.maps = maps_of(explainer, job.data, job.survey, chosen, methods, progress)
    for done, (index, maps) in enumerate(results.maps.items(), start=1):
        results.scores[index] = combine_scores(score_maps(job.data, index, maps), results.thresholds)
        results.agreement[index] = agreement(maps, job.data.fundus(index)) if len(maps) > 1 else {}
        if progress:
            progress(done, len(chosen), "score")
    return results


def _write_maps(job: Job, results: _Results, folder: Path) -> None:
    """Write one .npz file of raw maps per photograph."""
    folder.mkdir()
    for index, maps in results.maps.items():
        (folder / f"{job.data.rows[index]['image_id']}.npz").write_bytes(encode_npz(maps))


def _about(explainer: Explainer, job: Job, results: _Results, extra: ExtraInputs) -> dict[str, Any]:
    """The content of scores.json that needs no further forward passes."""
    seed = job.options.seed
    methods = _distinct_methods(job.options)
    scored = job.scored
    summaries = {
        name: summarise([results.scores[index][name] for index in scored], seed) for name in (*methods, *BASELINES)
    }
    photographs = []
    for index, scores in results.scores.items():
        photographs.append(job.entry(index) | {"scores": {method: scores[method] for method in methods}})
    return {
        "schema_version": folders.SCHEMA_VERSION,
        "versions": folders.versions(),
        "set": job.data.name,
        "split": job.split,
        "backbone": explainer.model.name,
        "feature_layer": explainer.layer.name,
        "explained_class": "predicted",
        "photographs_in_split": len(job.data.rows) + extra.left_out,
        "photographs_left_out": extra.left_out,
        "photographs_scored": len(scored),
        "sampling": _sampling(job),
        "seed": seed,
        "without_heat": {method: _count_without_heat(results, scored, method) for method in methods},
        "overlap_thresholds": results.thresholds,
        "overlap_photographs": len(extra.masked.rows) if extra.masked else 0,
        "summary": summaries,
        "agreement": summarise([results.agreement[index] for index in scored], seed),
        "photographs": photographs,
    }


def _count_without_heat(results: _Results, indices: Sequence[int], method: str) -> int:
    """The number of these photographs whose map is zero everywhere."""
    return sum(not results.maps[index][method].any() for index in indices)


def _sampling(job: Job) -> str:
    """How the scored photographs were chosen, in words."""
    total = len(job.data.rows)
    if len(job.scored) == total:
        return "whole split"
    if job.scored == job.board:
        return f"the {len(job.scored)} on the board, chosen to include right and wrong predictions"
    return f"{len(job.scored)} of {total}, in proportion to the {'true' if job.data.labelled else 'predicted'} classes"


def _further_scores(
    explainer: Explainer, job: Job, results: _Results, extra: ExtraInputs, progress: Progress | None
) -> dict[str, Any]:
    """The scores that need further forward passes, if they are requested."""
    options = job.options
    about: dict[str, Any] = {}
    explained = Explained(explainer, job.data, job.survey, results.maps, options.seed)
    labels = job.data.labels() if job.data.labelled else job.survey.predictions

    def sample(most: int) -> list[int]:
        positions = sample_evenly(labels[job.scored], most, options.seed)
        return [job.scored[position] for position in positions]

    if options.faithfulness:
        about["faithfulness"] = faithfulness.measure_faithfulness(explained, sample(options.faithfulness), progress)
    if options.sanity:
        about["sanity"] = sanity.measure_sanity(explained, sample(options.sanity), progress)
    if extra.bundle:
        bundle_folder, model_sha256 = extra.bundle
        indices = sample(bundle_maps.MOST_BUNDLED)
        about["bundle"] = bundle_maps.measure_bundle(explained, bundle_folder, model_sha256, indices)
    return about
