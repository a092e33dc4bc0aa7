"""Copies within and across Prepared sets: is the external test set in the training set?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from keras_dr import runs
from keras_dr.duplicates import comparable, count_copies, group_copies, list_copies
from keras_dr.files import encode_csv
from keras_dr.prepared import PreparedSet

COLUMNS = ("image_id", "set", "split", "grade", "kind", "conflict", "leak", "copy_of")
_TRAINING = ("train", "val")
Side = tuple[str, str]  # name of a set, split


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


def audit(sets: Sequence[PreparedSet]) -> Audit:
    """Find the copies within and across Prepared sets, however each was prepared."""
    names = [data.name for data in sets]
    if len(set(names)) < len(names):
        names = [str(data.folder) for data in sets]
    rows: list[dict[str, Any]] = []
    places: list[tuple[PreparedSet, int]] = []
    for name, data in zip(names, sets, strict=True):
        rows += [row | {"set": name} for row in data.rows]
        places += [(data, index) for index in range(len(data.rows))]
    copies = group_copies(
        [row["pixels_sha256"] for row in rows],
        [row["perceptual_hash"] for row in rows],
        lambda index: places[index][0].image(places[index][1]),
        lambda one, other: comparable(places[one][0].preprocessing, places[other][0].preprocessing),
    )
    listed = list_copies(
        [row | {"copies": number} for row, number in zip(rows, copies, strict=True)],
        copies,
    )
    sides: dict[int, set[Side]] = {}
    for row in listed:
        sides.setdefault(row["copies"], set()).add((row["set"], row["split"]))
    shared = Counter(pair for found in sides.values() for pair in combinations(sorted(found), 2))
    leaking = {number for number, found in sides.items() if _leaks(found)}
    marked = [row | {"leak": "yes" if row["copies"] in leaking else "no"} for row in listed]
    too_small = sum(not row["perceptual_hash"] for row in rows)
    return Audit(len(rows), count_copies(listed), dict(sorted(shared.items())), too_small, tuple(marked))


def write_copies(file: Path, found: Audit) -> None:
    """Write all copies as a CSV file."""
    runs.write_bytes(file, encode_csv(COLUMNS, found.copies))


def _leaks(sides: set[Side]) -> bool:
    splits = {split for _, split in sides}
    return "test" in splits and bool(splits & set(_TRAINING))
