"""The division of photographs into splits; photographs of one patient and copies of one photograph stay together."""

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.records import SPLITS

_CANDIDATES = 20  # seeded divisions that are tried; the best one by share and mix of grades is kept
_FOLDS = 200  # at most so many folds in all these divisions: each takes a pass over all groups
CALIBRATION = "calibration"  # the split that chooses nothing, for promises and sets of grades
ALL_SPLITS = (*SPLITS, CALIBRATION)  # of a Prepared set; data sets publish only the first three
MAX_SEED = 2**32 - 1 - _CANDIDATES  # scikit-learn seeds NumPy's legacy generator, which takes 32 bits


@dataclass(frozen=True)
class SplitShares:
    """The shares of the photographs, each in 0..1, for splits that the data set does not have.

    Attributes:
        val: the share for validation.
        test: the share for test.
        calibration: the share for calibration, which no data set has; 0: there is no such split.
    """

    val: float = 0.2
    test: float = 0.2
    calibration: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
            shares = f"--val {self.val} and --test {self.test}"
            message = f"The shares {shares} must both be above 0 and leave photographs for training."
            raise KerasDrError(message, "Choose two shares above 0 whose sum is below 1.")
        if not (self.calibration >= 0 and self.val + self.test + self.calibration < 1):
            shares = f"--val {self.val}, --test {self.test} and --calibration {self.calibration}"
            message = f"The shares {shares} must not be negative, and must leave photographs for training."
            raise KerasDrError(message, "Choose shares whose sum is below 1.")


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation, which is used for validation; the others are used for training.

    Attributes:
        number: the number of the fold, 1 to `folds`.
        folds: number of folds, at least 2.
    """

    number: int
    folds: int

    def __post_init__(self) -> None:
        if self.folds < 2:
            message = f"A cross-validation needs at least 2 folds, but --folds is {self.folds}."
            raise KerasDrError(message, "Choose other --folds.")
        if not 1 <= self.number <= self.folds:
            message = f"There is no fold {self.number} of {self.folds}; folds are numbered from 1."
            raise KerasDrError(message, "Choose other --folds.")


def group_photographs(*keys: Sequence[Hashable], pairs: Iterable[tuple[int, int]] = ()) -> list[int]:
    """Number the groups of photographs that are linked by an equal key or as a pair, directly or through others.

    Args:
        keys: sequences of the same length n, such as patient ids and hashes of pixels; "" and None link nothing.
        pairs: the indices of pairs of photographs that belong together.

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
    for first_index, second_index in pairs:
        parent[root(second_index)] = root(first_index)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(parent))]


def find_leaks(official: Sequence[str], copies: Sequence[int]) -> dict[int, int]:
    """Find photographs that official splits use for training although they also use a copy for validation or test.

    Args:
        official: for each photograph "train", "val", "test" or "", which counts as train.
        copies: for each photograph a number, which is the same for copies.

    Returns:
        Index of each such photograph -> index of its copy in test, or else in val. A val photograph counts if its copy
        is in test.
    """
    evaluated: dict[int, int] = {}
    for split in ("test", "val"):
        for index, (name, number) in enumerate(zip(official, copies, strict=True)):
            if name == split:
                evaluated.setdefault(number, index)
    rank = {"": 0, "train": 0, "val": 1, "test": 2}
    return {
        index: evaluated[number]
        for index, (name, number) in enumerate(zip(official, copies, strict=True))
        if number in evaluated and rank[name] < rank[official[evaluated[number]]]
    }


def check_seed(seed: int) -> None:
    """Refuse a seed that cannot be used.

    Raises:
        KerasDrError: the seed is not from 0 to `MAX_SEED`.
    """
    if not 0 <= seed <= MAX_SEED:
        raise KerasDrError(f"The seed is {seed}, which is not from 0 to {MAX_SEED}.", "Choose another --seed.")


def assign_splits(
    official: Sequence[str], labels: Sequence[int], groups: Sequence[int], shares: SplitShares, seed: int
) -> list[str]:
    """Keep official splits, and take missing ones (test, then calibration, then val) from the training photographs.

    Missing splits consist of whole groups and have the same mix of labels. A photograph without a split goes into the
    split of the official photographs of its group: into test if one of them is there, else into val, else into train.
    A group with official val or test photographs gives none to calibration.

    Args:
        official: for each photograph "train", "val", "test" or "".
        labels: for each photograph the class index.
        groups: for each photograph the number of its group; a group without official splits is never divided.
        shares: the shares of the missing splits.
        seed: the seed of the shuffle, 0 to `MAX_SEED`.

    Returns:
        For each photograph "train", "val", "test" or "calibration".

    Raises:
        KerasDrError: there are too few groups to fill every split, or the seed is out of range.
    """
    check_seed(seed)
    of_group = {group: name for name in ("val", "test") for group in _groups_of(name, official, groups)}
    splits = np.array(
        [split or of_group.get(group, "train") for split, group in zip(official, groups, strict=True)],
        dtype=f"<U{len(CALIBRATION)}",
    )
    label_array = np.asarray(labels)
    group_array = np.asarray(groups)
    untouched = ~np.isin(group_array, list(of_group))
    left = 1.0  # each share refers to all photographs outside official splits, but is cut from what is left of them
    for name in ("test", CALIBRATION, "val"):
        share: float = getattr(shares, name)
        if name not in official and share:
            pool = np.flatnonzero((splits == "train") & (untouched if name == CALIBRATION else True))
            splits[pool[_cut(label_array[pool], group_array[pool], share / left, seed)]] = name
            left -= share
    for name in ALL_SPLITS if shares.calibration else SPLITS:
        if name not in splits:
            message = f"There are too few photographs for the {name} split (patients or groups: {len(set(groups))})."
            raise KerasDrError(message, "Add photographs, or change --val, --test and --calibration.")
    return splits.tolist()


def _groups_of(name: str, official: Sequence[str], groups: Sequence[int]) -> set[int]:
    """Return the groups that have an official photograph in this split."""
    return {group for split, group in zip(official, groups, strict=True) if split == name}


def count_straddling(splits: Sequence[str], patients: Sequence[str]) -> int:
    """Return the number of patients with photographs in more than one split, which only official splits can cause.

    Args:
        splits: for each photograph its split.
        patients: for each photograph its patient.
    """
    pairs = set(zip(splits, patients, strict=True))
    splits_per_patient = Counter(patient for _, patient in pairs)
    return sum(count > 1 for count in splits_per_patient.values())


def _cut(labels: NDArray[np.int_], groups: NDArray[np.int_], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose whole groups with about `share` of each label's photographs.

    A share of 1/5 is one fold of five, 3/10 are three folds of ten (scikit-learn's StratifiedGroupKFold).

    Returns:
        bool (n,), True for the photographs that are chosen.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    taken, folds = _folds(share)
    # scikit-learn refuses more folds than the largest class has photographs
    possible = min(len(set(groups.tolist())), max(Counter(labels.tolist()).values(), default=0))
    if possible < 2:  # the caller raises an error
        return np.zeros(len(labels), bool)
    if possible < folds:
        folds = possible
        taken = min(max(1, round(share * folds)), folds - 1)
    wanted = {label: count * share for label, count in Counter(labels.tolist()).items()}
    best = np.zeros(len(labels), bool)
    best_cost = np.inf
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
                best = chosen
                best_cost = cost
    return best


def fold_numbers(labels: Sequence[int], groups: Sequence[Hashable], folds: int) -> list[int]:
    """Divide photographs into folds of similar size and mix of labels; a group is never divided.

    The folds depend only on the photographs, so that recipes and seeds are compared on the same folds.

    Args:
        labels: for each photograph the class index.
        groups: for each photograph its group.
        folds: number of folds, at least 2.

    Returns:
        For each photograph the number of its fold, 1 to `folds`.

    Raises:
        KerasDrError: there are too few groups, or too few photographs of every class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    group_count = len(set(groups))
    label_array = np.asarray(labels)
    group_array = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(label_array)
    if min(group_count, counts.max()) < folds:
        message = (
            f"There are too few patients or groups, or too few photographs of one class, for {folds} folds "
            f"(patients or groups: {group_count}; photographs of the most frequent class: {counts.max()})."
        )
        raise KerasDrError(message, "Choose fewer --folds.")
    best = np.zeros(len(label_array), int)
    best_cost = np.inf
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
            best = numbers
            best_cost = cost
    return best.tolist()


def _folds(share: float) -> tuple[int, int]:
    """Return (folds taken, folds in all) whose quotient is close to `share`: 1 of 25 for .04, 24 of 25 for .96."""
    if share < 0.1:
        return 1, round(1 / share)
    if share > 0.9:
        folds = round(1 / (1 - share))
        return folds - 1, folds
    fraction = Fraction(share).limit_denominator(10)
    return fraction.numerator, fraction.denominator
