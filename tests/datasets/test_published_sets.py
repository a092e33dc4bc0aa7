from pathlib import Path

import pytest
from layouts import put
from places import SHARED

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets import read_records
from keras_dr.datasets.grades import UNGRADABLE
from keras_dr.datasets.records import Record


def read(source: Path, name: str) -> list[Record]:
    """Return the records; the adapter must be recognised and the photographs must exist."""
    adapter, records = read_records(source)
    assert adapter == name
    assert all(record.path.is_file() for record in records)
    return records


@pytest.mark.parametrize(
    "folders",
    [("train_images",) * 2, ("colored_images/No_DR", "colored_images/Severe"), ("colored_images/x/No_DR",) * 2],
)
def test_aptos_in_both_layouts(tmp_path: Path, folders: tuple[str, str]) -> None:
    put(tmp_path / "train.csv", "\ufeffid_code,diagnosis \n0a1b,0\n2c3d,3\n")
    put(tmp_path / "test.csv", "id_code\nffff\n")
    for folder, name in zip(folders, ("0a1b", "2c3d"), strict=True):
        put(tmp_path / folder / f"{name}.png")
    put(tmp_path / "test_images" / "ffff.png")
    assert [(r.image_id, r.grade, r.patient_id) for r in read(tmp_path, "aptos")] == [
        ("0a1b", 0, "0a1b"),
        ("2c3d", 3, "2c3d"),
    ]


@pytest.mark.parametrize("folder", [".", "train"])
def test_eyepacs_pairs_the_eyes_of_a_patient(tmp_path: Path, folder: str) -> None:
    put(tmp_path / "trainLabels.csv", "image,level\n10_left,0\n10_right,4\n")
    for name in ("10_left", "10_right"):
        put(tmp_path / folder / f"{name}.jpeg")
    values = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in read(tmp_path, "eyepacs")]
    assert values == [("10_left", 0, "10", "left", ""), ("10_right", 4, "10", "right", "")]


def test_eyepacs_solution_is_the_official_test_split(tmp_path: Path) -> None:
    put(tmp_path / "trainLabels.csv", "image,level\n10_left,0\n")
    put(tmp_path / "retinopathy_solution.csv", "image,level,Usage\n1_left,0,Public\n1_right,2,Private\n")
    for name in ("train/10_left", "test/1_left", "test/1_right"):
        put(tmp_path / f"{name}.jpeg")
    values = [(r.split, r.path.parent.name, r.grade) for r in read(tmp_path, "eyepacs")]
    assert values == [("train", "train", 0), ("test", "test", 0), ("test", "test", 2)]


@pytest.fixture
def ddr(tmp_path: Path) -> Path:
    lists = {"train": "a b.jpg 0\n\nc.jpg 5\n", "valid": "d.jpg 3\n", "test": "e.jpg 4\n"}
    for name, text in lists.items():
        put(tmp_path / "DR_grading" / f"{name}.txt", text)
        for line in filter(None, text.splitlines()):
            put(tmp_path / "DR_grading" / name / line[:-2])
    return tmp_path


@pytest.mark.parametrize("part", ["", "DR_grading"])
def test_oia_ddr_has_three_splits_and_ungradable_photographs(ddr: Path, part: str) -> None:
    values = [(r.image_id, r.grade, r.split) for r in read(ddr / part, "oia-ddr")]
    assert values == [("a-b", 0, "train"), ("c", UNGRADABLE, "train"), ("d", 3, "val"), ("e", 4, "test")]


@pytest.mark.parametrize("line", ["x.jpg", "x.jpg 6", "x.jpg one", "../../etc/passwd 0", "/etc/passwd 0"])
def test_oia_ddr_lines_that_are_wrong_are_refused(ddr: Path, line: str) -> None:
    put(ddr / "DR_grading" / "test.txt", line)
    with pytest.raises(KerasDrError, match=r"label from 0 to 5|inside the data set"):
        read_records(ddr)


@pytest.mark.parametrize("columns", ["image_id,adjudicated_dr_grade", "id_code,diagnosis"])
def test_messidor_2_in_both_spellings(tmp_path: Path, columns: str) -> None:
    rows = "IM1.JPG,2,0,1\n20051020_1.png,,,0\nIM2.JPG,3,0,0\n"
    put(tmp_path / "messidor_data.csv", f"{columns},adjudicated_dme,adjudicated_gradable\n{rows}")
    put(tmp_path / "IMAGES" / "IM1.jpg")  # published names and files differ in case
    put(tmp_path / "IMAGES" / "20051020_1.png")
    put(tmp_path / "IM2.JPG")
    values = [(r.image_id, r.grade, r.patient_id) for r in read(tmp_path, "messidor-2")]
    expected = [("IM1", 2), ("20051020_1", UNGRADABLE), ("IM2", UNGRADABLE)]
    assert values == [(name, grade, name) for name, grade in expected]


@pytest.fixture
def deepdrid(tmp_path: Path) -> Path:
    header = (
        "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,Clarity"
    )
    for name, patient in (("regular-fundus-training", 1), ("regular-fundus-validation", 265)):
        rows = (f"{patient}_l1,0,3,", f"{patient}_r1,1,,5")  # image_id, quality, left, right
        lines = [rf"{patient},{row[:-4].split(',')[0]},\{name}\{patient}\{row.split(',')[0]}.jpg" for row in rows]
        text = "\n".join(f"{line},{row.split(',', 1)[1]},4,8" for line, row in zip(lines, rows, strict=True))
        folder = tmp_path / "regular_fundus_images" / name
        put(folder / f"{name}.csv", f"{header}\n{text}\n")
        put(folder / name.replace("fundus", "fundus-source").join(("", ".csv")), "image_id,source\n")
        for eye in ("l1", "r1"):
            put(folder / "Images" / str(patient) / f"{patient}_{eye}.jpg")
    return tmp_path


def test_deepdrid_takes_the_eye_s_grade_and_the_official_sets(deepdrid: Path) -> None:
    values = [(r.image_id, r.grade, r.patient_id, r.eye, r.split) for r in read(deepdrid, "deepdrid")]
    assert values == [
        ("1_l1", 3, "1", "left", "train"),
        ("1_r1", UNGRADABLE, "1", "right", "train"),
        ("265_l1", 3, "265", "left", "val"),
        ("265_r1", UNGRADABLE, "265", "right", "val"),
    ]


def test_one_set_of_deepdrid_has_no_official_split(deepdrid: Path) -> None:
    records = read(deepdrid / "regular_fundus_images" / "regular-fundus-validation", "deepdrid")
    assert {record.split for record in records} == {""}


def test_the_real_chest_x_rays_are_two_classes_of_patients() -> None:
    if not (SHARED / "chest_xray").is_dir():
        pytest.skip("the chest X-rays are not at hand")
    records = read(SHARED / "chest_xray", "csv")
    labels = [record.label for record in records]
    assert (labels.count("Cardiomegaly"), labels.count("Pneumothorax"), len(labels)) == (80, 37, 117)
    assert len({record.patient_id for record in records}) == 29
