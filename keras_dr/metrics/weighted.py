"""Figures of weighted photographs, for many weightings at once; one definition gives a figure and its interval.

With a weight of 1 for every photograph, the figures describe the set itself. With the number of times that each
photograph was drawn, they describe a bootstrap resample. Every function takes weights float (R, n) and returns float64
(R, ...); NaN marks a figure that does not exist, for example because there are no positive photographs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
ECE_BINS = 15  # Guo et al., ICML 2017


def ratio(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return part / whole, NaN where whole is 0; all float (R,) or (R, C)."""
    known = whole > 0
    return np.where(known, part / np.where(known, whole, 1), np.nan)


def share(weights: Weights, hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of the photographs in `among` that are a `hit`: both bool (n,) -> (R,)."""
    return ratio(weights @ (hit & among), weights @ among.astype(float))


def mean(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of values: float (n,) -> (R,)."""
    return ratio(weights @ values, weights.sum(axis=1))


def confusion(weights: Weights, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Weights:
    """Return confusion matrices (R, C, C), rows true, columns predicted, of labels and predictions int (n,)."""
    cells = np.eye(classes * classes)[labels * classes + predictions]
    return (weights @ cells).reshape(-1, classes, classes)


def quadratic_kappa(matrix: Weights) -> NDArray[np.float64]:
    """Return Cohen's kappa with quadratic weights (Cohen, Psychological Bulletin 70(4), 1968), (R,) in -1..1.

    It does not exist if all labels and predictions are of one class.

    Args:
        matrix: float (R, C, C), see `confusion`.
    """
    index = np.arange(matrix.shape[1])
    disagreement = (index[:, None] - index[None, :]) ** 2.0
    expected = matrix.sum(axis=2)[:, :, None] * matrix.sum(axis=1)[:, None, :]
    chance = (disagreement * expected).sum(axis=(1, 2))
    observed = (disagreement * matrix).sum(axis=(1, 2)) * matrix.sum(axis=(1, 2))
    return 1 - ratio(observed, chance)


def class_figures(matrix: Weights) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, specificity and F1 of each class, (R, C).

    F1 is 2 TP / (2 TP + FP + FN); it exists if any photograph has the class or is predicted to have it.

    Args:
        matrix: float (R, C, C), see `confusion`.
    """
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    true = matrix.sum(axis=2)
    predicted = matrix.sum(axis=1)
    others = matrix.sum(axis=(1, 2))[:, None] - true
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, true),
        "specificity": ratio(others - (predicted - hits), others),
        "f1": ratio(2 * hits, true + predicted),
    }


def averages(matrix: Weights) -> dict[str, Any]:
    """Return macro and weighted averages of `class_figures` as scikit-learn computes them, and balanced accuracy.

    Macro averages run over the classes that are true or predicted somewhere; a figure that does not exist for one of
    them counts as 0. Weighted averages weight each class by its number of photographs. Balanced accuracy is the mean
    recall of the classes that are present.

    Args:
        matrix: float (R, C, C), see `confusion`.

    Returns:
        "macro" and "weighted", each a dictionary of precision, recall and f1, and "balanced_accuracy"; (R,) each.
    """
    true = matrix.sum(axis=2)
    figures = class_figures(matrix)
    present = (true + matrix.sum(axis=1)) > 0
    macro = {}
    weighted = {}
    for name in ("precision", "recall", "f1"):
        values = np.nan_to_num(figures[name])
        macro[name] = ratio(values.sum(axis=1), present.sum(axis=1))
        weighted[name] = ratio((values * true).sum(axis=1), true.sum(axis=1))
    recall = np.nan_to_num(figures["recall"]).sum(axis=1)
    return {
        "macro": macro,
        "weighted": weighted,
        "balanced_accuracy": ratio(recall, (true > 0).sum(axis=1)),
    }


def _by_score(weights: Weights, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Weights, Weights]:
    """Return the weights of the positive and of the negative photographs at each distinct score, (R, scores) each.

    The scores ascend.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = weights[:, order]
    positives = drawn * positive[order]
    if len(starts) == len(scores):
        return positives, drawn - positives
    return np.add.reduceat(positives, starts, axis=1), np.add.reduceat(drawn - positives, starts, axis=1)


def ranking(
    weights: Weights, positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the area under the ROC curve and the average precision, (R,) each.

    The area is the share of pairs of a positive and a negative photograph in which the positive one scores higher; a
    tie counts one half (Hanley and McNeil, Radiology 143(1), 1982). Average precision is the sum over thresholds of
    precision times the gain in recall, as in scikit-learn.

    Args:
        weights: float (R, n).
        positive: bool (n,).
        scores: float (n,), higher for photographs that are more likely positive.
    """
    positives, negatives = _by_score(weights, positive, scores)
    all_positives = positives.sum(axis=1)
    all_negatives = negatives.sum(axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    area = ratio((positives * below).sum(axis=1), all_positives * all_negatives)
    true_positives = np.cumsum(positives[:, ::-1], axis=1)
    flagged = true_positives + np.cumsum(negatives[:, ::-1], axis=1)
    precision = true_positives / np.where(flagged > 0, flagged, 1)
    return area, ratio((positives[:, ::-1] * precision).sum(axis=1), all_positives)


def expected_calibration_error(
    weights: Weights, confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = ECE_BINS
) -> NDArray[np.float64]:
    """Return the mean gap between confidence and frequency over bins of equal width, (R,) in 0..1.

    Guo et al., ICML 2017, equation 3.

    Args:
        weights: float (R, n).
        confidence: float (n,), 0..1, the predicted probabilities.
        right: bool (n,), whether the event with that probability occurred.
        bins: number of bins (a, b] over 0..1.
    """
    gaps = np.eye(bins)[bin_of(confidence, bins)] * (confidence - right)[:, None]
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def bin_of(confidence: NDArray[np.float64], bins: int = ECE_BINS) -> NDArray[np.int64]:
    """Return the index of the bin of each value, int (n,), of `bins` bins (a, b] of equal width over 0..1."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
