"""The choice of the photographs that are shown, and of those that are scored if there are many.

The choice is the same for the same seed.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def choose_for_board(labels: Indices, predictions: Indices, n: int, seed: int = 42) -> Indices:
    """Up to n photographs, as evenly from all true classes as possible, right and wrong predictions in turn.

    Both right and wrong predictions are on the board if both exist and n >= 2. Their proportion on the board is
    therefore not the grader's accuracy.

    Args:
        labels: int (N,), true class indices.
        predictions: int (N,), predicted class indices.
        n: at least 1.
        seed: the seed of the random choice.

    Returns:
        int64 (min(n, N),), indices ordered by true class, right predictions before wrong ones.
    """
    right = labels == predictions
    order = np.random.default_rng(seed).permutation(len(labels))
    queues = {label: [index for index in order if labels[index] == label] for label in np.unique(labels)}
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(n, len(labels)):
        for position, queue in enumerate(queues.values()):
            want_right = (turn + position) % 2 == 0  # a right prediction on even turns, a wrong one on odd turns
            if queue and len(chosen) < n:
                chosen.append(queue.pop(_first_position(queue, right, want_right)))
        turn += 1
    if (
        n >= 2 and len(set(right[chosen])) == 1
    ):  # all right or all wrong: exchange the last photograph for one of the other kind
        missing_kind = [index for index in order if right[index] != right[chosen[0]]]
        if missing_kind:
            chosen[-1] = missing_kind[0]
    return np.array(sorted(chosen, key=lambda index: (labels[index], not right[index], index)), np.int64)


def _first_position(queue: list[int], right: NDArray[np.bool_], want_right: bool) -> int:
    """The position in the queue of the first photograph with the wanted kind of prediction; 0 if there is none."""
    for position, index in enumerate(queue):
        if right[index] == want_right:
            return position
    return 0


def sample_evenly(labels: Indices, most: int, seed: int = 42) -> Indices:
    """At most `most` photographs, with the classes in their proportions: a systematic sample of rows sorted by class.

    Args:
        labels: int (N,), true class indices.
        most: at least 1.
        seed: the seed of the order within a class.

    Returns:
        int64 (min(most, N),), ascending indices.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    positions = ((np.arange(most) + 0.5) * len(labels) / most).astype(np.int64)
    return np.sort(order[positions])
