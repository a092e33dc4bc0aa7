"""Copies of photographs within and across Prepared sets, such as test photographs in a training set."""

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
from keras_dr.preparation.splits import CALIBRATION

COLUMNS = ("image_id", "set", "split", "grade", "kind", "conflict", "leak", "copy_of")
LEARNED_FROM = ("train", "val")  # validation chose the epoch and the threshold
Side = tuple[str, str]  # name of a set, split
Place = tuple[PreparedSet, int]  # the set of a photograph, and its index there


@dataclass(frozen=True)
class Audit:
    """The result of `audit`.

    Attributes:
        photographs: number of photographs in all sets.
        counts: duplicates, near_duplicates, duplicate_groups, conflicting_groups; see `duplicates.count_copies`.
        shared: pair of (set, split) -> number of groups of copies that have photographs in both.
        too_small: number of photographs without a perceptual hash, of which only identical copies are found.
        copies: one row per photograph that has a copy: set, image_id, split, grade, copy_of, kind, conflict, leak.
    """

    photographs: int
    counts: dict[str, int]
    shared: dict[tuple[Side, Side], int]
    too_small: int
    copies: tuple[dict[str, Any], ...]

    @property
    def leaks(self) -> int:
        """Number of test photographs of any set that have a copy in train or val of any set."""
        return self._leaks_of("test")

    @property
    def calibration_leaks(self) -> int:
        """Number of calibration photographs of any set that have a copy in train or val of any set."""
        return self._leaks_of(CALIBRATION)

    def _leaks_of(self, split: str) -> int:
        return sum(row["leak"] == "yes" and row["split"] == split for row in self.copies)


def photographs_of(data: PreparedSet) -> list[Place]:
    """Return all photographs of a set."""
    return [(data, index) for index in range(len(data.rows))]


def number_copies(
    photographs: Sequence[Place], wanted: Callable[[int, int], bool] = lambda first, second: True
) -> list[int]:
    """Number the photographs of several Prepared sets so that copies have the same number.

    The sets may be prepared in different ways.

    Args:
        photographs: the photographs.
        wanted: as for `duplicates.group_copies`.
    """
    rows = [data.rows[index] for data, index in photographs]
    specs = [data.preprocessing for data, _ in photographs]
    return group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda number: photographs[number][0].image(photographs[number][1]),
        lambda first, second: comparable(specs[first], specs[second]),
        wanted,
    )


def is_leak(splits: Iterable[str]) -> bool:
    """Whether copies in these splits let a model be measured on photographs that it was trained or selected on."""
    found = set(splits)
    return bool(found & {"test", CALIBRATION}) and bool(found & set(LEARNED_FROM))


def audit(prepared_sets: Sequence[PreparedSet | Path | str]) -> Audit:
    """Find copies of photographs within and across Prepared sets.

    Args:
        prepared_sets: the sets, or their folders. Sets of the same name are called by their folders.

    Returns:
        The copies, and how many test photographs have a copy in a train or val split.

    Raises:
        KerasDrError: a folder is not a Prepared set.

    Example:
        >>> dr.audit(["prepared/idrid", "prepared/aptos"]).leaks
        0
    """
    sets = [PreparedSet.load(prepared_set) for prepared_set in prepared_sets]
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
    shared = Counter(pair for group_sides in sides.values() for pair in combinations(sorted(group_sides), 2))
    leaking = {number for number, group_sides in sides.items() if is_leak(split for _, split in group_sides)}
    marked = [row | {"leak": "yes" if row["copies"] in leaking else "no"} for row in listed]
    too_small = sum(not row["perceptual_hash"] for row in rows)
    return Audit(len(rows), count_copies(listed), dict(sorted(shared.items())), too_small, tuple(marked))


def write_copies(file: Path, result: Audit) -> None:
    """Write all copies as a table, in the format of the file's suffix.

    Args:
        file: .csv, .xlsx or .parquet.
        result: the result of `audit`.
    """
    folders.write_bytes(file, encode_table(file.suffix.lower(), dict.fromkeys(COLUMNS, "string"), result.copies))


def seen_in(home: PreparedSet, data: PreparedSet) -> NDArray[np.str_]:
    """Find the photographs of a set that a run was trained or selected on.

    Args:
        home: the set that the run was trained on, with all its splits.
        data: n photographs of another set, which may be prepared in another way.

    Returns:
        str (n,), for each photograph the split of `home` that holds a copy of it, "train" or "val"; "" if none does.
    """
    learned = [
        (split, place)
        for split in LEARNED_FROM
        for row, place in zip(home.rows, photographs_of(home), strict=True)
        if row["split"] == split
    ]
    places = [place for _, place in learned] + photographs_of(data)
    # copies within one of the two sets do not matter
    groups = number_copies(places, lambda first, second: first < len(learned) <= second)
    splits: dict[int, str] = {}
    for group, (split, _) in zip(groups, learned, strict=False):
        splits.setdefault(group, split)
    return np.array([splits.get(group, "") for group in groups[len(learned) :]], str)
