"""Several pages, several fundi, and circles that became ellipses."""

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import encode
from PIL import Image
from places import SHARED
from preparation import prepare, read_csv

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.fundus import examine, find_fundus
from keras_dr.core.headers import read_header
from keras_dr.core.preprocessing import Preprocessing, prepare_image, prepare_photograph, read_photograph
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.reports.preparation import prepared_text
from keras_dr.synthetic.photographs import synthesise

OLD = {"size": 64, "enhance": "none", "fundus": "auto"}
EYE = synthesise(1, 3, "left", (480, 640)).image
IDRID = SHARED / "idrid" / "B. Disease Grading" / "1. Original Images" / "b. Testing Set"


def squash(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def pages(*images: np.ndarray) -> bytes:
    stream = io.BytesIO()
    first, *others = map(Image.fromarray, images)
    first.save(stream, "TIFF", save_all=True, append_images=others)
    return stream.getvalue()


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0)])
def test_the_largest_page_is_read(order: tuple[int, ...]) -> None:
    both = (squash(EYE, 64, 48), EYE)
    data = pages(*(both[index] for index in order))
    assert read_header(data, "largest").page == order.index(1)
    assert np.array_equal(decode_rgb(data, header=read_header(data, "largest")), EYE)
    assert np.array_equal(prepare_image(data, Preprocessing(64)), prepare_image(encode(EYE), Preprocessing(64)))


def test_an_old_set_keeps_the_first_page() -> None:
    small = squash(EYE, 64, 48)
    spec = Preprocessing.from_dict(OLD)
    assert np.array_equal(prepare_image(pages(small, EYE), spec), prepare_image(encode(small), spec))


def test_a_second_page_that_was_cut_off_is_missed() -> None:
    data = pages(squash(EYE, 64, 48), EYE)
    with pytest.raises(KerasDrError, match="truncated"):
        prepare_image(data[: len(data) // 2], Preprocessing(64))


def test_pages_that_follow_each_other_in_a_ring_end() -> None:
    data = bytearray(pages(EYE, EYE))
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    place = first + 2 + 12 * count
    data[place : place + 4] = data[4:8]
    assert read_header(bytes(data), "largest").page == 0


@pytest.mark.parametrize(
    "picture",
    [
        np.hstack([EYE, EYE[:, ::-1]]),
        np.vstack([EYE, EYE]),
        np.hstack([EYE[:, 80:560], EYE[:, 80:560]]),  # they touch
        squash(np.hstack([EYE, EYE]), 512, 512),
        np.vstack([np.hstack([EYE, EYE]), np.hstack([EYE, EYE])]),
        np.hstack([EYE, cv2.copyMakeBorder(squash(EYE, 480, 360), 60, 60, 0, 0, cv2.BORDER_CONSTANT)]),
    ],
    ids=["side by side", "one above the other", "touching", "squashed", "four", "of two sizes"],
)
def test_two_fundi_in_one_picture_are_seen(picture: np.ndarray) -> None:
    assert examine(picture).several


@pytest.mark.parametrize("seed", range(6))
def test_one_fundus_is_one(seed: int) -> None:
    image = synthesise(seed, seed % 5, "right", (300, 400)).image
    labelled = cv2.putText(image.copy(), "OD 17", (300, 290), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3)
    cut = image[60:240]
    boxed = cv2.rectangle(image.copy(), (0, 0), (90, 60), (250, 250, 250), -1)
    for variant in (image, labelled, cut, boxed):
        finding = examine(variant)
        assert not finding.several and (finding.widen, finding.heighten) == (1, 1)


def test_two_fundi_are_rejected_by_name(photographs: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(photographs, tmp_path / "source"))
    file = sorted((source / "images").iterdir())[5]
    cv2.imwrite(str(file), np.hstack([EYE, EYE])[..., ::-1])
    prepare(source, tmp_path / "set")
    (row,) = read_csv(tmp_path / "set" / "rejected.csv")
    assert row["image_id"] == file.stem and "two fundi" in row["reason"]


@pytest.mark.parametrize(("width", "height"), [(480, 480), (400, 480), (640, 330), (224, 224)])
def test_an_ellipse_becomes_a_circle_again(width: int, height: int) -> None:
    spec = Preprocessing(128)
    squashed = read_photograph(encode(squash(EYE, width, height)), spec)
    whole = read_photograph(encode(EYE), spec)
    assert squashed.stretched and squashed.fundus and whole.fundus and whole.stretched is None
    across = squashed.stretched[1] / 640
    assert squashed.stretched[0] / 480 == pytest.approx(across, rel=0.02)
    assert squashed.fundus.radius / across == pytest.approx(whole.fundus.radius, rel=0.02)
    images = [prepare_photograph(photograph, spec)[0].astype(int) for photograph in (squashed, whole)]
    assert np.abs(images[0] - images[1]).mean() < 3


def test_an_old_set_is_not_stretched() -> None:
    squashed = squash(EYE, 480, 480)
    photograph = read_photograph(encode(squashed), Preprocessing.from_dict(OLD))
    assert photograph.stretched is None and np.array_equal(photograph.pixels, squashed)


def test_a_squashed_jpeg_at_a_reduced_scale() -> None:
    large = squash(synthesise(2, 4, "left", (960, 1280)).image, 960, 960)
    data = cv2.imencode(".jpg", large[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes()
    reduced, full = read_photograph(data, Preprocessing(64)), read_photograph(data, Preprocessing(512))
    assert reduced.reduction > 1 and reduced.stretched and full.stretched and reduced.shape == (960, 960)
    assert reduced.stretched == pytest.approx(full.stretched, rel=0.01)
    assert reduced.fundus and full.fundus and reduced.fundus.radius == pytest.approx(full.fundus.radius, rel=0.01)


@pytest.mark.skipif(not IDRID.is_dir(), reason="IDRiD is not at hand")
def test_idrid_squashed_to_a_square() -> None:
    spec = Preprocessing(224)
    for file in sorted(IDRID.glob("*.jpg"))[:12]:
        image = decode_rgb(file.read_bytes())
        whole, squashed = (read_photograph(encode(pixels), spec) for pixels in (image, squash(image, 712, 712)))
        assert squashed.stretched and squashed.fundus and whole.fundus
        scale = image.shape[0] / squashed.stretched[0]
        assert squashed.fundus.radius * scale == pytest.approx(whole.fundus.radius, rel=0.02)
        images = [prepare_photograph(photograph, spec)[0].astype(int) for photograph in (squashed, whole)]
        assert np.abs(images[0] - images[1]).mean() < 3


def test_a_squashed_set_is_cropped_alike_and_counted(photographs: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(photographs, tmp_path / "source"))
    for file in (source / "images").iterdir():
        cv2.imwrite(str(file), cv2.resize(cv2.imread(str(file)), (96, 96), interpolation=cv2.INTER_AREA))
    for mask in (source / "masks").rglob("*.png"):
        cv2.imwrite(str(mask), cv2.resize(cv2.imread(str(mask), 0), (96, 96), interpolation=cv2.INTER_NEAREST))
    about = prepare(source, tmp_path / "set")
    rows = PreparedSet.load(tmp_path / "set").rows
    assert about["stretched"] == len(rows) == sum(row["stretched"].endswith("x96") for row in rows)
    assert about["fundus_not_found"] == 0 and "60 photographs were squashed" in prepared_text(about)


def test_a_tilted_ellipse_is_left_alone() -> None:
    drawn = cv2.ellipse(np.zeros((400, 500, 3), np.uint8), (250, 200), (200, 120), 30, 0, 360, (200, 110, 40), -1)
    assert (examine(drawn).widen, examine(drawn).heighten) == (1, 1) and find_fundus(drawn) is None
