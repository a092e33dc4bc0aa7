"""Run x Prepared set -> predictions, figures and plots in RUN/evaluation/<set>-<split>/."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr import metrics, plots, runs
from keras_dr.files import encode_csv
from keras_dr.heads import probabilities
from keras_dr.pipeline import Photographs
from keras_dr.prepared import PreparedSet
from keras_dr.trained import Run


def predict(
    run: Run, model: keras.Model, data: PreparedSet, progress: Any | None = None, batch_size: int = 32
) -> NDArray[np.float64]:
    """Probabilities of every photograph, float64 (n, C)."""
    batches = Photographs(data.image_files(), run.preprocessing.size).batches(batch_size)
    steps = -(-len(data.rows) // batch_size)
    tick = keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda step, logs: progress(step + 1, steps, "predict") if progress else None
    )
    logits = model.predict(batches, verbose=0, callbacks=[tick])
    return probabilities(logits, len(run.task.classes), run.temperature)


def evaluate(
    run: Run, data: PreparedSet, name: str, overwrite: bool = False, progress: Any | None = None
) -> tuple[Path, dict[str, Any]]:
    """Measure a run on photographs and write metrics.json, predictions.csv, confusion.png, roc-pr.png.

    Args:
        run: the grader, with the threshold chosen on validation.
        data: the photographs of one split.
        name: of the result, "<set>-<split>".
        overwrite: replace an existing result.
        progress: called with (batches done, batches, "predict").

    Returns:
        The folder, and what metrics.json says.

    Raises:
        KerasDrError: the result exists already.
    """
    target = run.folder / "evaluation" / name
    labels = data.labels()
    plan = {"model": run.about["model_sha256"], "images": [row["image_id"] for row in data.rows]}
    with runs.growing_folder(target, "evaluation", plan, overwrite) as folder:
        likely = predict(run, run.model(), data, progress)
        figures = {
            "schema_version": runs.SCHEMA_VERSION,
            "set": data.name,
            "model_sha256": run.about["model_sha256"],
            **metrics.evaluate(labels, likely, run.task, run.threshold, run.decision),
        }
        runs.write_bytes(folder / "predictions.csv", encode_csv(*prediction_rows(data, likely, run)))
        plots.plot_confusion(folder / "confusion.png", figures["confusion_matrix"], run.task.classes)
        if figures["auroc_referable"] is not None:
            positive = np.isin(labels, run.task.referable)
            scores = metrics.p_referable(likely, run.task)
            plots.plot_roc_pr(folder / "roc-pr.png", positive, scores, figures["operating_point"], run.task)
        runs.write_json(folder / "metrics.json", figures)
    return target, figures


def prediction_rows(data: PreparedSet, likely: NDArray[np.float64], run: Run) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of predictions.csv.

    Args:
        data: n photographs.
        likely: float (n, C), their probabilities.
        run: whose threshold and way of deciding count.
    """
    classes = run.task.classes
    scores = metrics.p_referable(likely, run.task)
    predictions = metrics.predicted_classes(likely, run.decision)
    known = ("image_id", "patient_id", "split", "label")
    # a dictionary, because a class may itself be called "referable": then both columns are one
    columns = dict.fromkeys([*known, "prediction", *(f"p_{name}" for name in classes), "p_referable", "referred"])
    rows = []
    for row, p, score, best in zip(data.rows, likely, scores, predictions.tolist(), strict=True):
        figures = {f"p_{name}": f"{value:.6f}" for name, value in zip(classes, p, strict=True)}
        figures |= {"p_referable": f"{score:.6f}", "referred": str(int(score >= run.threshold))}
        rows.append({**row, "prediction": classes[best], **figures})
    return list(columns), rows
