import pickle

import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.preparation.splits import (
    CALIBRATION,
    MAX_SEED,
    SplitShares,
    assign_splits,
    count_straddling,
    find_leaks,
    group_photographs,
)


def test_groups_are_linked_through_others() -> None:
    patients, hashes = ["a", "a", "b", "c", "d"], ["1", "2", "2", "3", "4"]
    assert group_photographs(patients, hashes) == [0, 0, 0, 1, 2]


def test_empty_keys_link_nothing() -> None:
    assert group_photographs(["", "", ""], [None, None, None]) == [0, 1, 2]


@pytest.fixture
def cohort() -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(1)
    labels = rng.choice(5, 600, p=[0.45, 0.05, 0.3, 0.12, 0.08])
    return labels.tolist(), np.repeat(np.arange(300), 2).tolist()


def test_patients_stay_on_one_side(cohort: tuple) -> None:
    labels, groups = cohort
    splits = assign_splits([""] * 600, labels, groups, SplitShares(0.2, 0.2), 0)
    assert all(splits[i] == splits[i + 1] for i in range(0, 600, 2))


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.2), (0.1, 0.1), (0.3, 0.1)])
def test_shares_are_met_for_every_label(cohort: tuple, val: float, test: float) -> None:
    labels, groups = cohort
    splits = np.array(assign_splits([""] * 600, labels, groups, SplitShares(val, test), 0))
    for name, share in (("val", val), ("test", test)):
        assert (splits == name).mean() == pytest.approx(share, abs=0.02)
        for label in range(5):
            assert (splits[np.array(labels) == label] == name).mean() == pytest.approx(share, abs=0.06)


def test_same_seed_same_splits_and_others_differ(cohort: tuple) -> None:
    labels, groups = (values[:150] for values in cohort)
    first, again, other = (assign_splits([""] * 150, labels, groups, SplitShares(), seed) for seed in (0, 0, 99))
    assert first == again != other


def test_official_splits_are_kept_and_val_comes_out_of_train(cohort: tuple) -> None:
    labels, groups = cohort
    official = ["train"] * 500 + ["test"] * 100
    splits = assign_splits(official, labels, groups, SplitShares(0.2, 0.2), 0)
    assert splits[500:] == ["test"] * 100 and "test" not in splits[:500]
    assert splits.count("val") == pytest.approx(100, abs=6)


def test_too_few_photographs_are_refused() -> None:
    with pytest.raises(KerasDrError, match="split"):
        assign_splits(["", ""], [0, 1], [0, 1], SplitShares(), 0)


@pytest.mark.parametrize("shares", [(0, 0.2), (0.2, 1), (0.6, 0.5)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(KerasDrError, match="shares"):
        SplitShares(*shares)


def test_leaks_are_training_photographs_with_a_copy_that_judges() -> None:
    official = ["train", "test", "val", "test", "train", "val", "", "train"]
    copies = [0, 0, 1, 1, 2, 2, 1, 3]
    assert find_leaks(official, copies) == {0: 1, 2: 3, 4: 5, 6: 3}


def test_without_official_splits_nothing_leaks() -> None:
    assert find_leaks(["", "", ""], [0, 0, 0]) == {}


def test_pairs_link_groups() -> None:
    assert group_photographs(["a", "b", "c", "c"], pairs=[(0, 3)]) == [0, 1, 0, 0]


@pytest.mark.parametrize(("val", "test"), [(0.04, 0.04), (0.06, 0.2), (0.03, 0.94)])
def test_small_and_large_shares_are_met(val: float, test: float) -> None:
    splits = assign_splits([""] * 200, [index % 2 for index in range(200)], range(200), SplitShares(val, test), 0)
    assert splits.count("val") == pytest.approx(200 * val, abs=3)
    assert splits.count("test") == pytest.approx(200 * test, abs=3)


def test_four_photographs_a_class_are_enough() -> None:
    splits = assign_splits([""] * 20, [index % 5 for index in range(20)], range(20), SplitShares(), 0)
    assert [splits.count(name) for name in ("train", "val", "test")] == [10, 5, 5]


def test_blank_rows_follow_their_group_into_test_before_val() -> None:
    official = ["test", "", "val", "", "", "train", "val", "test", ""]
    groups = [0, 0, 1, 1, 2, 2, 3, 3, 3]
    expected = ["test", "test", "val", "val", "train", "train", "val", "test", "test"]
    assert assign_splits(official, [0] * 9, groups, SplitShares(), 0) == expected


def test_patients_on_both_sides_are_counted() -> None:
    assert count_straddling(["train", "test", "train", "train", "val"], ["a", "a", "b", "b", "c"]) == 1


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(KerasDrError, match="is not from 0 to"):
        assign_splits([""] * 20, [0] * 20, range(20), SplitShares(), seed)


def test_the_largest_seed_cuts() -> None:
    assert set(assign_splits([""] * 20, [0] * 20, range(20), SplitShares(), MAX_SEED)) == {"train", "val", "test"}


def test_an_error_comes_back_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(KerasDrError("This is that.", "Mend it.")))
    assert (str(error), error.remedy) == ("This is that. Mend it.", "Mend it.")


def test_calibration_takes_whole_groups_and_leaves_the_other_shares(cohort: tuple) -> None:
    labels, groups = cohort
    splits = assign_splits([""] * 600, labels, groups, SplitShares(0.2, 0.2, 0.15), 0)
    assert all(splits[index] == splits[index + 1] for index in range(0, 600, 2))
    for name, share in (("test", 0.2), ("val", 0.2), (CALIBRATION, 0.15), ("train", 0.45)):
        assert splits.count(name) == pytest.approx(600 * share, abs=15)


def test_calibration_leaves_the_test_split_as_it_is_without(cohort: tuple) -> None:
    labels, groups = cohort
    without, with_calibration = (
        assign_splits([""] * 600, labels, groups, SplitShares(0.2, 0.2, share), 0) for share in (0.0, 0.15)
    )
    assert CALIBRATION not in without
    assert [name == "test" for name in without] == [name == "test" for name in with_calibration]


def test_calibration_never_takes_official_val_or_test_nor_their_groups() -> None:
    official = ["test"] * 100 + ["val"] * 100 + ["train"] * 400
    groups = [*range(100), *range(100), *range(400)]  # 200 training photographs share a group with val or test
    splits = assign_splits(official, [index % 2 for index in range(600)], groups, SplitShares(0.2, 0.2, 0.3), 0)
    assert splits[:200] == official[:200]
    taken = [index for index, name in enumerate(splits) if name == CALIBRATION]
    assert taken and min(taken) >= 300  # the groups 0 to 99 are those of val and test


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_impossible_shares_for_calibration_are_refused(share: float) -> None:
    with pytest.raises(KerasDrError, match="--calibration"):
        SplitShares(0.2, 0.2, share)


def test_too_few_groups_for_calibration_are_refused() -> None:
    with pytest.raises(KerasDrError, match="calibration"):
        assign_splits([""] * 3, [0, 0, 0], [0, 1, 2], SplitShares(calibration=0.3), 0)
