import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_dr.synthetic.photographs import LESIONS, SyntheticPhotograph, synthesise, write_dataset

SMALL = (120, 160)


def spots(mask: np.ndarray) -> int:
    return int(cv2.connectedComponents(np.ascontiguousarray(mask))[0]) - 1


def disc_x(photograph: SyntheticPhotograph) -> float:
    return float(np.nonzero(photograph.masks["optic_disc"])[1].mean())


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_dataset(folder, count=21, seed=7, size=SMALL, workers=1)
    return folder


def test_image_and_masks_have_the_asked_size() -> None:
    photograph = synthesise(1, 3, size=SMALL)
    assert photograph.image.shape == (*SMALL, 3)
    assert photograph.image.dtype == np.uint8
    assert all(mask.shape == SMALL and mask.dtype == np.uint8 for mask in photograph.masks.values())


def test_masks_are_0_or_255() -> None:
    assert all(set(np.unique(mask)) == {0, 255} for mask in synthesise(1, 4, size=SMALL).masks.values())


def test_same_seed_same_bytes() -> None:
    first, second = synthesise(5, 4, size=SMALL), synthesise(5, 4, size=SMALL)
    assert first.image.tobytes() == second.image.tobytes()
    assert {k: v.tobytes() for k, v in first.masks.items()} == {k: v.tobytes() for k, v in second.masks.items()}


def test_different_seeds_differ() -> None:
    assert not np.array_equal(synthesise(5, 2, size=SMALL).image, synthesise(6, 2, size=SMALL).image)


def test_fellow_eyes_share_the_camera() -> None:
    left, right = (synthesise(seed, 0, eye, SMALL, patient_seed=9) for seed, eye in ((1, "left"), (2, "right")))
    assert left.fundus[2] == right.fundus[2]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grade", range(5))
def test_masks_lie_within_the_fundus(grade: int, seed: int) -> None:
    photograph = synthesise(seed, grade, "left" if seed % 2 else "right", SMALL)
    x, y, radius = photograph.fundus
    for mask in photograph.masks.values():
        rows, columns = np.nonzero(mask)
        assert np.hypot(columns - x, rows - y).max() <= radius


def test_surround_is_dark_and_fundus_is_not() -> None:
    photograph = synthesise(1, 0)
    x, y, radius = photograph.fundus
    rows, columns = np.indices(photograph.image.shape[:2])
    distance = np.hypot(columns - x, rows - y)
    assert photograph.image[distance > radius + 4].max() < 30
    assert photograph.image[distance < 0.8 * radius][:, 0].min() > 30


def test_grade_0_has_no_lesion() -> None:
    assert set(synthesise(2, 0, size=SMALL).masks) == {"optic_disc"}


def test_grade_1_has_only_microaneurysms() -> None:
    assert set(synthesise(2, 1, size=SMALL).masks) == {"optic_disc", "microaneurysms"}


@pytest.mark.parametrize("seed", range(3))
def test_grade_2_has_few_haemorrhages(seed: int) -> None:
    assert 1 <= spots(synthesise(seed, 2).masks["haemorrhages"]) <= 20


@pytest.mark.parametrize("seed", range(3))
def test_grade_3_has_more_than_20_haemorrhages_in_four_quadrants(seed: int) -> None:
    photograph = synthesise(seed, 3)
    mask = photograph.masks["haemorrhages"]
    column, row = (round(value) for value in photograph.fundus[:2])
    assert spots(mask) > 20
    assert all(part.any() for half in (mask[:row], mask[row:]) for part in (half[:, :column], half[:, column:]))


@pytest.mark.parametrize("seed", range(3))
def test_only_grade_4_has_new_vessels(seed: int) -> None:
    assert ["new_vessels" in synthesise(seed, grade, size=SMALL).masks for grade in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize(("eye", "side"), [("left", -1), ("right", 1)])
def test_optic_disc_lies_on_the_side_of_the_eye(eye: str, side: int) -> None:
    photograph = synthesise(3, 0, eye, SMALL)
    assert side * (disc_x(photograph) - photograph.fundus[0]) > 0.3 * photograph.fundus[2]


def test_left_eye_mirrors_right_eye() -> None:
    left, right = synthesise(3, 1, "left", SMALL), synthesise(3, 1, "right", SMALL)
    assert np.array_equal(left.image, right.image[:, ::-1])
    assert left.fundus[0] == SMALL[1] - 1 - right.fundus[0]


@pytest.mark.parametrize(
    "arguments",
    [{"grade": 5}, {"grade": -1}, {"grade": 1, "eye": "OD"}, {"grade": 1, "size": (10, 10)}, {"grade": 1, "seed": -1}],
)
def test_bad_arguments_raise(arguments: dict) -> None:
    with pytest.raises(ValueError, match=r" must be .*, not "):
        synthesise(**{"seed": 1, **arguments})


@pytest.mark.parametrize("arguments", [{"count": 0}, {"workers": 0}, {"seed": -1}, {"size": (10, 10)}])
def test_write_dataset_refuses_bad_arguments_before_it_writes(tmp_path: Path, arguments: dict) -> None:
    with pytest.raises(ValueError, match=r" must be .*, not "):
        write_dataset(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_dataset_has_a_row_and_a_file_an_image(dataset: Path) -> None:
    rows = labels(dataset)
    assert list(rows[0]) == ["image", "grade", "patient_id", "eye"]
    assert len(rows) == 21
    assert {row["image"] for row in rows} == {f"images/{path.name}" for path in (dataset / "images").iterdir()}


def test_dataset_images_decode_to_the_asked_size(dataset: Path) -> None:
    assert cv2.imread(str(dataset / labels(dataset)[0]["image"])).shape == (*SMALL, 3)


def test_dataset_holds_every_grade(dataset: Path) -> None:
    assert {row["grade"] for row in labels(dataset)} == set("01234")


def test_dataset_patients_have_two_eyes_of_close_grades(dataset: Path) -> None:
    eyes = defaultdict(dict)
    for row in labels(dataset):
        eyes[row["patient_id"]][row["eye"]] = int(row["grade"])
    complete = list(eyes.values())[:-1]  # of 21 photographs, the last patient has one
    assert len(complete) == 10
    assert all(set(pair) == {"left", "right"} and abs(pair["left"] - pair["right"]) <= 1 for pair in complete)


def test_dataset_has_masks_of_existing_lesions_only(dataset: Path) -> None:
    for row in labels(dataset):
        name = Path(row["image"]).stem
        lesions = {lesion for lesion in LESIONS if (dataset / "masks" / lesion / f"{name}.png").exists()}
        assert (dataset / "masks" / "optic_disc" / f"{name}.png").exists()
        assert bool(lesions) == (row["grade"] != "0")
        assert ("new_vessels" in lesions) == (row["grade"] == "4")


def test_dataset_does_not_depend_on_workers(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, count=21, seed=7, size=SMALL, workers=2)
    assert files(tmp_path) == files(dataset)


def test_rewriting_leaves_no_mask_of_the_earlier_data(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, count=21, seed=8, size=SMALL, workers=1)
    write_dataset(tmp_path, count=21, seed=7, size=SMALL, workers=1)
    assert files(tmp_path) == files(dataset)


def test_progress_counts_photographs(tmp_path: Path) -> None:
    counts: list[int] = []
    write_dataset(tmp_path, count=3, size=SMALL, workers=1, progress=counts.append)
    assert counts == [1, 2, 3]
