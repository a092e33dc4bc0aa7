"""What `cli.py explain` asks for: a Run, photographs that it has not learned from, and what to measure on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress
from keras_dr.explanation.explain_photograph import explain_photograph
from keras_dr.explanation.explain_split import explain_split
from keras_dr.explanation.job import ExplanationOptions, ExtraInputs
from keras_dr.explanation.methods import METHODS
from keras_dr.models.keras_files import load_grader
from keras_dr.preparation.audit import seen_in
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.explanation import explanation_text, photograph_text
from keras_dr.training.run import Run

MOST_MASKED = 20  # photographs on whose masks the overlap's thresholds are chosen


@dataclass(frozen=True)
class Explanation:
    """Heat maps of a run's predictions, and their scores.

    Attributes:
        folder: with the pictures, heatmaps/ and scores.json.
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
    """Draw heat maps of where a run saw its evidence, and measure how much of it lies on the fundus and on lesions.

    Args:
        run: the grader, or its folder.
        data: another Prepared set than the run's own; photographs that the run learned from are left out of it.
        split: "train", "val", "test" or "all".
        n: the number of photographs on the board.
        methods: keys of `METHODS`; by default "grad-cam", or all methods for one photograph.
        layer: where methods that take any layer make their maps; by default the feature layer.
        engine: "closed-form" computes Grad-CAM, Grad-CAM++ and LayerCAM from the forward pass where that is exact;
            "tf-keras-vis" leaves all methods that it has to tf-keras-vis.
        image_id: explain this one photograph instead, whatever its split.
        faithfulness: the number of photographs for deletion and insertion; 0: none.
        sanity: the number of photographs for the check with randomised weights; 0: none.
        bundle: the bundle made of the run, to compare its heat maps; by default none.
        overwrite: whether an existing explanation is replaced; by default it is refused.
        progress: called with (done, in all, what).

    Returns:
        The explanation.

    Raises:
        KerasDrError: no such run, set, split, photograph, method or layer; the run has learned from all of these
            photographs; or the explanation exists already.

    Example:
        >>> maps = dr.explain("runs/idrid", n=10, methods=["grad-cam", "grad-cam++"])
        >>> maps.scores["summary"]["grad-cam"]["share_outside_fundus"]["mean"]
        0.02
    """
    run = Run.load(run)
    if image_id is not None:
        chosen = tuple(methods or METHODS)
        folder, scores = explain_run_photograph(run, data, image_id, chosen, overwrite, progress, engine)
    else:
        chosen = tuple(methods or ("grad-cam",))
        options = ExplanationOptions(n, chosen, layer, faithfulness=faithfulness, sanity=sanity, engine=engine)
        made_of_run = Path(bundle) if bundle is not None else None
        folder, scores = explain_run(run, data, split, options, made_of_run, overwrite, progress)
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
    """Explain a run on a split of its own set, or on the photographs of another set that it has not learned from.

    Args:
        run: the grader.
        source: another Prepared set than the run's own.
        split: "train", "val", "test" or "all".
        options: see `explaining.Options`; the run's temperature is put in.
        bundle: made of the run, to compare its heat maps.
        overwrite: replace an existing result.
        progress: called with (done, in all, what).

    Returns:
        The result's folder, and what its scores.json says.

    Raises:
        KerasDrError: see `explaining.explain`; or the run has learned from all of these photographs.
    """
    whole = run.prepared_set(source)
    data = whole.split(split)
    fresh, measured = data, np.ones(len(data.rows), bool)
    if not run.is_own(whole):
        measured = seen_in(run.own_set(), data) == ""
        if not measured.any():
            message = f"{run.folder} has learned from all photographs in the split {split} of {data.folder}."
            raise KerasDrError(message, "Choose another --split.")
        fresh = replace(data, rows=tuple(row for row, keep in zip(data.rows, measured, strict=True) if keep))
    companions = ExtraInputs(
        masked=_masked(whole, fresh),
        before=_before(run),
        bundle=(bundle, run.about["model_sha256"]) if bundle else None,
        left_out=int((~measured).sum()),
    )
    target = run.folder / "explanations" / run.result_name(data, split)
    options = replace(options, temperature=run.temperature)
    return target, explain_split(run.model(), fresh, target, options, companions, overwrite, progress)


def explain_run_photograph(
    run: Run,
    source: PreparedSet | Path | str | None,
    image_id: str,
    methods: tuple[str, ...],
    overwrite: bool = False,
    progress: Progress | None = None,
    engine: str = "closed-form",
) -> tuple[Path, dict[str, Any]]:
    """All about one photograph of a Prepared set, whatever its split.

    Raises:
        KerasDrError: no such photograph; see `one.explain_one`.
    """
    data = run.prepared_set(source)
    index, target = data.index_of(image_id), run.folder / "explanations" / run.result_name(data, image_id)
    about = explain_photograph(run.model(), data, index, target, methods, run.temperature, overwrite, progress, engine)
    return target, about


def _masked(whole: PreparedSet, measured: PreparedSet) -> PreparedSet | None:
    """The set's training photographs that are not measured themselves, some of them, if there are any with masks."""
    if not (whole.folder / "masks").is_dir():
        return None
    names = {row["image_id"] for row in measured.rows}
    rows = tuple(row for row in whole.rows if row["split"] in ("train", "val") and row["image_id"] not in names)
    others = replace(whole, rows=rows)
    masked = tuple(row for index, row in enumerate(rows) if others.masks(index))
    return replace(whole, rows=masked[:: -(-len(masked) // MOST_MASKED)]) if masked else None


def _before(run: Run) -> keras.Model | None:
    """The grader as it was before fine-tuning, if that was kept beside the fine-tuned one."""
    file = run.folder / "frozen.keras"
    if run.about.get("kept") != "finetune" or not file.is_file():
        return None
    return load_grader(file)
