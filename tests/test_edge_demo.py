"""edge_demo: grading, its command line, its profiler; against a model small enough to work out by hand."""

import csv
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_demo import __main__ as command
from edge_demo import profiler
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from keras_dr.errors import KerasDrError
from keras_dr.preprocessing import Preprocessing, prepare_image
from keras_dr.runs import sha256_of

ROOT = Path(__file__).resolve().parents[1]
SIZE = 64
CLASSES = ("no_dr", "mild", "moderate", "severe", "proliferative")
KERNEL = np.array([[1, -2, 3, 0, 1], [0, 2, -1, 1, 0], [-1, 1, 0, 2, -3]], np.float32)  # RGB means -> logits
BIAS = {"float32": np.zeros(5, np.float32), "int8": np.array([0, 0, 0, 0, 9], np.float32)}  # tells which one ran


def convert(bias: np.ndarray) -> bytes:
    """A TFLite model: mean of each 8x8 block, 1x1 convolution (the heat maps), their mean plus bias, softmax."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.uint8, name="image")])
        def serve(self, image: "tf.Tensor") -> "dict[str, tf.Tensor]":
            blocks = tf.nn.avg_pool2d(tf.cast(image, tf.float32) / 255, 8, 8, "VALID")
            heatmaps = tf.nn.conv2d(blocks, tf.constant(KERNEL[None, None]), 1, "VALID")
            logits = tf.reduce_mean(heatmaps, (1, 2)) + tf.constant(bias)
            return {"probabilities": tf.nn.softmax(logits), "heatmaps": heatmaps}

    model = Model()
    return tf.lite.TFLiteConverter.from_concrete_functions([model.serve.get_concrete_function()], model).convert()


@pytest.fixture(scope="session")
def models() -> dict[str, bytes]:
    return {variant: convert(bias) for variant, bias in BIAS.items()}


@pytest.fixture
def bundle_folder(tmp_path: Path, models: dict[str, bytes]) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    entries = {}
    for name, data in models.items():
        (folder / f"{name}.tflite").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries[name] = {"file": f"{name}.tflite", "sha256": digest, "size_bytes": len(data)}
    manifest = {
        "schema_version": 1,
        "versions": {},
        "kind": "bundle",
        "task": "icdr",
        "classes": CLASSES,
        "referable": [2, 3, 4],
        "preprocessing": {"size": SIZE, "enhance": "none"},
        "threshold": 0.5,
        "temperature": 1.0,
        "heatmaps": "class evidence",
        "models": entries,
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def change(folder: Path, **values: object) -> None:
    """Change keys of bundle.json; None removes one."""
    manifest = json.loads((folder / "bundle.json").read_text()) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    (folder / "bundle.json").write_text(json.dumps(kept))


@pytest.fixture(scope="session")
def photograph() -> bytes:
    return profiler.synthetic_photograph()


@pytest.fixture
def photographs(tmp_path: Path, photograph: bytes) -> Path:
    """A folder with two photographs, one unreadable one, a note, and a hidden file."""
    folder = tmp_path / "photographs"
    (folder / "left").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(photograph)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "left" / "a.JPG").write_bytes(photograph)
    (folder / "note.txt").write_text("not an image")
    (folder / "._a.jpg").write_bytes(b"left by a file manager")
    return folder


def by_hand(photograph: bytes, variant: str) -> np.ndarray:
    image = prepare_image(photograph, Preprocessing(SIZE, "none"))
    logits = image.mean((0, 1)) / 255 @ KERNEL + BIAS[variant]
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_probabilities_are_those_worked_out_by_hand(bundle_folder: Path, photograph: bytes, variant: str) -> None:
    grading = Grader(Bundle.load(bundle_folder), variant).grade(photograph, "eye.jpg")
    expected = by_hand(photograph, variant)
    np.testing.assert_allclose(list(grading.probabilities.values()), expected, atol=1e-6)
    assert grading.grade == CLASSES[expected.argmax()]
    assert math.isclose(grading.p_referable, expected[2:].sum(), abs_tol=1e-6)
    assert grading.fundus_found


def test_heat_map_is_of_the_predicted_class(bundle_folder: Path, photograph: bytes) -> None:
    grading = Grader(Bundle.load(bundle_folder), "float32").grade(photograph, "eye.jpg")
    blocks = grading.prepared.reshape(8, 8, 8, 8, 3).mean((1, 3)) / 255
    expected = blocks @ KERNEL[:, CLASSES.index(grading.grade)]
    np.testing.assert_allclose(grading.heatmap, expected, atol=1e-5)


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


def test_referred_from_the_threshold_on(bundle_folder: Path, photograph: bytes) -> None:
    p_referable = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye").p_referable
    for threshold, referred in ((p_referable, True), (math.nextafter(p_referable, 2), False)):
        change(bundle_folder, threshold=threshold)
        assert Grader(Bundle.load(bundle_folder)).grade(photograph, "eye").referred is referred


def test_dictionary_is_json_without_arrays(bundle_folder: Path, photograph: bytes) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "folder/eye.1.jpg")
    content = json.loads(json.dumps(grading.to_dict()))
    assert content["image_id"] == "eye.1"
    assert content["path"] == "folder/eye.1.jpg"
    assert set(content) >= {"grade", "probabilities", "p_referable", "referred", "fundus_found"}


def test_a_photograph_without_fundus_says_so(bundle_folder: Path) -> None:
    grey = cv2.imencode(".png", np.full((80, 90, 3), 120, np.uint8))[1].tobytes()
    bundle = Bundle.load(bundle_folder)
    grading = Grader(bundle).grade(grey, "grey.png")
    assert not grading.fundus_found
    assert "No fundus" in command.describe(grading, bundle)


def test_overlay_has_the_prepared_size_and_black_stays_black(
    bundle_folder: Path, photograph: bytes, tmp_path: Path
) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye.jpg")
    grading.save_overlay(tmp_path / "eye.png")
    drawn = cv2.imread(str(tmp_path / "eye.png"))
    assert drawn.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(drawn[..., ::-1], grading.overlay())
    assert not drawn[grading.prepared.max(axis=2) == 0].any()
    assert (drawn[..., ::-1] != grading.prepared).any()


@pytest.mark.parametrize("name", ["no/such/folder/eye.png", "eye.jpg"])
def test_overlay_that_cannot_be_written(bundle_folder: Path, photograph: bytes, tmp_path: Path, name: str) -> None:
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "eye.jpg")
    with pytest.raises(KerasDrError, match="heat map"):
        grading.save_overlay(tmp_path / name)


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
    with pytest.raises(KerasDrError, match="no such file"):
        Grader(bundle, "int8")


def test_unknown_variant_names_the_known_ones(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="float32, int8; found 'int4'"):
        Grader(Bundle.load(bundle_folder), "int4")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": None}, "'classes'.*no such key"),
        ({"threshold": "0.5"}, "'threshold'"),
        ({"threshold": True}, "'threshold'"),
        ({"threshold": float("nan")}, "threshold of 0 or more"),
        ({"referable": [5]}, "indices from 0 to 4"),
        ({"referable": [2, 2, 3, 4]}, "each of 'referable' once"),
        ({"classes": ["x"] * 5}, "each of 'classes' once"),
        ({"models": {}}, "an empty one"),
        ({"models": {"int8": {"file": "../x", "sha256": "", "size_bytes": 1}}}, "without folders"),
        ({"preprocessing": {"size": SIZE}}, "'enhance'.*no such key"),
    ],
)
def test_faults_of_the_manifest(bundle_folder: Path, values: dict[str, object], message: str) -> None:
    change(bundle_folder, **values)
    with pytest.raises(KerasDrError, match=message):
        Bundle.load(bundle_folder)


def test_a_bundle_may_seek_no_fundus(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, preprocessing={"size": SIZE, "enhance": "none", "fundus": "none"})
    grading = Grader(Bundle.load(bundle_folder)).grade(photograph, "x")
    assert np.array_equal(grading.prepared, prepare_image(photograph, Preprocessing(SIZE, fundus="none")))
    assert grading.fundus_found


def test_a_model_that_does_not_fit_the_manifest(bundle_folder: Path) -> None:
    change(bundle_folder, preprocessing={"size": 96, "enhance": "none"})
    with pytest.raises(KerasDrError, match=r"'image' uint8 \(1, 96, 96, 3\).*found uint8 \(1, 64, 64, 3\)"):
        Grader(Bundle.load(bundle_folder))


def test_a_file_that_is_no_model(bundle_folder: Path) -> None:
    file = bundle_folder / "junk.tflite"
    file.write_bytes(b"junk" * 20)
    change(bundle_folder, models={"junk": {"file": file.name, "sha256": sha256_of(file), "size_bytes": 80}})
    with pytest.raises(KerasDrError, match="a TFLite model"):
        Grader(Bundle.load(bundle_folder))


def test_cli_missing_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["grade", str(tmp_path / "none"), "eye.jpg"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Expected a bundle folder")
    assert error.count("\n") == 1


def test_cli_folder_with_an_unreadable_photograph(
    bundle_folder: Path, photographs: Path, tmp_path: Path, photograph: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {name: tmp_path / name for name in ("heatmaps", "out.json", "out.csv")}
    words = ["--heatmap", outputs["heatmaps"], "--json", outputs["out.json"], "--csv", outputs["out.csv"]]
    assert command.main(["grade", str(bundle_folder), str(photographs), *map(str, words)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {photographs / 'broken.png'}: Expected")
    assert f"{photographs / 'a.jpg'}: proliferative, referable: yes" in out
    assert "not a medical device" in out

    content = json.loads(outputs["out.json"].read_text())
    assert [Path(entry["path"]).name for entry in content["photographs"]] == ["a.jpg", "a.JPG"]
    assert [Path(entry["path"]).name for entry in content["failures"]] == ["broken.png"]
    assert (content["variant"], content["threshold"], content["referable"]) == ("int8", 0.5, list(CLASSES[2:]))

    rows = list(csv.DictReader(outputs["out.csv"].read_text().splitlines()))
    assert [row["image_id"] for row in rows] == ["a", "a"]
    found = [float(rows[0][f"p_{name}"]) for name in CLASSES]
    np.testing.assert_allclose(found, by_hand(photograph, "int8"), atol=1e-6)
    assert (rows[0]["prediction"], rows[0]["referred"]) == ("proliferative", "1")
    assert sorted(file.name for file in outputs["heatmaps"].iterdir()) == ["a-2.png", "a.png"]


def test_cli_one_photograph_one_heat_map_file(bundle_folder: Path, photographs: Path, tmp_path: Path) -> None:
    words = [str(bundle_folder), str(photographs / "a.jpg"), "--variant", "float32", "--threads", "1"]
    assert command.main(["grade", *words, "--heatmap", str(tmp_path / "map.png")]) == 0
    assert cv2.imread(str(tmp_path / "map.png")).shape == (SIZE, SIZE, 3)


def test_cli_never_draws_over_a_photograph(bundle_folder: Path, photographs: Path) -> None:
    before = (photographs / "broken.png").read_bytes()
    assert command.main(["grade", str(bundle_folder), str(photographs), "--heatmap", str(photographs)]) == 1
    assert (photographs / "broken.png").read_bytes() == before
    assert not (photographs / "a.png").exists()


def test_cli_results_are_refused_a_missing_folder_before_any_work(
    bundle_folder: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(bundle_folder), str(photographs), "--json", str(tmp_path / "none" / "out.json")]
    assert command.main(["grade", *words]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--json", "photographs/a.jpg"], "one of the photographs"),
        (["--json", "bundle/bundle.json"], "a place inside the bundle"),
        (["--csv", "bundle/new.csv"], "a place inside the bundle"),
        (["--json", "r.x", "--csv", "./r.x"], "the name of another result"),
        (["--json", "maps/a.png", "--heatmap", "maps"], "the name of another result"),
        (["--json", "maps", "--heatmap", "maps"], "the folder of the heat maps"),
        (["--csv", "photographs"], "a folder"),
    ],
)
def test_cli_a_result_never_replaces_anything_else(
    bundle_folder: Path,
    photographs: Path,
    words: list[str],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(bundle_folder.parent)
    before = {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()}
    assert command.main(["grade", "bundle", "photographs", *words]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"; found {found}" in err
    assert {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("fault", [cv2.error("too\nlarge"), MemoryError("too large")])
def test_cli_one_photograph_that_cannot_be_held_does_not_end_the_others(
    bundle_folder: Path,
    photographs: Path,
    fault: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grade = Grader.grade

    def fail(grader: Grader, data: bytes, name: str) -> object:
        if name.endswith("a.jpg"):
            raise fault
        return grade(grader, data, name)

    monkeypatch.setattr(Grader, "grade", fail)
    assert command.main(["grade", str(bundle_folder), str(photographs)]) == 1
    out, err = capsys.readouterr()
    assert f"{photographs / 'left' / 'a.JPG'}: proliferative" in out
    assert f"{photographs / 'a.jpg'}: Expected a photograph that can be prepared here; found" in err
    assert ": too large. Reduce" in err


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "1,", "100000", "9" * 5000])
def test_threads_that_are_refused(text: str) -> None:
    with pytest.raises(KerasDrError, match="threads"):
        profiler.parse_threads(text)


def test_threads_are_joined_by_commas() -> None:
    assert profiler.parse_threads("1,2") == [1, 2]


def test_profile_refuses_more_threads_than_the_runtime_bears(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match=r"at most four for each core\); found 100000"):
        profiler.profile(bundle_folder, threads=[100000])


def test_cli_profile_of_a_missing_photograph(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["profile", str(bundle_folder), "--image", "nope.jpg"]) == 1
    assert "photograph nope.jpg; found No such file or directory. Check" in capsys.readouterr().err


def test_cli_results_that_cannot_be_written(
    bundle_folder: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(photographs / "note.txt" / "maps")
    words = [str(bundle_folder), str(photographs / "a.jpg"), "--heatmap", file]
    assert command.main(["grade", *words]) == 1
    assert f"Expected to write {file}; found Not a directory. Choose" in capsys.readouterr().err


def test_cli_a_class_named_referable_has_one_column(bundle_folder: Path, photograph: bytes) -> None:
    change(bundle_folder, classes=["a", "b", "c", "d", "referable"], referable=[4])
    bundle = Bundle.load(bundle_folder)
    grading = Grader(bundle).grade(photograph, "eye.jpg")
    (row,) = csv.reader(command.results_csv(bundle, [grading]).splitlines()[:1])
    assert row.count("p_referable") == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["grade"],
        ["grade", "bundle"],
        ["grade", "bundle", "eye.jpg", "--threads", "100000"],
        ["grade", "bundle", "eye.jpg", "--threads", "1,2"],
        ["profile", "bundle", "--threads", "0"],
        ["profile", "bundle", "--threads", "1,100000"],
    ],
)
def test_cli_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(words)
    assert stopped.value.code == 2


def test_cli_an_unforeseen_error_is_one_line_and_debug_raises_it(
    bundle_folder: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Grader, "invoke", fail)
    words = ["grade", str(bundle_folder), str(photographs)]
    assert command.main(words) == 1
    assert capsys.readouterr().err == "error: RuntimeError: no memory. Pass --debug to see where.\n"
    with pytest.raises(RuntimeError):
        command.main([*words, "--debug"])


def test_profile_measures_each_row_in_its_own_process(bundle_folder: Path, tmp_path: Path) -> None:
    rows = profiler.profile(bundle_folder, threads=[1, 2], repeats=3)
    assert [(row.variant, row.threads) for row in rows] == [
        ("float32", 1),
        ("float32", 2),
        ("int8", 1),
        ("int8", 2),
    ]
    assert len({os.getpid(), *(row.pid for row in rows)}) == 5
    for row in rows:
        assert set(row.stages) == {"decode", "prepare", "invoke", "overlay"}
        assert 0 < row.total.p50_ms <= row.total.p90_ms <= row.total.p99_ms
        assert 0 < row.load_ms < row.first_result_ms
        # Half of what a process with TensorFlow in it holds, such as this one: nothing was inherited.
        assert 20 < row.baseline_rss_mib <= row.peak_rss_mib < 250
        assert "synthetic" in row.image
    text = profiler.table(rows)
    assert "float32" in text and "synthetic" in text and rows[0].machine.cpu in text
    profiler.write_json(tmp_path / "profile.json", rows)
    content = json.loads((tmp_path / "profile.json").read_text())
    assert content["machine"]["cores"] >= 1
    assert content["measurements"][3]["stages"]["invoke"]["p50_ms"] == rows[3].stages["invoke"].p50_ms


def test_cli_profile(
    bundle_folder: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(bundle_folder), "--image", str(photographs / "a.jpg"), "--variants", "int8", "--threads", "1"]
    assert command.main(["profile", *words, "--repeats", "2", "--json", str(tmp_path / "p.json")]) == 0
    out = capsys.readouterr().out
    assert "variant" in out and "photograph," in out and "not a medical device" in out
    assert len(json.loads((tmp_path / "p.json").read_text())["measurements"]) == 1


def test_an_error_in_the_measuring_process_comes_back(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="photograph; found 8 bytes"):
        profiler.profile(bundle_folder, ["int8"], [1], b"no image", repeats=1)


def test_a_measuring_process_that_dies_is_reported(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(KerasDrError, match="measurement of int8 with 1 threads; found a process that ended with 1"):
        profiler.profile(bundle_folder, ["int8"], [1], repeats=1)


def test_grading_needs_none_of_the_training_packages(bundle_folder: Path, photographs: Path) -> None:
    blocked = ("tensorflow", "keras", "sklearn", "matplotlib", "pydantic", "typer", "yaml", "scipy")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from edge_demo import __main__ as command, measurement, profiler\n"
        "assert 'ai_edge_litert' not in sys.modules\n"
        f"sys.exit(command.main(['grade', {str(bundle_folder)!r}, {str(photographs / 'a.jpg')!r}]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "proliferative" in done.stdout
