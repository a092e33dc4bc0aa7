"""keras_dr.prediction.photograph_list: how the list is kept and divided."""

from pathlib import Path

import pytest

from keras_dr.prediction.photograph_list import read_part, split_list, write_list


def test_parts_hold_each_photograph_once_in_order(tmp_path: Path) -> None:
    photographs = [Path(f"{n}\n\udcff.jpg") for n in range(10)]
    write_list(photographs, tmp_path / "list")
    parts = split_list(tmp_path / "list", 4)
    assert [part.count for part in parts] == [4, 4, 2]
    assert [path for part in parts for path in read_part(tmp_path / "list", part)] == photographs


def test_an_existing_list_is_left_unchanged(tmp_path: Path) -> None:
    write_list([Path("a.jpg")], tmp_path / "list")
    write_list([Path("b.jpg")], tmp_path / "list")
    assert read_part(tmp_path / "list", split_list(tmp_path / "list")[0]) == [Path("a.jpg")]


@pytest.mark.parametrize(("count", "size"), [(40, 32), (50_000, 50)])
def test_parts_are_a_thousandth_but_not_too_small(count: int, size: int, tmp_path: Path) -> None:
    write_list([Path("a.jpg")] * count, tmp_path / "list")
    assert split_list(tmp_path / "list")[0].count == size
