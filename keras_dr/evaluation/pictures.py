"""The pictures of an evaluation: plots of its figures, and photographs with their predictions."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core.names import class_words
from keras_dr.explanation.drawing.boards import BoardRow, write_board
from keras_dr.explanation.methods import Explainer
from keras_dr.explanation.sampling import choose_for_board
from keras_dr.metrics import referral
from keras_dr.metrics.predictions import Predictions
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports import evaluation_plots as plots
from keras_dr.reports.evaluation_tables import points_by_name
from keras_dr.training.run import Run

SAMPLES = 12  # photographs in samples.png
MISTAKES = 6  # photographs in mistakes.png


def draw_plots(folder: Path, run: Run, predictions: Predictions, figures: dict[str, Any]) -> None:
    """Draw the plots of metrics.json: confusion matrix, ROC and precision-recall, reliability, coverage."""
    plots.plot_confusion(folder / "confusion.png", figures["confusion_matrix"], run.task.classes)
    if figures["auroc_referable"] is not None:
        points = points_by_name(figures)
        plots.plot_roc_pr(folder / "roc-pr.png", predictions.positive, predictions.scores, points, run.task)
    before = figures["calibration"]["before"]
    after = figures["calibration"]["after"]
    errors = (before["ece"], figures["ece"])
    plots.plot_reliability(folder / "reliability.png", before["reliability"], after["reliability"], errors)
    wrong_class = referral.coverage_curve(~predictions.right, predictions.confidence)
    curves = {"wrong class; the least probable first": wrong_class}
    if run.task.referable:
        wrong = predictions.positive != predictions.referred(run.threshold)
        sure = referral.certainty(predictions, run.threshold)
        curves["wrong referral; the least certain first"] = referral.coverage_curve(wrong, sure)
    kind = "referral_error" if run.task.referable else "grade_error"
    shares = [(1 - band["sent"], band[kind]) for band in figures["bands"] if band[kind] is not None]
    plots.plot_coverage(folder / "coverage.png", curves, shares)


def draw_photographs(folder: Path, model: keras.Model, data: PreparedSet, predictions: Predictions) -> None:
    """Draw samples.png (right and wrong predictions of each class) and mistakes.png (with heat maps, gravest first)."""
    names = [class_words(name) for name in predictions.task.classes]
    samples = []
    for index in choose_for_board(predictions.labels, predictions.predicted, SAMPLES):
        true = names[predictions.labels[index]]
        predicted = names[predictions.predicted[index]]
        title = f"true {true}\npredicted {predicted}, {predictions.confidence[index]:.2f}"
        samples.append(plots.Sample(data.image(int(index)), title, bool(predictions.right[index])))
    plots.plot_samples(folder / "samples.png", samples)
    worst = worst_mistakes(predictions)
    if not len(worst):
        return
    images = data.images(worst)
    maps = Explainer(model).heatmaps(images, predictions.predicted[worst])
    rows = [
        BoardRow(
            image,
            heat,
            predictions.task.classes[predictions.labels[index]],
            predictions.task.classes[predictions.predicted[index]],
            float(predictions.confidence[index]),
            False,
            data.rows[index]["image_id"],
        )
        for index, image, heat in zip(worst, images, maps, strict=True)
    ]
    note = (
        f"the gravest of {(~predictions.right).sum()} mistakes on {len(predictions.labels)} photographs; "
        "heat: evidence for the predicted class"
    )
    write_board(folder / "mistakes.png", rows, f"{model.name} · {data.name}", note)


def worst_mistakes(predictions: Predictions, most: int = MISTAKES) -> NDArray[np.int64]:
    """Return the indices of at most `most` wrong predictions, int (m,), the gravest first.

    The predictions furthest from the true class come first; of those equally far, the most confident.
    """
    distance = np.ones(len(predictions.labels))
    if predictions.task.ordered:
        distance = np.abs(predictions.predicted - predictions.labels)
    order = np.lexsort((-predictions.confidence, -distance))
    return order[~predictions.right[order]][:most]
