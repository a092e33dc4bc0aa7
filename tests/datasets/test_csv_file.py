"""Tables whose names are splits are read together, and a table may lie in a folder of its own."""

from pathlib import Path

from layouts import put
from sources import text_of, write_table

from keras_dr.datasets.inspection import inspect


def test_split_folders_beside_their_tables(tmp_path: Path) -> None:
    for split, names in (("train", "abcdef"), ("valid", "ab"), ("test", "ab")):
        rows = [f"{name},{number % 5}" for number, name in enumerate(names)]
        images = {"train": "train_images", "valid": "val_images", "test": "test_images"}[split]
        write_table(tmp_path, "id_code,diagnosis", *rows, name=f"{split}.csv", images=f"{images}/{images}")
    inspection = inspect(tmp_path)
    assert [record.split for record in inspection.records] == ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    assert all(record.path.parent.name.startswith(record.split) for record in inspection.records)
    assert len({record.image_id for record in inspection.records}) == 10 and "3 tables read, 0 not used" in text_of(
        inspection
    )


def test_a_table_in_a_folder_of_its_own(tmp_path: Path) -> None:
    put(tmp_path / "Groundtruth" / "labels.csv", "image,grade\na,0\nb,3\n")
    for name in "ab":
        put(tmp_path / "Images" / f"{name}.jpg")
    assert [record.grade for record in inspect(tmp_path).records] == [0, 3]


def test_folders_of_another_grade_than_the_table_are_reported(tmp_path: Path) -> None:
    for name, folder in (("a", "0"), ("b", "4")):
        put(tmp_path / folder / f"{name}.jpg")
    put(tmp_path / "labels.csv", "image,grade\na,0\nb,2\n")
    assert "Photographs in a folder of another grade than the table says: 1, such as 4/b.jpg (2)" in text_of(
        inspect(tmp_path)
    )
