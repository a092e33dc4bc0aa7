"""Which photographs are shown, and which are scored where there are many. Deterministic."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def choose_for_board(labels: Indices, predictions: Indices, n: int, seed: int = 42) -> Indices:
    """Up to n photographs, as evenly from each true class as they last, rightly and wrongly graded in turn.

    Right and wrong are both there if both exist and n >= 2. Their proportion on the board is not the grader's accuracy.

    Args:
        labels: int (N,), true class indices.
        predictions: int (N,), predicted ones.
        n: at least 1.
        seed: of the draw.

    Returns:
        int64 (min(n, N),), indices by true class, right before wrong.
    """
    right = labels == predictions
    order = np.random.default_rng(seed).permutation(len(labels))
    left = {label: [i for i in order if labels[i] == label] for label in np.unique(labels)}
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(n, len(labels)):
        for position, queue in enumerate(left.values()):
            wanted = (turn + position) % 2 == 0  # a right one on even turns, a wrong one on odd turns
            if queue and len(chosen) < n:
                chosen.append(queue.pop(next((k for k, i in enumerate(queue) if right[i] == wanted), 0)))
        turn += 1
    if n >= 2 and len(set(right[chosen])) == 1:
        chosen[-1:] = [i for i in order if right[i] != right[chosen[0]]][:1] or chosen[-1:]
    return np.array(sorted(chosen, key=lambda i: (labels[i], not right[i], i)), np.int64)


def sample_evenly(labels: Indices, most: int, seed: int = 42) -> Indices:
    """At most `most` photographs, classes in their proportions: a systematic sample of the rows sorted by class.

    Args:
        labels: int (N,), true class indices.
        most: at least 1.
        seed: of the order within a class.

    Returns:
        int64 (min(most, N),), ascending indices.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return np.sort(order[((np.arange(most) + 0.5) * len(labels) / most).astype(np.int64)])
