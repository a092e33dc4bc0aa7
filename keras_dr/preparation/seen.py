"""Which photographs of another set a run has met already: those that tell nothing of how well it does on new ones."""

import numpy as np
from numpy.typing import NDArray

from keras_dr.audit import number_copies, photographs_of
from keras_dr.prepared import PreparedSet

LEARNED_FROM = ("train", "val")  # validation chose the epoch and the threshold


def met_before(home: PreparedSet, data: PreparedSet) -> NDArray[np.str_]:
    """str (n,), the split of `home`, "train" or "val", that holds a copy of each photograph, by its hashes; else "".

    Args:
        home: the set that the run was trained on, all its splits.
        data: n photographs of another set, prepared in whatever way.
    """
    known = [(home.rows[index]["split"], place) for index, place in enumerate(photographs_of(home))]
    known = sorted((one for one in known if one[0] in LEARNED_FROM), key=lambda one: LEARNED_FROM.index(one[0]))
    places = [place for _, place in known] + photographs_of(data)
    groups = number_copies(places, lambda one, other: one < len(known) <= other)  # copies within either say nothing
    met: dict[int, str] = {}
    for group, (split, _) in zip(groups, known, strict=False):
        met.setdefault(group, split)
    return np.array([met.get(group, "") for group in groups[len(known) :]], str)
