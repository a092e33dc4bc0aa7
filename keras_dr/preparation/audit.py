"""Copies within and across Prepared sets: is the external test set in the training set?"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.encoding import encode_table
from keras_dr.preparation.duplicates import comparable, count_copies, group_copies, list_copies
from keras_dr.preparation.prepared_set import PreparedSet

COLUMNS = ("image_id", "set", "split", "grade", "kind", "conflict", "leak", "copy_of")
Side = tuple[str, str]  # name of a set, split
Place = tuple[PreparedSet, int]  # of a photograph: its set, and its index there


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Attributes:
        photographs: number in all sets.
        counts: duplicates, near_duplicates, duplicate_groups, conflicting_groups; see `duplicates.count_copies`.
        shared: pair of (set, split) -> groups of copies that have photographs in both.
        too_small: photographs without a perceptual hash, of whose copies only identical ones are found.
        copies: a row a photograph that has a copy: set, image_id, split, grade, copy_of, kind, conflict, leak.
    """

    photographs: int
    counts: dict[str, int]
    shared: dict[tuple[Side, Side], int]
    too_small: int
    copies: tuple[dict[str, Any], ...]

    @property
    def leaks(self) -> int:
        """Test photographs of any set that have a copy in train or val of any set."""
        return sum(row["leak"] == "yes" and row["split"] == "test" for row in self.copies)


def photographs_of(data: PreparedSet) -> list[Place]:
    """All photographs of a set."""
    return [(data, index) for index in range(len(data.rows))]


def number_copies(
    photographs: Sequence[Place], wanted: Callable[[int, int], bool] = lambda first, second: True
) -> list[int]:
    """`duplicates.group_copies` of photographs of several Prepared sets, however each was prepared."""
    rows = [data.rows[index] for data, index in photographs]
    specs = [data.preprocessing for data, _ in photographs]
    return group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda number: photographs[number][0].image(photographs[number][1]),
        lambda one, other: comparable(specs[one], specs[other]),
        wanted,
    )


def is_leak(splits: Iterable[str]) -> bool:
    """Whether copies that lie in these splits let a model be measured on what it was trained or chosen on."""
    return {"test"} < set(splits)


def audit(prepared_sets: Sequence[PreparedSet | Path | str]) -> Audit:
    """Find copies of photographs within and across Prepared sets.

    Args:
        prepared_sets: the sets, or their folders. Sets of the same name are told apart by their folders.

    Returns:
        The copies, and how many test photographs have a copy in a train or val split.

    Raises:
        KerasDrError: not a Prepared set.

    Example:
        >>> dr.audit(["prepared/idrid", "prepared/aptos"]).leaks
        0
    """
    sets = [PreparedSet.load(one) for one in prepared_sets]
    names = [data.name for data in sets]
    if len(set(names)) < len(names):
        names = [str(data.folder) for data in sets]
    rows: list[dict[str, Any]] = []
    photographs: list[Place] = []
    for name, data in zip(names, sets, strict=True):
        rows += [row | {"set": name} for row in data.rows]
        photographs += photographs_of(data)
    copies = number_copies(photographs)
    listed = list_copies(
        [row | {"copies": number} for row, number in zip(rows, copies, strict=True)],
        copies,
    )
    sides: dict[int, set[Side]] = {}
    for row in listed:
        sides.setdefault(row["copies"], set()).add((row["set"], row["split"]))
    shared = Counter(pair for found in sides.values() for pair in combinations(sorted(found), 2))
    leaking = {number for number, found in sides.items() if is_leak(split for _, split in found)}
    marked = [row | {"leak": "yes" if row["copies"] in leaking else "no"} for row in listed]
    too_small = sum(not row["perceptual_hash"] for row in rows)
    return Audit(len(rows), count_copies(listed), dict(sorted(shared.items())), too_small, tuple(marked))


def write_copies(file: Path, found: Audit) -> None:
    """Write all copies as a table, in the format of the file's suffix."""
    folders.write_bytes(file, encode_table(file.suffix.lower(), dict.fromkeys(COLUMNS, "string"), found.copies))


LEARNED_FROM = ("train", "val")  # validation chose the epoch and the threshold


def seen_in(home: PreparedSet, data: PreparedSet) -> NDArray[np.str_]:
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
