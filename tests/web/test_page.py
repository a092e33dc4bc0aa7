"""The page in Chromium as people use it: by mouse and keyboard, offline, with broken and missing files."""

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from web_page import EXAMPLES, WEB, use_page

import keras_dr as dr
from edge_demo.shipped import find_bundle
from keras_dr.synthetic.photographs import synthesise

AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = pytest.mark.slow


def test_mouse_keyboard_and_dropped_files(site: Path, photographs: list[Path], tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    broken = str(next(file for file in photographs if file.name == "cut.jpg"))
    steps = [["open", None], ["variant", "int8"], ["chooseByMouse", [example]], ["slider", ["Home"]], ["show", "mouse"]]
    grey = str(next(file for file in photographs if file.name.startswith("grey")))
    steps += [["chooseByKeyboard", [broken]], ["show", "keyboard"], ["grade", [grey]], ["show", "grey"]]
    steps += [["drop", [example, broken]], ["save", "all"], ["entry", 0], ["card", None], ["clear", None]]
    result = use_page(site, tmp_path, steps)
    assert "Trained on 333 photographs of one camera in one clinic." in result["shown"]["mouse"]
    assert "Not graded" not in result["shown"]["mouse"] and result["opacity"] == "0"
    assert "truncated" in result["shown"]["keyboard"]
    assert "The photograph. No fundus was found in it." in result["shown"]["grey"]
    assert result["status"] == "2 photographs done; 1 of them could not be graded."
    assert result["card"].startswith("# idrid-lite")  # without the metadata above it
    assert result["all"]["json"]["counts"]["given"] == 5 and result["all"]["json"]["counts"]["failed"] == 2
    assert (result["title"], result["focus"]) == (Path(example).name, "result")
    assert not result["isListShown"]


def test_photographs_of_one_name_are_told_apart(site: Path, tmp_path: Path) -> None:
    """Some cameras give each photograph the same name. These are dropped while the grader is still being loaded."""
    files = []
    for name, example in zip(("image.jpg", "IMAGE.JPG", "image.jpg"), sorted(EXAMPLES.glob("*.jpg")), strict=True):
        folder = tmp_path / example.stem
        folder.mkdir()
        files.append(str(shutil.copy(example, folder / name)))
    result = use_page(site, tmp_path, [["openAndDrop", files], ["save", "saved"]])
    assert result["status"] == "3 photographs done."
    names = ["image.jpg", "IMAGE-2.JPG", "image-3.jpg"]
    assert [row["path"] for row in result["saved"]["json"]["photographs"]] == names
    assert [row["path"] for row in csv.DictReader(io.StringIO(result["saved"]["csv"]))] == names


def test_a_result_outlives_its_file(site: Path, tmp_path: Path) -> None:
    """The pictures of the last twenty photographs are kept; those of others are drawn anew from their files."""
    image = cv2.imencode(".jpg", synthesise(2, 1, "left", (300, 400)).image[..., ::-1])[1].tobytes()
    files = [tmp_path / f"{number}.jpg" for number in range(22)]
    for file in files:
        file.write_bytes(image)
    steps: list[list] = [["open", None], ["grade", list(map(str, files))], ["remove", str(files[0])]]
    steps += [["entry", 0], ["show", "gone"], ["point", "sensitivity-95"], ["save", "at another point"]]
    result = use_page(site, tmp_path, [*steps, ["variant", "int8"], ["save", "after a question"]])
    assert result["title"] == "0.jpg" and not result["arePicturesShown"]
    assert "The pictures of 0.jpg cannot be drawn again. The file cannot be read" in result["status"]
    assert "Not graded" not in result["shown"]["gone"]
    saved_rows = result["at another point"]["json"]
    assert (saved_rows["operating_point"], saved_rows["counts"]["failed"]) == ("sensitivity-95", 0)
    assert len({row["reason"] for row in saved_rows["photographs"]}) == 1
    assert result["asked"] == ["confirm"] and result["build"].startswith("Running float32")
    assert result["after a question"] == result["at another point"]


def test_unsaved_results_are_not_lost_without_a_question(site: Path, tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    steps = [["open", None], ["chooseByMouse", [example]], ["clear", None], ["leave", None], ["save", "saved"]]
    result = use_page(site, tmp_path, steps)
    assert result["asked"] == ["confirm", "beforeunload"] and result["isListShown"]
    assert result["saved"]["json"]["counts"]["given"] == 1
    result = use_page(site, tmp_path, [*steps[:2], ["save", "saved"], ["clear", None]])
    assert result["asked"] == [] and not result["isListShown"]


def test_a_model_that_cannot_be_loaded_leaves_the_former_one(site: Path, tmp_path: Path) -> None:
    altered = shutil.copytree(site, tmp_path / "altered")
    (altered / "bundle" / "int8.tflite").write_bytes(b"another model")
    example = str(next(EXAMPLES.glob("*.jpg")))
    steps: list[list] = [["open", None], ["grade", [example]], ["variant", "int8"]]
    result = use_page(altered, tmp_path, [*steps, ["grade", [example]], ["save", "saved"]])
    assert result["build"].startswith("Running float32")
    saved_rows = result["saved"]["json"]
    assert (saved_rows["variant"], len(saved_rows["photographs"])) == ("float32", 2)


def test_a_hundred_files_at_once(site: Path, photographs: list[Path], tmp_path: Path) -> None:
    """A broken file stops only itself; the result lists all of them in their order."""
    folder = tmp_path / "hundred"
    folder.mkdir()
    sources = [file for file in photographs if file.stem in ("cut", "empty", "text", "gif", "huge")]
    sources = [*sources, *sources, next(EXAMPLES.glob("*.jpg"))]
    for number in range(100):
        shutil.copy(sources[number % len(sources)], folder / f"{number:03}.jpg")
    files = sorted(folder.iterdir())
    result = use_page(
        site, tmp_path, [["open", None], ["variant", "int8"], ["grade", list(map(str, files))], ["save", "all"]]
    )
    assert result["all"]["json"]["counts"] | {"given": 100, "failed": 91} == result["all"]["json"]["counts"]
    assert [line.split(",")[1] for line in result["all"]["csv"].splitlines()[1:]] == [file.name for file in files]


def test_lack_of_memory_is_a_message_and_the_page_goes_on(site: Path, tmp_path: Path) -> None:
    """WebAssembly gets 190 MB; the coefficients of a progressive JPEG of 40 megapixels need 240 MB."""
    large = tmp_path / "large.jpg"
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    large.write_bytes(cv2.imencode(".jpg", np.full((5000, 8000, 3), 90, np.uint8), flags)[1].tobytes())
    example = next(EXAMPLES.glob("*.jpg"))
    steps = [["open", None], ["grade", [str(large), str(example)]], ["save", "all"]]
    flags = ["--js-flags=--wasm-max-mem-pages=3000"]
    all_of_them = use_page(site, tmp_path, steps, flags=flags, search="?build=relaxed SIMD")["all"]["json"]
    assert "too little memory" in all_of_them["failures"][0]["error"]
    assert [row["path"] for row in all_of_them["photographs"]] == [example.name]


def test_a_new_version_is_announced_and_replaces_the_old_one(tmp_path: Path) -> None:
    bundle = shutil.copytree(find_bundle("idrid-lite"), tmp_path / "bundle")
    site = dr.export_web(bundle, tmp_path / "site", variants=["int8"])
    (bundle / "MODEL_CARD.md").write_text("Another card.")
    newer = dr.export_web(bundle, tmp_path / "newer", variants=["int8"])
    version = json.loads((newer / "site.json").read_text())["version"]
    steps = [["open", None], ["offline", None], ["online", None], ["replace", [str(site), str(newer)]]]
    result = use_page(site, tmp_path, [*steps, ["update", None], ["caches", None], ["card", None]])
    assert "new version" in result["announced"]
    assert result["caches"] == [f"keras-dr {version}"]
    assert result["card"] == "Another card."


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
