"""export.write_bundle: the content of a Bundle; refused, failed and continued exports."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest
from graders import SIZE, TEMPERATURE, export, grader

from export import export_run, variants, write_bundle
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest, sha256_of
from keras_dr.core.operating_point import OperatingPoint
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import TASKS
from keras_dr.recipe import ParityLimits, VariantLimits

ICDR = TASKS["icdr"]
UNREACHABLE = ParityLimits(float16=VariantLimits(largest_probability_difference=0))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return grader()


def test_bundle_describes_its_files(model: keras.Model, tmp_path: Path) -> None:
    about = export(model, tmp_path / "bundle")
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    file = tmp_path / "bundle" / manifest["models"]["float32"]["file"]
    assert manifest["models"]["float32"]["sha256"] == sha256_of(file)
    assert manifest["models"]["float32"]["size_bytes"] == file.stat().st_size
    assert manifest["calibration"] == {"images": 8, "seed": 7, "split": "train"}
    assert (manifest["classes"], manifest["referable"]) == (list(ICDR.classes), [2, 3, 4])
    assert manifest["parity"] == {key: about[key] for key in ("limits", "failures")}
    assert list(about["figures"]) == ["float32"]


def test_bundle_json_holds_what_a_device_needs(model: keras.Model, tmp_path: Path) -> None:
    points = {"youden": OperatingPoint(0.3, {"specificity": 0.9})}
    export(model, tmp_path / "bundle", points=points)
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    assert (manifest["threshold"], manifest["temperature"], manifest["decision"]) == (0.4, TEMPERATURE, "argmax")
    assert manifest["operating_points"]["youden"]["value"] == 0.3
    assert manifest["preprocessing"] == Preprocessing(SIZE).to_dict()
    assert manifest["parity"]["limits"] == {"float32": {"largest_probability_difference": ["at most", 1e-4]}}
    assert "in logits" in manifest["heatmaps"] and "not a medical device" in manifest["licence"]
    for name in ("parity.json", "MODEL_CARD.md"):
        assert manifest["files"][name] == sha256_of(tmp_path / "bundle" / name)


def test_the_card_describes_variants_calibration_and_threshold(model: keras.Model, tmp_path: Path) -> None:
    export(model, tmp_path / "bundle")
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "8 photographs of the train split, drawn with seed 7" in card
    assert "| float32 |" in card and "largest_probability_difference at most 0.0001" in card
    assert "add up to 0.400 or at most 0.05 less" in card and "was not measured on test photographs" in card
    export(model, tmp_path / "measured", card="# The run's own card\n")
    assert (tmp_path / "measured" / "MODEL_CARD.md").read_text().startswith("# The run's own card\n\n## Variants")


def test_existing_target_is_refused(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="already exists"):
        export(model, tmp_path)


def test_unknown_variant_is_named(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"no variant 'int4'.*: float32, float16"):
        export(model, tmp_path / "bundle", variants=("float32", "int4"))


def test_a_failed_variant_is_moved_with_its_reason(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"float16: largest_probability_difference .*, at most 0 allowed"):
        export(model, tmp_path / "bundle", variants=("float32", "float16"), limits=UNREACHABLE)
    (reason,) = json.loads((tmp_path / "bundle" / "failed" / "float16.json").read_bytes())["reasons"]
    assert reason.startswith("largest_probability_difference")
    assert (tmp_path / "bundle" / "failed" / "float16.tflite").is_file()
    assert list(read_manifest(tmp_path / "bundle", "bundle")["models"]) == ["float32"]
    assert f"float16 failed: {reason}" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()


def test_drift_is_recorded_where_allowed(model: keras.Model, tmp_path: Path) -> None:
    export(model, tmp_path / "bundle", variants=("float32", "float16"), limits=UNREACHABLE, allow_drift=True)
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    assert list(manifest["parity"]["failures"]) == ["float16"] and "float16" in manifest["models"]


def test_the_search_decides_as_the_run_does(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions: list[str] = []

    def search(content: bytes, *arguments: Any) -> tuple[bytes, list[str]]:
        *_, decision, progress = arguments
        decisions.append(decision)
        progress("searching")
        return content, []

    monkeypatch.setattr(write_bundle, "quantise_within", search)
    lines: list[str] = []
    export(model, tmp_path / "bundle", variants=("float32", "int8"), decision="median", progress=lines.append)
    assert decisions == ["median"] and lines.index("searching") == lines.index("converting to int8") + 1


def test_the_search_does_not_count_as_a_step() -> None:
    steps: list[int] = []
    report = export_run._counted(lambda done, total, text: steps.append(done), 2)
    for line in ("converting to int8", "searching for the layers that lose most in int8", "comparing int8"):
        report(line)
    assert steps == [0, 0, 1]


def test_onnx_brings_float32_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "check_packages", lambda: None)
    assert variants.check_variants(["int8", "onnx"]) == ["int8", "float32", "onnx"]
    assert variants.check_variants(["onnx", "float32", "onnx"]) == ["onnx", "float32"]


def test_interrupted_export_goes_on(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(write_bundle, "_measure", interrupt)
        export(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    monkeypatch.setattr(write_bundle, "convert", interrupt)
    monkeypatch.setattr(write_bundle, "observe", interrupt)
    export(model, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_file_for_mediapipe_is_made_from_a_variant_that_passed(model: keras.Model, tmp_path: Path) -> None:
    export(model, tmp_path / "bundle", variants=("mediapipe",))
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    entry = manifest["mediapipe"]
    file = tmp_path / "bundle" / entry["file"]
    assert (entry["from"], list(manifest["models"])) == ("float32", ["float32"])
    assert (entry["sha256"], entry["size_bytes"]) == (sha256_of(file), file.stat().st_size)
