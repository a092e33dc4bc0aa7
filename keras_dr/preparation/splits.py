"""Who goes into which split: photographs of one patient and identical photographs stay together."""

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

_CANDIDATES = 20  # seeded ways to cut that are tried; the one nearest to the wanted share and grade mix is kept
_FOLDS = 200  # at most in all these ways: each costs a pass over all groups
MAX_SEED = 2**32 - 1 - _CANDIDATES  # NumPy's legacy generator, which scikit-learn seeds, takes 32 bits


@dataclass(frozen=True)
class SplitShares:
    """Share of the photographs for validation and for test, each in 0..1, where the data set has no such split."""

    val: float = 0.2
    test: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
            shares = f"--val {self.val} and --test {self.test}"
            message = f"The shares {shares} are not both above 0, or leave nothing for training."
            raise KerasDrError(message, "Choose two shares above 0 whose sum is below 1.")


@dataclass(frozen=True)
class Fold:
    """One fold of a cross validation: fold `number`, from 1 to `folds`, is for validation, the others for training."""

    number: int
    folds: int

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise KerasDrError(
                f"A cross validation needs at least 2 folds, but {self.folds} are asked for.", "Choose other --folds."
            )
        if not 1 <= self.number <= self.folds:
            raise KerasDrError(
                f"There is no fold {self.number} of {self.folds}; folds are numbered from 1.", "Choose other --folds."
            )


def group_photographs(*keys: Sequence[Hashable], pairs: Iterable[tuple[int, int]] = ()) -> list[int]:
    """Number groups of photographs linked, directly or through others, by an equal key or as a pair.

    Args:
        keys: sequences of one length n, e.g. patient ids, hashes of files, hashes of pixels; "" and None link nothing.
        pairs: indices of photographs that belong together.

    Returns:
        n group numbers, counted from 0 in the order of first appearance.
    """
    parent = list(range(len(keys[0])))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for sequence in keys:
        first: dict[Hashable, int] = {}
        for index, key in enumerate(sequence):
            if key not in ("", None):
                parent[root(index)] = root(first.setdefault(key, index))
    for one, other in pairs:
        parent[root(other)] = root(one)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(parent))]


def find_leaks(official: Sequence[str], copies: Sequence[int]) -> dict[int, int]:
    """Photographs that official splits put on the training side although a copy of them serves to judge the training.

    Args:
        official: "train", "val", "test" or "" a photograph; "" counts as train.
        copies: number a photograph; copies of one have the same.

    Returns:
        Index of each such photograph (train where a copy is in val or test, val where one is in test) -> index of
        that copy, in test rather than in val.
    """
    judging: dict[int, int] = {}
    for split in ("test", "val"):
        for index, (name, number) in enumerate(zip(official, copies, strict=True)):
            if name == split:
                judging.setdefault(number, index)
    rank = {"": 0, "train": 0, "val": 1, "test": 2}
    return {
        index: judging[number]
        for index, (name, number) in enumerate(zip(official, copies, strict=True))
        if number in judging and rank[name] < rank[official[judging[number]]]
    }


def check_seed(seed: int) -> None:
    """Refuse a seed that the cut cannot use.

    Raises:
        KerasDrError: it is not in 0 to `MAX_SEED`.
    """
    if not 0 <= seed <= MAX_SEED:
        raise KerasDrError(f"The seed {seed} is not from 0 to {MAX_SEED}.", "Choose another --seed.")


def assign_splits(
    official: Sequence[str], labels: Sequence[int], groups: Sequence[int], shares: SplitShares, seed: int
) -> list[str]:
    """Keep official splits; cut what is missing (test, then val) out of the rest, stratified by label, by group.

    A photograph without a split goes where official rows put its group: into test rather than val, val than train.

    Args:
        official: "train", "val", "test" or "" a photograph.
        labels: class index a photograph.
        groups: group number a photograph; a group is never divided.
        shares: of the photographs to be divided, how many for each missing split.
        seed: of the shuffle, 0 to `MAX_SEED`.

    Returns:
        "train", "val" or "test" a photograph.

    Raises:
        KerasDrError: too few groups to fill every split, or a seed out of range.
    """
    check_seed(seed)
    judging = {group: name for name in ("val", "test") for group in _groups_of(name, official, groups)}
    splits = np.array(
        [split or judging.get(group, "train") for split, group in zip(official, groups, strict=True)], dtype="<U5"
    )
    label_array, group_array = np.asarray(labels), np.asarray(groups)
    for name, share in (("test", shares.test), ("val", shares.val / (1 if "test" in official else 1 - shares.test))):
        if name not in official:
            pool = np.flatnonzero(splits == "train")
            splits[pool[_cut(label_array[pool], group_array[pool], share, seed)]] = name
    for name in ("train", "val", "test"):
        if name not in splits:
            message = f"The {name} split gets no photographs (patients or groups in all: {len(set(groups))})."
            raise KerasDrError(message, "Add photographs, or change --val and --test.")
    return splits.tolist()


def _groups_of(name: str, official: Sequence[str], groups: Sequence[int]) -> set[int]:
    """The groups of which an official row lies in this split."""
    return {group for split, group in zip(official, groups, strict=True) if split == name}


def count_straddling(splits: Sequence[str], patients: Sequence[str]) -> int:
    """How many patients have photographs in more than one split, as only official splits leave them."""
    return sum(
        count > 1 for count in Counter(patient for _, patient in set(zip(splits, patients, strict=True))).values()
    )


def _cut(labels: NDArray[np.int_], groups: NDArray[np.int_], share: float, seed: int) -> NDArray[np.bool_]:
    """bool (n,): the part to cut out, whole groups, as near as can be to `share` of each label's photographs.

    A share of 1/5 is one fold of five, of 3/10 three folds of ten (scikit-learn's StratifiedGroupKFold).
    """
    from sklearn.model_selection import StratifiedGroupKFold

    taken, folds = _folds(share)
    # no class needs a photograph in every fold, but scikit-learn refuses more folds than every class has photographs
    possible = min(len(set(groups.tolist())), max(Counter(labels.tolist()).values(), default=0))
    if possible < 2:  # the caller says so
        return np.zeros(len(labels), bool)
    if possible < folds:
        folds = possible
        taken = min(max(1, round(share * folds)), folds - 1)
    wanted = {label: count * share for label, count in Counter(labels.tolist()).items()}
    best, best_cost = np.zeros(len(labels), bool), np.inf
    for attempt in range(max(1, min(_CANDIDATES, _FOLDS // folds))):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + attempt)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            parts = [part for _, part in splitter.split(labels, labels, groups)]
        for first in range(0, folds - taken + 1):
            chosen = np.isin(np.arange(len(labels)), np.concatenate(parts[first : first + taken]))
            counts = Counter(labels[chosen].tolist())
            cost = sum(abs(counts[label] - goal) for label, goal in wanted.items())
            if cost < best_cost:
                best, best_cost = chosen, cost
    return best


def fold_numbers(labels: Sequence[int], groups: Sequence[Hashable], folds: int) -> list[int]:
    """Divide photographs into folds of like size and mix of labels; a group is never divided.

    The folds depend on the photographs alone, so that recipes and seeds are compared on the same ones.

    Args:
        labels: class index a photograph.
        groups: group a photograph.
        folds: how many, at least 2.

    Returns:
        1 to `folds` a photograph.

    Raises:
        KerasDrError: fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    there = len(set(groups))
    label_array, group_array = np.asarray(labels), np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(label_array)
    if min(there, counts.max()) < folds:
        message = (
            f"There are too few patients or groups, or too few photographs of one class, for {folds} folds "
            f"(patients or groups: {there}; photographs of the most frequent class: {counts.max()})."
        )
        raise KerasDrError(message, "Choose fewer --folds.")
    best, best_cost = np.zeros(len(label_array), int), np.inf
    for attempt in range(_CANDIDATES):
        numbers = np.zeros(len(label_array), int)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=attempt)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            for number, (_, part) in enumerate(splitter.split(label_array, label_array, group_array), 1):
                numbers[part] = number
        mixes = [np.bincount(label_array[numbers == number], minlength=len(counts)) for number in range(1, folds + 1)]
        cost = np.abs(np.array(mixes) - counts / folds).sum()
        if cost < best_cost:
            best, best_cost = numbers, cost
    return best.tolist()


def _folds(share: float) -> tuple[int, int]:
    """(folds taken, folds in all) whose quotient is near `share`; .04 is 1 of 25, .96 is 24 of 25."""
    if share < 0.1:
        return 1, round(1 / share)
    if share > 0.9:
        folds = round(1 / (1 - share))
        return folds - 1, folds
    fraction = Fraction(share).limit_denominator(10)
    return fraction.numerator, fraction.denominator
