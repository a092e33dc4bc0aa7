"""edge_demo with unusual, broken and hostile photographs and bundles."""

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_fixtures import SIZE, change
from places import ROOT

from edge_demo import __main__ as command
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.core.errors import KerasDrError

RNG = np.random.default_rng(0)
NO_FUNDUS = {
    "noise": RNG.integers(0, 256, (90, 120, 3), np.uint8),
    "page": np.where(RNG.random((90, 120, 1)) < 0.1, 0, 255).astype(np.uint8).repeat(3, 2),
    "stripes": (np.indices((90, 120)).sum(0) // 8 % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2),
    "black": np.zeros((90, 120, 3), np.uint8),
    "white": np.full((90, 120, 3), 255, np.uint8),
}


@pytest.fixture
def grader(bundle_folder: Path) -> Grader:
    change(bundle_folder, threshold=2, referable=[1])  # so that no photograph is referred
    return Grader(Bundle.load(bundle_folder))


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("name", NO_FUNDUS)
def test_what_shows_no_fundus_is_to_be_retaken(grader: Grader, name: str) -> None:
    grading = grader.grade(encoded(NO_FUNDUS[name]), name)
    assert (grading.fundus_found, grading.faults, grading.action) == (False, ("no fundus",), "retake")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (1, 900, 3), (900, 1, 3)])
def test_a_single_pixel_or_line_is_graded_and_to_be_retaken(
    grader: Grader, suffix: str, shape: tuple[int, ...]
) -> None:
    grading = grader.grade(encoded(np.full(shape, 90, np.uint8), suffix), "dot")
    assert grading.action == "retake" and grading.overlay().shape == (SIZE, SIZE, 3)


def test_a_hundred_megapixels_are_graded(grader: Grader) -> None:
    disc = cv2.circle(np.zeros((10_000, 10_000), np.uint8), (5000, 5000), 4800, 150, cv2.FILLED)
    assert grader.grade(encoded(disc, ".jpg"), "large").fundus_found


def test_more_are_refused_by_their_header_and_the_rest_goes_on(
    bundle_folder: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 40_000, 40_000) + b"\x08\x02\0\0\0" + bytes(4)
    end = b"\0\0\0\0IEND\xaeB`\x82"
    (camera / "broken.png").write_bytes(bomb + end)
    assert command.main(["grade", str(bundle_folder), str(camera)]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "has 40000 x 40000 pixels of 3 bytes; it may have at most 100" in err
    assert out.count("proliferative; refer: by grade") == 2


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photograph_cut_anywhere_is_refused(grader: Grader, photograph: bytes, suffix: str) -> None:
    data = encoded(cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR), suffix)
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        with pytest.raises(KerasDrError):
            grader.grade(data[: int(len(data) * share)], "cut")


def test_a_bundle_of_a_newer_schema_asks_for_an_update(bundle_folder: Path) -> None:
    change(bundle_folder, schema_version=2)
    with pytest.raises(KerasDrError, match=r"schema version 2.*Update keras_dr: a newer version"):
        Bundle.load(bundle_folder)


def test_a_wrong_hash_is_told_before_the_runtime_is_even_imported(bundle_folder: Path, camera: Path) -> None:
    file = bundle_folder / "int8.tflite"
    file.write_bytes(file.read_bytes()[:-1])
    program = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from edge_demo import __main__ as command\n"
        f"sys.exit(command.main(['grade', {str(bundle_folder)!r}, {str(camera / 'a.jpg')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "has the SHA-256" in done.stderr and done.stderr.count("\n") == 1
