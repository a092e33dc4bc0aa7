"""The page in Chromium: results equal to edge_demo's, offline, broken files, accessibility."""

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_files import EYE, saved
from web_page import WEB, use_page

import keras_dr as dr
from edge_demo.results import Failure, Outcome, encode_outcomes, outcomes_json
from keras_dr.core.errors import KerasDrError
from keras_dr.synthetic.photographs import synthesise

EXAMPLES = Path(__file__).parents[2] / "edge_demo" / "examples"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dr.export_web("idrid-lite", tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Published photographs, drawn ones with faults, and files that are refused."""
    folder = tmp_path_factory.mktemp("photographs")
    wide = synthesise(2, 1, "left", (712, 1072)).image
    drawn = {
        "drawn.jpg": wide,
        "dark.jpg": wide // 6,
        "blurred.jpg": cv2.GaussianBlur(wide, (0, 0), 12),
        "squashed.jpg": cv2.resize(wide, (712, 712)),
        "two.jpg": np.concatenate([wide[::2, ::2]] * 2, axis=1),
        'grey, "all" over.png': np.full((300, 400, 3), 128, np.uint8),
    }
    for name, image in drawn.items():
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, image[..., ::-1])[1].tobytes())
    jpeg = cv2.imencode(".jpg", EYE[..., ::-1])[1].tobytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no photograph")
    (folder / "gif.jpg").write_bytes(saved("GIF"))
    huge = bytearray(jpeg)
    frame = jpeg.index(b"\xff\xc0")
    huge[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"  # height and width
    (folder / "huge.jpg").write_bytes(huge)
    for example in EXAMPLES.glob("*.jpg"):
        shutil.copy(example, folder)
    return sorted(folder.iterdir())


def in_python(files: list[Path], variant: str, point: str | None = None) -> tuple[dr.Grader, list[Outcome]]:
    grader = dr.Grader("idrid-lite", variant, threads=1, operating_point=point)
    outcomes: list[Outcome] = []
    for file in files:
        try:
            outcomes.append(grader.grade(file, file.name))
        except KerasDrError as error:
            outcomes.append(Failure(file.name, str(error)))
    return grader, outcomes


def check_equal(shown: dict, files: list[Path], variant: str, point: str | None = None, largest: float = 1e-5) -> None:
    """Compare what the page saved with what edge_demo writes."""
    grader, outcomes = in_python(files, variant, point)
    expected = json.loads(json.dumps(outcomes_json(grader.bundle, variant, outcomes)))  # tuples become lists
    actual = shown["json"]
    same = ("schema_version", "kind", "variant", "model_sha256", "operating_point", "threshold", "referable")
    for key in (*same, "counts", "notice"):
        assert actual[key] == expected[key], key
    assert [row["path"] for row in actual["failures"]] == [row["path"] for row in expected["failures"]]
    for row, wanted in zip(actual["photographs"], expected["photographs"], strict=True):
        assert row.keys() == wanted.keys()
        for key in row.keys() - {"probabilities", "p_referable", "reason"}:
            assert row[key] == wanted[key], (row["path"], key)
        values = [*row["probabilities"].values(), row["p_referable"]]
        wanted_values = [*wanted["probabilities"].values(), wanted["p_referable"]]
        assert np.abs(np.subtract(values, wanted_values)).max() <= largest, row["path"]
        assert row["reason"][:20] == wanted["reason"][:20]
    table = list(csv.reader(io.StringIO(shown["csv"])))
    wanted_table = list(csv.reader(io.StringIO(encode_outcomes(grader.bundle, outcomes).decode())))
    assert table[0] == wanted_table[0]
    assert [row[1] for row in table] == [row[1] for row in wanted_table]


def test_results_are_those_of_edge_demo(site: Path, photographs: list[Path], tmp_path: Path) -> None:
    files = [str(file) for file in photographs]
    steps = [["open", None], ["grade", files], ["save", "float32"], ["variant", "int8"], ["save", "int8"]]
    steps += [["point", "sensitivity-95"], ["save", "point"]]
    result = use_page(site, tmp_path, steps)
    check_equal(result["float32"], photographs, "float32")
    check_equal(result["int8"], photographs, "int8")
    check_equal(result["point"], photographs, "int8", "sensitivity-95")
    errors = {row["path"]: row["error"] for row in result["float32"]["json"]["failures"]}
    assert "truncated" in errors["cut.jpg"] and "empty file" in errors["empty.jpg"]
    assert "65535 x 65535" in errors["huge.jpg"] and "a GIF picture" in errors["gif.jpg"]


def test_the_page_works_without_a_network(site: Path, tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    steps = [["open", None], ["grade", [example]], ["save", "online"], ["offline", None]]
    result = use_page(site, tmp_path, [*steps, ["grade", [example]], ["save", "offline"], ["caches", None]])
    assert result["offline"]["json"] == result["online"]["json"]
    assert len(result["caches"]) == 1


def test_an_altered_model_is_refused(site: Path, tmp_path: Path) -> None:
    altered = tmp_path / "site"
    shutil.copytree(site, altered)
    model = altered / "bundle" / "float32.tflite"
    data = bytearray(model.read_bytes())
    data[-1000] ^= 1
    model.write_bytes(data)
    result = use_page(altered, tmp_path, [["open", None]])
    assert "is not the one that this page was made with" in result["ready"]
    files = altered / "files.js"  # also if someone writes the altered file's hash into the list
    about = json.loads(files.read_text()[len("self.SITE = ") : -2])
    about["files"]["bundle/float32.tflite"] = hashlib.sha256(data).hexdigest()
    files.write_text(f"self.SITE = {json.dumps(about)};\n")
    result = use_page(altered, tmp_path, [["open", None]])
    assert "SHA-256" in result["ready"]


def test_accessibility_on_a_desk_and_on_a_phone(site: Path, tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    steps = [["open", None], ["axe", str(AXE)], ["grade", [example]], ["axe", str(AXE)], ["resize", [320, 640]]]
    steps += [["axe", str(AXE)], ["dark", None], ["axe", str(AXE)], ["keys", ["Tab", "Tab"]]]
    result = use_page(site, tmp_path, steps)
    assert result["axe"] == []
    assert result["overflow"] == 0


def test_the_profile_has_the_form_of_profile_json(site: Path, tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    profile = use_page(site, tmp_path, [["open", None], ["grade", [example]], ["profile", None]])["profile"]
    (measurement,) = profile["measurements"]
    assert profile["kind"] == "profile" and measurement["repeats"] == 20
    assert list(measurement["stages"]) == ["decode", "prepare", "invoke", "overlay"]
    medians = [stage["p50_ms"] for stage in measurement["stages"].values()]
    assert all(0 < median < measurement["total"]["p99_ms"] for median in medians)
