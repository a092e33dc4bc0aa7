"""Which photographs of another set a run has met already: those it must not be measured on."""

import numpy as np
from numpy.typing import NDArray

from keras_dr.duplicates import comparable, group_copies
from keras_dr.prepared import PreparedSet

_LEARNED_FROM = ("train", "val")  # validation chose the epoch and the threshold


def met_before(home: PreparedSet, data: PreparedSet) -> NDArray[np.bool_]:
    """bool (n,), where a photograph of `data`, by its hashes, is a copy of one in `home`'s train or val.

    Args:
        home: the set that the run was trained on, all its splits.
        data: n photographs of another set, prepared in whatever way.
    """
    known = [(home, index) for index, row in enumerate(home.rows) if row["split"] in _LEARNED_FROM]
    places = known + [(data, index) for index in range(len(data.rows))]
    rows = [one.rows[index] for one, index in places]
    groups = group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda number: places[number][0].image(places[number][1]),
        lambda one, other: comparable(places[one][0].preprocessing, places[other][0].preprocessing),
    )
    learned = set(groups[: len(known)])
    return np.array([group in learned for group in groups[len(known) :]], bool)
