"""keras_dr.cluster.photographs: how the list is kept and cut."""

from pathlib import Path

import pytest

from keras_dr.cluster.photographs import cut, freeze, read_part


def test_parts_hold_each_photograph_once_in_order(tmp_path: Path) -> None:
    photographs = [Path(f"{n}\n\udcff.jpg") for n in range(10)]
    freeze(photographs, tmp_path / "list")
    parts = cut(tmp_path / "list", 4)
    assert [part.count for part in parts] == [4, 4, 2]
    assert [path for part in parts for path in read_part(tmp_path / "list", part)] == photographs


def test_a_frozen_list_stays(tmp_path: Path) -> None:
    freeze([Path("a.jpg")], tmp_path / "list")
    freeze([Path("b.jpg")], tmp_path / "list")
    assert read_part(tmp_path / "list", cut(tmp_path / "list")[0]) == [Path("a.jpg")]


@pytest.mark.parametrize(("count", "size"), [(40, 32), (50_000, 50)])
def test_parts_are_a_thousandth_but_not_too_small(count: int, size: int, tmp_path: Path) -> None:
    freeze([Path("a.jpg")] * count, tmp_path / "list")
    assert cut(tmp_path / "list")[0].count == size
