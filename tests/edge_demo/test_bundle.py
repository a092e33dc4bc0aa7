"""edge_demo.bundle: the checks before a model is loaded."""

import csv
import json
from pathlib import Path

import pytest
from edge_fixtures import SIZE, change

from edge_demo.__main__ import main
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import sha256_of


def test_default_variant_is_int8_where_there_is_one(bundle_folder: Path) -> None:
    assert Grader(Bundle.load(bundle_folder)).variant == "int8"
    models = json.loads((bundle_folder / "bundle.json").read_text())["models"]
    change(bundle_folder, models={"float32": models["float32"]})
    assert Grader(Bundle.load(bundle_folder)).variant == "float32"


def test_default_variant_is_not_one_that_failed_parity(bundle_folder: Path) -> None:
    file = bundle_folder / "bundle.json"
    manifest = json.loads(file.read_bytes()) | {"parity": {"failures": {"int8": ["grade_agreement .8"]}}}
    file.write_text(json.dumps(manifest))
    assert Bundle.load(bundle_folder).default_variant() == "float32"


def only_failed(folder: Path) -> Path:
    models = json.loads((folder / "bundle.json").read_bytes())["models"]
    change(folder, models={"int8": models["int8"]}, parity={"failures": {"int8": ["grade_agreement .8"]}})
    return folder


@pytest.mark.parametrize("words", [["grade", "a.jpg"], ["watch", "."], ["profile"]])
def test_a_model_that_failed_is_not_used_unless_it_is_named(
    bundle_folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle_folder.parent)
    Path("a.jpg").touch()
    name, *rest = words
    assert main([name, str(only_failed(bundle_folder)), *rest]) == 1
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert "failed its comparison with the float model: int8. " in err and "grade --variant int8" in err


def test_a_failed_model_that_is_named_is_marked(
    bundle_folder: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["grade", str(only_failed(bundle_folder)), str(camera / "a.jpg"), "--variant", "int8"]
    words += ["--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")]
    assert main(words) == 0 and main(words) == 0  # the table is recognised as its own
    out, err = capsys.readouterr()
    doubt = "The model int8 failed its comparison at export: it differs too much from the float model."
    assert err == 2 * f"{doubt}\n" and f"  {doubt}\n" in out
    assert json.loads((tmp_path / "r.json").read_bytes())["photographs"][0]["model_doubt"] == doubt
    with (tmp_path / "r.csv").open(newline="") as stream:
        assert [row["model_doubt"] for row in csv.DictReader(stream)] == [doubt]
    assert main(["points", str(bundle_folder)]) == 0
    assert doubt in capsys.readouterr().out


def test_an_altered_model_is_never_loaded(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert import interpreter

    loaded: list[str] = []
    monkeypatch.setattr(interpreter, "Interpreter", lambda **arguments: loaded.append("loaded"))
    file = bundle_folder / "int8.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(KerasDrError, match="SHA-256"):
        Grader(Bundle.load(bundle_folder), "int8")
    assert not loaded


def test_only_the_variant_that_is_used_must_be_there(bundle_folder: Path) -> None:
    (bundle_folder / "int8.tflite").unlink()
    bundle = Bundle.load(bundle_folder)
    assert Grader(bundle, "float32").variant == "float32"
    with pytest.raises(KerasDrError, match="does not exist"):
        Grader(bundle, "int8")


def test_unknown_variant_names_the_known_ones(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="no variant 'int4'; it has float32, int8"):
        Grader(Bundle.load(bundle_folder), "int4")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": None}, "no key 'classes' in "),
        ({"threshold": "0.5"}, "'threshold'"),
        ({"threshold": True}, "'threshold'"),
        ({"threshold": float("nan")}, "NaN, which is not finite"),
        ({"threshold": -0.1}, "threshold .* is -0.1, which is below 0"),
        ({"threshold": 0.07, "operating_point": {"value": 0.5}}, "is 0.07, but that of its operating point is 0.5"),
        ({"referable": [5]}, "indices from 0 to 4, but is .5."),
        ({"referable": [2, 2, 3, 4]}, "'referable' .* holds a value twice"),
        ({"classes": ["x"] * 5}, "'classes' .* holds a value twice"),
        ({"models": {}}, "'models' .* is empty"),
        ({"models": {"int8": {"file": "../x", "sha256": "", "size_bytes": 1}}}, "without folders"),
        ({"decision": "mode"}, "'mode', which is none of argmax, median"),
        ({"quality_limits": {"sharpness": [1, 2]}}, "two limits for each of coverage"),
        ({"colour_limits": {"red_to_green": [1, 2]}}, "two limits for each of red_to_green, blue_to_green"),
        ({"gradability_limits": {"grainy": 1}}, "may name cut off, dark, bright, flat, blurred, but names 'grainy'"),
        ({"gradability_limits": {"dark": "0.1"}}, "'dark' .* not of type int or float"),
        ({"schema_version": 2}, "schema version 1"),
        ({"preprocessing": {"size": SIZE}}, "no key 'enhance' in "),
        ({"preprocessing": {"size": 9999, "enhance": "none"}}, "9999.*is in .*bundle.json, create that folder again"),
    ],
)
def test_faults_of_the_manifest(bundle_folder: Path, values: dict[str, object], message: str) -> None:
    change(bundle_folder, **values)
    with pytest.raises(KerasDrError, match=message):
        Bundle.load(bundle_folder)


def test_a_model_that_does_not_fit_the_manifest(bundle_folder: Path) -> None:
    change(bundle_folder, preprocessing={"size": 96, "enhance": "none"})
    with pytest.raises(KerasDrError, match=r"'image' .* is uint8 \(1, 64, 64, 3\), but must be uint8 \(1, 96, 96, 3\)"):
        Grader(Bundle.load(bundle_folder))


def test_a_file_that_is_no_model(bundle_folder: Path) -> None:
    file = bundle_folder / "junk.tflite"
    file.write_bytes(b"junk" * 20)
    change(bundle_folder, models={"junk": {"file": file.name, "sha256": sha256_of(file), "size_bytes": 80}})
    with pytest.raises(KerasDrError, match="a TFLite model"):
        Grader(Bundle.load(bundle_folder))
