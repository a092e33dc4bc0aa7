import shutil
from pathlib import Path

import cv2
import pytest
from drawn import SIZE

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.preparation.audit import Audit, audit, write_copies
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.preparation import audit_text


@pytest.fixture(scope="module")
def home(prepared_folder: Path) -> PreparedSet:
    return PreparedSet.load(prepared_folder)


@pytest.fixture(scope="module")
def external(home: PreparedSet, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """The same photographs, re-encoded, enhanced and in other splits; one of them has another grade."""
    folder = tmp_path_factory.mktemp("external")
    source = Path(shutil.copytree(photographs, folder / "source"))
    for file in (source / "images").iterdir():
        cv2.imwrite(str(file), cv2.imread(str(file)), (cv2.IMWRITE_JPEG_QUALITY, 99))
    labels = source / "labels.csv"
    labels.write_text(labels.read_text().replace("p0001_left.jpg,0,", "p0001_left.jpg,1,"))
    name, records = read_records(source)
    spec = Preprocessing(SIZE, "clahe")
    prepare_records(records, source, folder / "external", spec, dataset=name, seed=7, workers=0)
    return PreparedSet.load(folder / "external")


@pytest.fixture(scope="module")
def result(home: PreparedSet, external: PreparedSet) -> Audit:
    return audit([home, external])


def test_one_clean_set_has_no_copies(home: PreparedSet) -> None:
    result = audit([home])
    assert result.copies == () and result.leaks == 0 and "No test photograph" in audit_text(result, 9)


def test_copies_across_sets_are_found_however_prepared(result: Audit) -> None:
    assert result.photographs == 120
    assert result.counts["duplicate_groups"] == result.counts["near_duplicates"] == 60
    assert result.counts["conflicting_groups"] == 1


def test_shared_sides_and_leaks_are_counted(result: Audit, home: PreparedSet, external: PreparedSet) -> None:
    splits = [{row["image_id"]: row["split"] for row in data.rows} for data in (home, external)]
    pairs = [tuple(sorted((("small", split), ("external", splits[1][name])))) for name, split in splits[0].items()]
    assert result.shared == {pair: pairs.count(pair) for pair in sorted(set(pairs))}
    leaks = sum("test" in (split, splits[1][name]) and split != splits[1][name] for name, split in splits[0].items())
    assert result.leaks == leaks > 0


def test_text_names_leaks_and_says_what_it_left_out(result: Audit) -> None:
    text = audit_text(result, 4)
    assert "LEAK" in text and "and 116 more" in text and f"{result.leaks} test photographs" in text


def test_the_list_is_written(result: Audit, tmp_path: Path) -> None:
    write_copies(tmp_path / "copies.csv", result)
    lines = (tmp_path / "copies.csv").read_text().splitlines()
    assert len(lines) == 121 and lines[0] == "image_id,set,split,grade,kind,conflict,leak,copy_of"
