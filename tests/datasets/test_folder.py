"""Folders whose names are not classes are not taken for classes; splits may lie above or below the classes."""

from pathlib import Path

import pytest
from layouts import put
from sources import class_counts, inspect_with, write_class_folders

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.inspection import inspect


def test_two_levels_of_class_folders(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "Lima/0", "Lima/4", "Cusco/0", "Cusco/4")
    with pytest.raises(KerasDrError, match=r"folders Cusco, Lima, or the folders in them, 0, 4.*--classes"):
        inspect(tmp_path)
    inspection = inspect_with(tmp_path, classes="0,4", positive="4")
    assert class_counts(inspection) == {"0": 4, "4": 4} and len({r.image_id for r in inspection.records}) == 8


@pytest.mark.parametrize(
    "names", [("train_images", "val_images", "test_images"), ("Base11", "Base12"), ("images", "mask", "manual1")]
)
def test_names_that_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(KerasDrError, match=f"layout .* folders .*{names[0]}"):
        inspect(write_class_folders(tmp_path, *names))


@pytest.mark.parametrize("place", ["own", "0/own"])
def test_a_prepared_set_inside_the_source_is_no_part_of_it(tmp_path: Path, place: str) -> None:
    write_class_folders(tmp_path, "0", "4")
    put(tmp_path / place / "prepared.json", "{}")
    put(tmp_path / place / "manifest.csv", "image_id,grade,path\na,0,images/a.png\n")
    put(tmp_path / place / "duplicates.csv", "image,grade\na,0\n")
    put(tmp_path / place / "images" / "a.png")
    inspection = inspect(tmp_path)
    assert inspection.dataset == "folder"
    assert [record.grade for record in inspection.records] == [0, 0, 4, 4]


def test_a_file_named_like_a_manifest_hides_no_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "no_dr", "mild", "severe")
    for name in ("metrics.json", "prepared.json"):
        put(tmp_path / "mild" / name, "{}")
    assert [record.grade for record in inspect(tmp_path).records] == [1, 1, 0, 0, 3, 3]


def test_train_dev_test(tmp_path: Path) -> None:
    inspection = inspect(
        write_class_folders(tmp_path, *(f"{split}/{grade}" for split in ("train", "dev", "test") for grade in "02"))
    )
    assert [record.split for record in inspection.records] == ["val"] * 4 + ["test"] * 4 + ["train"] * 4


def test_a_split_of_no_known_name(tmp_path: Path) -> None:
    write_class_folders(tmp_path, *(f"{split}/{grade}" for split in ("train", "holdout", "test") for grade in "02"))
    with pytest.raises(KerasDrError, match=r"holdout holds classes \(0, 2\), but its name is not a split"):
        inspect(tmp_path)


def test_splits_below_classes(tmp_path: Path) -> None:
    inspection = inspect(
        write_class_folders(tmp_path, *(f"{grade}/{split}" for split in ("train", "test") for grade in "02"))
    )
    assert [record.split for record in inspection.records] == ["test", "test", "train", "train"] * 2


def test_subfolders_rare_suffixes_and_none(tmp_path: Path) -> None:
    for name in ("0/a.jpg", "0/2019/b.jpg", "2/c.ppm", "2/d.jfif", "2/e"):
        put(tmp_path / name)
    inspection = inspect(tmp_path)
    assert sorted(record.path.name for record in inspection.records) == ["a.jpg", "b.jpg", "c.ppm", "d.jfif", "e"]
