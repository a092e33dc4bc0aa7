"""Which photographs of another set a run has met already: those it must not be measured on."""

import numpy as np
from numpy.typing import NDArray

from keras_dr.audit import number_copies, photographs_of
from keras_dr.prepared import PreparedSet

_LEARNED_FROM = ("train", "val")  # validation chose the epoch and the threshold


def met_before(home: PreparedSet, data: PreparedSet) -> NDArray[np.bool_]:
    """bool (n,), where a photograph of `data`, by its hashes, is a copy of one in `home`'s train or val.

    Args:
        home: the set that the run was trained on, all its splits.
        data: n photographs of another set, prepared in whatever way.

    Raises:
        KerasDrError: a set has no perceptual hashes.
    """
    known = [one for one in photographs_of(home) if home.rows[one[1]]["split"] in _LEARNED_FROM]
    groups = number_copies(known + photographs_of(data))
    learned = set(groups[: len(known)])
    return np.array([group in learned for group in groups[len(known) :]], bool)
