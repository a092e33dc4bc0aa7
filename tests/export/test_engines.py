"""export.engines: other engines on the same weights, each in its own process, compared with LiteRT."""

import json
from pathlib import Path

import pytest
from graders import SIZE, export, grader
from typer.testing import CliRunner

from cli import app
from export import engines
from export.engines import compare_engines, engine_files, table
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def with_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tf2onnx")
    folder = tmp_path_factory.mktemp("engines") / "bundle"
    export(grader(), folder, variants=("onnx",))
    return folder


def test_each_engine_gives_the_same_outputs_and_is_timed(with_onnx: Path) -> None:
    for name in ("onnxruntime", "openvino"):
        pytest.importorskip(name)
    times = compare_engines(engine_files(with_onnx, "onnxruntime,openvino"), Preprocessing(SIZE), [1], repeats=3)
    assert [time.engine for time in times] == ["litert", "onnxruntime", "openvino"]
    assert times[0].ratio == 1 and times[0].largest_difference == 0
    for time in times:
        assert time.invoke.p50_ms > 0 and time.load_ms > 0 and time.largest_difference < 1e-4
        assert time.ratio == pytest.approx(time.invoke.p50_ms / times[0].invoke.p50_ms)
    text = table(times)
    assert "openvino 20" in text and "divided by LiteRT's" in text


def test_profile_writes_the_engines(with_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    words = ["profile", str(with_onnx), "--out", str(tmp_path), "--threads", "1", "--repeats", "1"]
    done = CliRunner().invoke(app, [*words, "--compare", "onnxruntime"])
    assert done.exit_code == 0 and "divided by LiteRT's" in done.output, done.output
    engine_times = json.loads((tmp_path / "profile.json").read_text())["engines"]
    assert [time["engine"] for time in engine_times] == ["litert", "onnxruntime"]


def test_a_missing_package_gets_a_message(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(KerasDrError, match=r"package openvino is not installed\. Install it with .*requirements-onnx"):
        engine_files(bundle_folder, "openvino")


def test_a_bundle_without_onnx_gets_a_message(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: True)
    with pytest.raises(KerasDrError, match=r"The bundle .* has no ONNX file\. Export .*float32,onnx"):
        engine_files(bundle_folder, "onnxruntime")


def test_an_unknown_engine_is_named(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match=r"no engine 'tvm' .*: onnxruntime, openvino"):
        engine_files(bundle_folder, "onnxruntime,tvm")
