import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from preparation import content, copied, prepare, read_csv

from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.records import Record
from keras_dr.preparation import prepare as preparing
from keras_dr.preparation.audit import audit
from keras_dr.preparation.photograph import Row
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.preparation import audit_text, prepared_text


def test_result_does_not_depend_on_the_number_of_workers(
    prepared_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    prepare(photographs, tmp_path / "again", workers=2)
    assert content(tmp_path / "again") == content(prepared_folder)


def test_without_a_number_there_are_as_many_workers_as_usable_cores(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def map_here(
        work: Callable[[Record], Row], records: Sequence[Record], workers: int
    ) -> Iterator[tuple[Record, Row]]:
        asked.append(workers)
        yield from ((record, work(record)) for record in records)

    monkeypatch.setattr(preparing, "usable_cores", lambda: 7)
    monkeypatch.setattr(preparing, "map_surviving", map_here)
    prepare(photographs, tmp_path / "set", workers=None)
    assert asked == [7]


def test_patients_whom_official_splits_put_on_both_sides_are_counted(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    rows = read_csv(source / "labels.csv")
    last = rows[-1]["patient_id"]
    for row in rows:
        row["split"] = "test" if row["patient_id"] == last else ""
    rows[0] |= {"patient_id": last, "split": "train"}
    (source / "labels.csv").write_bytes(encode_csv(tuple(rows[0]), rows))
    about = prepare(source, tmp_path / "set")
    assert about["patients_on_both_sides"] == 1


def test_a_seed_out_of_range_is_refused_before_any_work(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="is not from 0 to"):
        prepare(photographs, tmp_path / "set", seed=2**32)
    assert not (tmp_path / ".set.partial").exists()


def test_an_image_without_a_fundus_says_so(tmp_path: Path, photographs: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(photographs, source)
    name = sorted(path.name for path in (source / "images").iterdir())[0]
    cv2.imwrite(str(source / "images" / name), np.full((60, 90, 3), 128, np.uint8))
    for mask in source.glob(f"masks/*/{Path(name).stem}.png"):
        mask.unlink()
    about = prepare(source, tmp_path / "set")
    data = PreparedSet.load(tmp_path / "set")
    index = [row["image_id"] for row in data.rows].index(Path(name).stem)
    assert about["fundus_not_found"] == 1
    assert data.rows[index]["fundus_radius"] == "" and data.fundus(index).all()


def test_a_class_without_training_photographs_is_warned_of(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    kept = [line for line in (source / "labels.csv").read_text().splitlines() if ",1,p" not in line]
    (source / "labels.csv").write_text("\n".join(kept))
    about = prepare(source, tmp_path / "set")
    assert about["counts"]["train"]["mild"] == 0
    assert "the train split has no photograph of mild, so" in prepared_text(about)


def test_one_class_alone_in_training_is_refused(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    rows = read_csv(source / "labels.csv")
    for row in rows:
        row["split"] = "train" if row["grade"] == "1" else "test"
    rows[0]["split"], rows[1]["split"] = "val", "val"
    (source / "labels.csv").write_bytes(encode_csv(tuple(rows[0]), rows))
    with pytest.raises(KerasDrError, match="are all of the class mild"):
        prepare(source, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def noise(folder: Path, size: int) -> Path:
    """An .npz file of grey noise, which shows nothing round."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, size, size), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None] % 2
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    return folder / "pneumoniamnist.npz"


def test_images_of_28_pixels_are_prepared_as_they_are(tmp_path: Path) -> None:
    source = noise(tmp_path, 28)
    spec = Preprocessing(28, fundus="none")
    about = prepare(source, tmp_path / "set", spec)
    data = PreparedSet.load(tmp_path / "set")
    with np.load(source) as arrays:
        assert np.array_equal(data.split("test").images()[..., 0], arrays["test_images"])
    assert data.preprocessing == spec and (about["fundus_not_found"], about["too_small_for_near_copies"]) == (0, 20)
    assert "show fewer than 64 pixels" in prepared_text(about) and "20 photographs show" in audit_text(audit([data]), 0)


def test_a_set_without_fundus_is_told_of_the_option(tmp_path: Path) -> None:
    source = noise(tmp_path, 64)
    assert "--fundus none" in prepared_text(prepare(source, tmp_path / "set"))


def test_referable_task_maps_the_grades(photographs: Path, tmp_path: Path) -> None:
    prepare(photographs, tmp_path / "set", task="referable")
    data = PreparedSet.load(tmp_path / "set")
    assert all((row["label"] == "referable") == (int(row["grade"]) >= 2) for row in data.rows)


def test_quality_stands_in_the_manifest_and_its_limits_in_prepared_json(photographs: Path, tmp_path: Path) -> None:
    source = copied(photographs, tmp_path)
    file = sorted((source / "images").iterdir())[8]
    cv2.imwrite(str(file), cv2.imread(str(file)) // 6)
    about = prepare(source, tmp_path / "set")
    row = next(row for row in PreparedSet.load(tmp_path / "set").rows if row["image_id"] == file.stem)
    assert row["gradable"] == "no" and "dark" in row["reasons"] and about["not_gradable"] >= 1
    assert float(row["illumination"]) < about["quality_limits"]["illumination"][0]
