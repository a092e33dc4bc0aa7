"""Figures of weighted photographs, of many weightings at once; one definition serves a figure and its interval.

A weight of 1 each is the set itself; how often each photograph was drawn is a bootstrap resample of it. Every function
takes weights, float (R, n), and gives float64 (R, ...); NaN marks a figure that does not exist (no positives, say).
"""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
ECE_BINS = 15  # Guo et al., ICML 2017


def ratio(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0; float (R,) or (R, C) each."""
    known = whole > 0
    return np.where(known, part / np.where(known, whole, 1), np.nan)


def share(weights: Weights, hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many of the photographs `among` are a `hit`: bool (n,) each -> (R,)."""
    return ratio(weights @ (hit & among), weights @ among.astype(float))


def mean(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of values float (n,) -> (R,)."""
    return ratio(weights @ values, weights.sum(axis=1))


def confusion(weights: Weights, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> Weights:
    """Confusion matrices (R, C, C), rows true, columns predicted. int (n,) each."""
    cells = np.eye(classes * classes)[labels * classes + predictions]
    return (weights @ cells).reshape(-1, classes, classes)


def quadratic_kappa(matrix: Weights) -> NDArray[np.float64]:
    """Cohen's kappa with quadratic weights (Cohen, Psychological Bulletin 70(4), 1968), -1..1.

    From `confusion`, float (R, C, C), to (R,). It does not exist where labels and predictions are all one class.
    """
    index = np.arange(matrix.shape[1])
    disagreement = (index[:, None] - index[None, :]) ** 2.0
    expected = matrix.sum(axis=2)[:, :, None] * matrix.sum(axis=1)[:, None, :]
    chance = (disagreement * expected).sum(axis=(1, 2))
    observed = (disagreement * matrix).sum(axis=(1, 2)) * matrix.sum(axis=(1, 2))
    return 1 - ratio(observed, chance)


def class_figures(matrix: Weights) -> dict[str, NDArray[np.float64]]:
    """Precision, recall, specificity and F1 of each class: float (R, C, C), see `confusion`, -> (R, C).

    F1 is 2 TP / (2 TP + FP + FN); it exists where the class is either true or predicted somewhere.
    """
    hits, true, predicted = np.diagonal(matrix, axis1=1, axis2=2), matrix.sum(axis=2), matrix.sum(axis=1)
    others = matrix.sum(axis=(1, 2))[:, None] - true
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, true),
        "specificity": ratio(others - (predicted - hits), others),
        "f1": ratio(2 * hits, true + predicted),
    }


def averages(matrix: Weights) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """Macro and weighted averages of `class_figures` as scikit-learn makes them, and balanced accuracy.

    From `confusion`, float (R, C, C), to (R,) each.
    Macro: over the classes that are true or predicted somewhere; what does not exist for one of them counts 0.
    Weighted: by the number of photographs of the class. Balanced accuracy: mean recall of the classes that there are.
    """
    true, figures = matrix.sum(axis=2), class_figures(matrix)
    present = (true + matrix.sum(axis=1)) > 0
    found: dict[tuple[str, ...], NDArray[np.float64]] = {}
    for name in ("precision", "recall", "f1"):
        values = np.nan_to_num(figures[name])
        found["macro", name] = ratio(values.sum(axis=1), present.sum(axis=1))
        found["weighted", name] = ratio((values * true).sum(axis=1), true.sum(axis=1))
    recall = np.nan_to_num(figures["recall"]).sum(axis=1)
    return found | {("balanced_accuracy",): ratio(recall, (true > 0).sum(axis=1))}


def _by_score(weights: Weights, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Weights, Weights]:
    """Weight of the positive and of the negative photographs of each different score, ascending: (R, scores) each."""
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
    """Area under the ROC curve and average precision, (R,) each.

    The area is the share of pairs of a positive and a negative photograph in which the positive one scores higher, a
    tie counting half (Hanley and McNeil, Radiology 143(1), 1982). Average precision is the sum over thresholds of
    precision times the gain in recall, as in scikit-learn.

    Args:
        weights: float (R, n).
        positive: bool (n,).
        scores: float (n,), higher for positive ones.
    """
    hits, others = _by_score(weights, positive, scores)
    all_hits, all_others = hits.sum(axis=1), others.sum(axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    area = ratio((hits * below).sum(axis=1), all_hits * all_others)
    found = np.cumsum(hits[:, ::-1], axis=1)
    flagged = found + np.cumsum(others[:, ::-1], axis=1)
    precision = found / np.where(flagged > 0, flagged, 1)
    return area, ratio((hits[:, ::-1] * precision).sum(axis=1), all_hits)


def expected_calibration_error(
    weights: Weights, confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = ECE_BINS
) -> NDArray[np.float64]:
    """Mean gap between confidence and frequency over bins of equal width, (R,) in 0..1 (Guo et al., ICML 2017, eq. 3).

    Args:
        weights: float (R, n).
        confidence: float (n,), 0..1.
        right: bool (n,), whether what was held that likely is so.
        bins: number of bins (a, b] over 0..1.
    """
    gaps = np.eye(bins)[bin_of(confidence, bins)] * (confidence - right)[:, None]
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def bin_of(confidence: NDArray[np.float64], bins: int = ECE_BINS) -> NDArray[np.int64]:
    """Which of `bins` bins (a, b] of equal width over 0..1 each value lies in, int (n,)."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
