"""The page in Chromium gives the results of edge_demo: grades, tables, heat maps, words."""

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from web_page import EXAMPLES, WEB, use_page

import keras_dr as dr
from edge_demo.grading import FOOTER
from edge_demo.results import Failure, Outcome, encode_outcomes, outcomes_json
from edge_demo.shipped import find_bundle
from keras_dr.core import overlay, quality
from keras_dr.core.decision import ACTIONS, MARGIN
from keras_dr.core.errors import KerasDrError

pytestmark = pytest.mark.slow


def in_python(
    files: list[Path], variant: str, point: str | None = None, bundle: Path | str = "idrid-lite"
) -> tuple[dr.Grader, list[Outcome]]:
    grader = dr.Grader(bundle, variant, threads=1, operating_point=point)
    outcomes: list[Outcome] = []
    for file in files:
        try:
            outcomes.append(grader.grade(file, file.name))
        except KerasDrError as error:
            outcomes.append(Failure(file.name, str(error)))
    return grader, outcomes


def check_equal(
    shown: dict, files: list[Path], variant: str, point: str | None = None, bundle: Path | str = "idrid-lite"
) -> None:
    """Compare what the page saved with what edge_demo writes."""
    grader, outcomes = in_python(files, variant, point, bundle)
    expected = json.loads(json.dumps(outcomes_json(grader.bundle, variant, outcomes)))  # tuples become lists
    actual = shown["json"]
    same = ("schema_version", "kind", "variant", "model_sha256", "operating_point", "threshold", "margin", "referable")
    for key in (*same, "counts", "notice"):
        assert actual[key] == expected[key], key
    assert [row["path"] for row in actual["failures"]] == [row["path"] for row in expected["failures"]]
    for row, wanted in zip(actual["photographs"], expected["photographs"], strict=True):
        assert row.keys() == wanted.keys()
        for key in row.keys() - {"probabilities", "p_referable", "reason"}:
            assert row[key] == wanted[key], (row["path"], key)
        check_sentence(row["reason"], wanted["reason"])
        values = [*row["probabilities"].values(), row["p_referable"]]
        wanted_values = [*wanted["probabilities"].values(), wanted["p_referable"]]
        assert np.abs(np.subtract(values, wanted_values)).max() <= 1e-5, row["path"]
    table = list(csv.reader(io.StringIO(shown["csv"])))
    wanted_table = list(csv.reader(io.StringIO(encode_outcomes(grader.bundle, outcomes).decode())))
    assert table[0] == wanted_table[0]
    same_columns = [
        index for index, name in enumerate(table[0]) if not name.startswith("p_") and name not in ("reason", "error")
    ]
    for line, wanted_line in zip(table, wanted_table, strict=True):
        assert [line[index] for index in same_columns] == [wanted_line[index] for index in same_columns]


def check_sentence(shown: str, wanted: str) -> None:
    """Compare two sentences: the words must be equal, numbers may differ by one in the last digit."""
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", shown) == number.sub("#", wanted)
    pairs = zip(number.findall(shown), number.findall(wanted), strict=True)
    assert all(abs(float(one) - float(other)) < 1.1e-3 for one, other in pairs)


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


def test_sets_of_grades_are_those_of_edge_demo(photographs: list[Path], tmp_path: Path) -> None:
    """The shipped grader states none, so that a copy of it gets a limit."""
    copy = shutil.copytree(find_bundle("idrid-lite"), tmp_path / "bundle")
    about = json.loads((copy / "bundle.json").read_bytes())
    about["grade_sets"] = {"limit": 0.7, "coverage": 0.9, "unit": "patients", "count": 99, "data": "a clinic"}
    (copy / "bundle.json").write_text(json.dumps(about))
    site = dr.export_web(copy, tmp_path / "site", variants=["int8"])
    files = [file for file in photographs if file.stem in ("drawn", "IDRiD_003", "IDRiD_005", "IDRiD_138")]
    result = use_page(site, tmp_path, [["open", None], ["grade", list(map(str, files))], ["save", "saved"]])
    check_equal(result["saved"], files, "int8", bundle=copy)
    words = {row["grade_set"]["words"] for row in result["saved"]["json"]["photographs"]}
    assert any(" or " in text or " to " in text for text in words) and len(words) > 1


@pytest.mark.parametrize(
    ("search", "variant", "build"),
    [
        ("?build=threads", "float32", "threads"),
        ("?build=threads", "int8", "threads"),
        ("?build=relaxed SIMD", "float32", "relaxed SIMD"),
        ("?build=relaxed SIMD", "int8", "relaxed SIMD"),
        ("?build=compatible", "float32", "compatible"),
    ],
)
def test_heat_maps_of_all_classes_are_those_of_python(
    search: str, variant: str, build: str, site: Path, photographs: list[Path], tmp_path: Path
) -> None:
    files = [file for file in photographs if file.stem in ("drawn", "squashed", "IDRiD_003")]
    steps = [["open", None], ["outputs", [list(map(str, files)), variant, "outputs"]]]
    outputs = use_page(site, tmp_path, steps, search=search)["outputs"]
    assert (outputs["build"], outputs["variant"]) == (build, variant)
    check_outputs(dr.Grader("idrid-lite", variant, threads=1), files, outputs)


def test_a_reason_tells_the_probability_from_the_threshold(tmp_path: Path) -> None:
    copy = shutil.copytree(find_bundle("idrid-lite"), tmp_path / "bundle")
    file = EXAMPLES / "IDRiD_138.jpg"
    probability = dr.Grader(copy, "float32", threads=1).grade(file).p_referable
    threshold = next(near for near in (probability + 1e-4, probability + 3e-4) if f"{near:.3f}" == f"{probability:.3f}")
    about = json.loads((copy / "bundle.json").read_bytes())
    about["operating_points"]["near"] = {"value": threshold}
    (copy / "bundle.json").write_text(json.dumps(about))
    site = dr.export_web(copy, tmp_path / "site", variants=["float32"])
    steps: list[list] = [["open", None], ["grade", [str(file)]], ["point", "near"], ["save", "near"]]
    result = use_page(site, tmp_path, steps)
    check_equal(result["near"], [file], "float32", "near", copy)
    (photograph,) = result["near"]["json"]["photographs"]
    assert f"threshold {threshold:.4f}: uncertain" in photograph["reason"]


@pytest.mark.minutes
@pytest.mark.parametrize("backbone", ["densenet121", "resnet50v2"])
def test_int8_of_other_backbones(backbone: str, photographs: list[Path], tmp_path: Path) -> None:
    """Random weights: only the arithmetic of the operators matters, not whether int8 grades as well as float32.

    Both int8 files keep no operator in float, so that the page agrees with Python to the last bits (docs/browser.md).
    """
    import graders

    graders.export(graders.grader(backbone), tmp_path / "bundle", variants=("float32", "int8"), allow_drift=True)
    site = dr.export_web(tmp_path / "bundle", tmp_path / "site", variants=["float32", "int8"])
    files = [file for file in photographs if file.stem in ("drawn", "IDRiD_003")]
    steps: list[list] = [["open", None]]
    steps += [["outputs", [list(map(str, files)), variant, variant]] for variant in ("float32", "int8")]
    result = use_page(site, tmp_path, steps)
    for variant in ("float32", "int8"):
        assert result[variant]["variant"] == variant
        check_outputs(dr.Grader(tmp_path / "bundle", variant, threads=1), files, result[variant])


def test_a_variant_that_failed_its_comparison_is_used_where_it_was_asked_for(
    photographs: list[Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(find_bundle("idrid-lite"), tmp_path / "bundle")
    about = json.loads((copy / "bundle.json").read_bytes())
    about["parity"]["failures"] = {"int8": ["grade_agreement 0.9, at least 0.97 needed"]}
    (copy / "bundle.json").write_text(json.dumps(about))
    files = [file for file in photographs if file.stem == "IDRiD_003"]
    steps = [["open", None], ["outputs", [list(map(str, files)), "int8", "outputs"]]]
    steps += [["grade", [str(files[0])]], ["show", "grade"], ["save", "saved"]]
    sites = {None: ["float32"], ("int8",): ["int8"], ("int8", "float32"): ["float32", "int8"]}
    for chosen, offered in sites.items():
        site = dr.export_web(copy, tmp_path / str(chosen), variants=chosen)
        result = use_page(site, tmp_path, steps)
        outputs = result["outputs"]
        assert outputs["variants"] == offered and outputs["variant"] == ("int8" if chosen else "float32")
        check_outputs(dr.Grader(copy, outputs["variant"], threads=1), files, outputs)
        doubt = "The model int8 failed its comparison at export" if chosen == ("int8",) else ""
        assert ("failed its comparison" in result["shown"]["grade"]) == bool(doubt)
        (row,) = csv.DictReader(io.StringIO(result["saved"]["csv"]))
        (photograph,) = result["saved"]["json"]["photographs"]
        assert row.get("model_doubt", "").startswith(doubt) and ("model_doubt" in row) == bool(doubt)
        assert photograph.get("model_doubt", "") == row.get("model_doubt", "")


def check_outputs(grader: dr.Grader, files: list[Path], outputs: dict) -> None:
    """Compare the prepared pixels, the probabilities and the heat map of each class with Python's."""
    assert files
    for file, actual in zip(files, outputs["photographs"], strict=True):
        prepared = grader.prepare(grader.decode(file.read_bytes())).image
        assert np.array_equal(np.frombuffer(base64.b64decode(actual["prepared"]), np.uint8), prepared.ravel())
        probabilities, heatmaps = grader.invoke(prepared)
        maps = np.reshape(actual["heatmaps"], (actual["height"], actual["width"], -1))
        assert maps.shape == heatmaps.shape
        scale = max(1.0, float(np.abs(heatmaps).max()))
        assert np.abs(maps - heatmaps).max() <= 1e-5 * scale, file
        assert np.abs(actual["probabilities"] - probabilities).max() <= 1e-5


def test_the_compatible_build_uses_float32_alone(site: Path, tmp_path: Path) -> None:
    """There int8 would differ, so it is not offered; a site without float32 says so."""
    steps = [["open", None], ["outputs", [[], "int8", "outputs"]]]
    outputs = use_page(site, tmp_path, steps, search="?build=compatible")["outputs"]
    assert (outputs["variant"], outputs["variants"]) == ("float32", ["float32"])
    alone = dr.export_web("idrid-lite", tmp_path / "int8 alone", variants=["int8"])
    result = use_page(alone, tmp_path, [["open", None]], search="?build=compatible")
    assert "lacks relaxed SIMD" in result["ready"]


def test_the_words_and_colours_of_python_are_those_of_the_page() -> None:
    """What the page writes out is compared in other tests; here is what only its source holds."""
    source = "".join(file.read_text("utf-8") for file in sorted((WEB / "src").glob("*.ts")))
    kinds = re.search(r"type Action = ([^;]+);", source)
    assert kinds and set(re.findall(r'"([^"]+)"', kinds[1])) == {*ACTIONS.values(), "retake", "none"}
    stops = re.search(r"STOPS = \[(.+?)\] as const", source, re.DOTALL)
    assert stops and tuple(map(int, re.findall(r"\d+", stops[1]))) == tuple(np.ravel(overlay.STOPS))
    assert f"OPACITY = {overlay.OPACITY};" in source
    assert f"MARGIN = {MARGIN};" in source
    assert f'FOOTER = "{FOOTER}";' in source
    limits = dict.fromkeys(quality.MEASURES, (1.0, 2.0))
    faults = ["two fundi", "no fundus"]
    for value in (0, 3):
        faults += filter(None, quality.judge(dict.fromkeys(quality.MEASURES, value), limits)["reasons"].split(";"))
    assert len(faults) == 7 and all(f'"{fault}"' in source for fault in faults)


def test_the_profile_has_the_form_of_profile_json(site: Path, tmp_path: Path) -> None:
    example = str(next(EXAMPLES.glob("*.jpg")))
    profile = use_page(site, tmp_path, [["open", None], ["grade", [example]], ["profile", None]])["profile"]
    (measurement,) = profile["measurements"]
    assert profile["kind"] == "profile" and measurement["repeats"] == 20
    assert list(measurement["stages"]) == ["decode", "prepare", "invoke", "overlay"]
    medians = [stage["p50_ms"] for stage in measurement["stages"].values()]
    assert all(0 < median < measurement["total"]["p99_ms"] for median in medians)
