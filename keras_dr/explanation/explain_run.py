"""Explains the predictions of a Run on photographs that it was not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from edge_demo.shipped import find_bundle
from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress
from keras_dr.explanation.explain_photograph import explain_photograph
from keras_dr.explanation.explain_split import explain_split
from keras_dr.explanation.job import ExplanationOptions, ExtraInputs
from keras_dr.models.keras_files import load_grader
from keras_dr.preparation.audit import seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.explanation import explanation_text, photograph_text
from keras_dr.training.run import Run

# Methods of a sheet of one photograph unless others are named: the one that is most faithful and the finest one.
ON_SHEET = ("grad-cam", "layercam-4x")
MOST_MASKED = 20  # the largest number of photographs with masks on which the thresholds of the overlap are chosen


@dataclass(frozen=True)
class Explanation:
    """Heat maps of a run's predictions, and their scores.

    Attributes:
        folder: the folder with the pictures, heatmaps/ and scores.json.
        scores: the content of scores.json.
    """

    folder: Path
    scores: dict[str, Any]

    def __str__(self) -> str:
        """The scores as tables."""
        return photograph_text(self.scores) if "decision_changes" in self.scores else explanation_text(self.scores)


def explain(
    run: Run | Path | str,
    data: PreparedSet | Path | str | None = None,
    split: str = "test",
    *,
    n: int = 12,
    methods: Sequence[str] | None = None,
    layer: str | None = None,
    engine: str = "closed-form",
    image_id: str | None = None,
    faithfulness: int = 0,
    sanity: int = 0,
    bundle: Path | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Draw heat maps that show where a run sees its evidence, and measure how much lies on the fundus and on lesions.

    Args:
        run: the grader, or its folder.
        data: the Prepared set; by default the run's own. Photographs of another set that the run was trained on are
            left out.
        split: the split to explain: "train", "val", "test", "calibration" or "all"; by default "test".
        n: the number of photographs on the board; by default 12.
        methods: keys of `METHODS`; by default "grad-cam", and "layercam-4x" as well if `image_id` is given.
        layer: the layer at which methods that work at any layer make their maps; by default the feature layer.
        engine: "closed-form", the default, computes Grad-CAM, Grad-CAM++ and LayerCAM from the forward pass where that
            is exact; "tf-keras-vis" makes the maps of all methods that it has with tf-keras-vis.
        image_id: the photograph to explain instead of a split, whatever its split; by default a split is explained.
        faithfulness: the number of photographs for deletion and insertion; by default 0.
        sanity: the number of photographs for the check with randomised weights; by default 0.
        bundle: the bundle that was exported from the run, whose heat maps are compared; by default none.
        overwrite: whether an existing explanation is replaced; by default it is refused.
        progress: called with (items done, number of items, name of the stage); by default nothing is called.

    Returns:
        The explanation.

    Raises:
        KerasDrError: the run, set, split, photograph, method or layer does not exist; the run was trained on all of
            these photographs; or the explanation exists already.

    Example:
        >>> maps = dr.explain("runs/idrid", n=10, methods=["grad-cam", "grad-cam++"])
        >>> maps.scores["summary"]["grad-cam"]["share_outside_fundus"]["mean"]
        0.02
    """
    run = Run.load(run)
    if image_id is not None:
        chosen = tuple(methods or ON_SHEET)
        folder, scores = explain_run_photograph(run, data, image_id, chosen, overwrite, progress, engine)
    else:
        chosen = tuple(methods or ("grad-cam",))
        options = ExplanationOptions(n, chosen, layer, faithfulness=faithfulness, sanity=sanity, engine=engine)
        bundle_folder = find_bundle(bundle) if bundle is not None else None
        folder, scores = explain_run(run, data, split, options, bundle_folder, overwrite, progress)
    return Explanation(folder, scores)


def explain_run(
    run: Run,
    source: PreparedSet | Path | str | None,
    split: str,
    options: ExplanationOptions,
    bundle: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Explain a run on a split of its own set, or on the photographs of another set that it was not trained on.

    Args:
        run: the grader.
        source: the Prepared set; None: the run's own.
        split: "train", "val", "test", "calibration" or "all".
        options: the options of the explanation; their temperature and decision are replaced by the run's.
        bundle: the bundle that was exported from the run, whose heat maps are compared; by default none.
        overwrite: whether an existing result is replaced; by default it is refused.
        progress: called with (items done, number of items, name of the stage).

    Returns:
        The folder of the result, and the content of its scores.json.

    Raises:
        KerasDrError: see `explain_split`; or the run was trained on all of these photographs.
    """
    whole_set = run.prepared_set(source)
    data = whole_set.split(split)
    explained = data
    if not run.is_own(whole_set):
        explained = _without_learned_photographs(run, data, split)
    extra = ExtraInputs(
        masked=_masked(whole_set, explained),
        before=_before(run),
        bundle=(bundle, run.about["model_sha256"]) if bundle else None,
        left_out=len(data.rows) - len(explained.rows),
    )
    target = run.folder / "explanations" / run.result_name(data, split)
    options = replace(options, temperature=run.temperature, decision=run.rule)
    return target, explain_split(run.model(), explained, target, options, extra, overwrite, progress)


def _without_learned_photographs(run: Run, data: PreparedSet, split: str) -> PreparedSet:
    """Return the photographs of another set that the run was not trained on; refuse a split that has none.

    Copies of validation photographs are kept, as the run's own split "val" may be explained too: no weights were fitted
    to them.
    """
    is_learned = seen_in(run.own_set(), data) == "train"
    if is_learned.all():
        message = f"{run.folder} was trained on all photographs in the split {split} of {data.folder}."
        raise KerasDrError(message, "Choose another --split.")
    return replace(data, rows=tuple(row for row, learned in zip(data.rows, is_learned, strict=True) if not learned))


def explain_run_photograph(
    run: Run,
    source: PreparedSet | Path | str | None,
    image_id: str,
    methods: tuple[str, ...],
    overwrite: bool = False,
    progress: Progress | None = None,
    engine: str = "closed-form",
) -> tuple[Path, dict[str, Any]]:
    """Explain one photograph of a Prepared set, whatever its split; arguments and result as for `explain_run`.

    Raises:
        KerasDrError: there is no such photograph; see `explain_photograph`.
    """
    data = run.prepared_set(source)
    index = data.index_of(image_id)
    target = run.folder / "explanations" / run.result_name(data, image_id)
    about = explain_photograph(
        run.model(), data, index, target, methods, run.temperature, overwrite, progress, engine, run.rule
    )
    return target, about


def _masked(whole_set: PreparedSet, explained: PreparedSet) -> PreparedSet | None:
    """Return at most `MOST_MASKED` training and validation photographs with masks that are not explained themselves.

    None if there are no such photographs.
    """
    if not (whole_set.folder / "masks").is_dir():
        return None
    explained_ids = {row["image_id"] for row in explained.rows}
    rows = tuple(
        row for row in whole_set.rows if row["split"] in ("train", "val") and row["image_id"] not in explained_ids
    )
    candidates = replace(whole_set, rows=rows)
    masked = tuple(row for index, row in enumerate(rows) if candidates.masks(index))
    if not masked:
        return None
    step = math.ceil(len(masked) / MOST_MASKED)
    return replace(whole_set, rows=masked[::step])


def _before(run: Run) -> keras.Model | None:
    """Return the grader before fine-tuning, if it was kept in addition to the fine-tuned one."""
    file = run.folder / "frozen.keras"
    if run.about.get("kept") != "finetune" or not file.is_file():
        return None
    return load_grader(file)
