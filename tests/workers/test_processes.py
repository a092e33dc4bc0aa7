"""keras_dr.workers.processes: every item gets its result, except items that killed a process."""

import os

import pytest
from work import doomed, double, fragile, full

from keras_dr.core.errors import KerasDrError
from keras_dr.workers.processes import map_surviving


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_item_gets_its_result(workers: int) -> None:
    assert sorted(map_surviving(double, range(40), workers)) == [(item, 2 * item) for item in range(40)]


def test_one_worker_is_another_process() -> None:
    assert list(map_surviving(os.getpgid, [0], 1)) and list(map_surviving(fragile, [7], 1)) == [(7, None)]


def test_a_dead_process_loses_only_its_own_item() -> None:
    results = dict(map_surviving(fragile, range(40), 2))
    assert results == {item: None if item in (7, 30) else 2 * item for item in range(40)}


@pytest.mark.slow
def test_processes_that_always_die_are_an_error() -> None:
    with pytest.raises(KerasDrError, match="8 worker processes died"):
        list(map_surviving(doomed, range(40), 2))


def test_an_error_of_the_work_ends_it() -> None:
    with pytest.raises(OSError, match="No space"):
        list(map_surviving(full, range(40), 2))
