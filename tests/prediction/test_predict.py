"""keras_dr.prediction.predict: both engines give the same numbers, and a bad photograph does not stop the others."""

import json
from pathlib import Path

import numpy as np
import pytest
from edge_fixtures import change

from edge_demo.grader import Grader
from edge_demo.profiler import synthetic_photograph
from keras_dr.core.errors import KerasDrError
from keras_dr.prediction.predict import predict


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("a.jpg", "b.png", "c.jpg")]
    for file, data in zip(files, (synthetic_photograph(), b"no image", synthetic_photograph()), strict=True):
        file.write_bytes(data)
    return files


def test_both_engines_give_the_same_numbers_for_a_run(run_folder: Path, images: list[Path]) -> None:
    litert = predict(run_folder, images)
    keras = predict(run_folder, images, "keras")
    assert [Path(path).name for path, _ in litert.failures] == ["b.png"]
    assert not any(g.prepared.size or g.heatmap.size for g in (*litert.gradings, *keras.gradings))
    assert [g.image_id for g in litert.gradings] == [g.image_id for g in keras.gradings] == ["a", "c"]
    numbers = [[list(g.probabilities.values()) for g in graded.gradings] for graded in (litert, keras)]
    np.testing.assert_allclose(*numbers, atol=1e-4)


@pytest.mark.parametrize("step", ["prepare", "conclude"])
@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_a_photograph_that_needs_too_much_memory_fails_alone(
    run_folder: Path, images: list[Path], engine: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original_step = getattr(Grader, step)
    calls = []

    def fail_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise MemoryError
        return original_step(*arguments)

    monkeypatch.setattr(Grader, step, fail_once)
    monkeypatch.setattr("keras_dr.prediction.engines.usable_cores", lambda: 1)
    graded = predict(run_folder, images, engine)
    assert [(Path(path).name, "MemoryError" in message) for path, message in graded.failures] == [
        ("a.jpg", True),
        ("b.png", False),
    ]
    assert [g.image_id for g in graded.gradings] == ["c"]


def test_the_file_of_a_run_is_made_once(run_folder: Path, images: list[Path]) -> None:
    predict(run_folder, images[:1])
    file = run_folder / "litert" / "float32.tflite"
    before = file.stat().st_mtime_ns
    assert len(predict(run_folder, images[:1]).gradings) == 1 and file.stat().st_mtime_ns == before


def test_a_file_of_a_run_that_failed_its_comparison_is_made_again(run_folder: Path, images: list[Path]) -> None:
    predict(run_folder, images[:1])
    about = run_folder / "litert" / "bundle.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"models": {}}))
    assert len(predict(run_folder, images[:1]).gradings) == 1


def test_a_bundle_needs_no_run(bundle_folder: Path, images: list[Path]) -> None:
    assert [g.grade for g in predict(bundle_folder, images).gradings] == ["proliferative"] * 2
    with pytest.raises(KerasDrError, match="Keras needs a run"):
        predict(bundle_folder, images, "keras")
    with pytest.raises(KerasDrError, match="The engine 'onnx' is not one of"):
        predict(bundle_folder, images, "onnx")


def test_pictures_are_drawn_into_a_folder(bundle_folder: Path, images: list[Path], tmp_path: Path) -> None:
    graded = predict(bundle_folder, images, heatmaps=tmp_path / "maps")
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == ["a.png", "c.png"]
    assert graded.gradings[0].photograph is None  # it takes too much memory to keep
    predict(bundle_folder, [tmp_path], heatmaps=tmp_path / "more")
    again = predict(bundle_folder, [tmp_path])
    assert len(again.outcomes) == len(images)  # the pictures of both folders are passed over


def test_the_operating_point_decides(bundle_folder: Path, images: list[Path]) -> None:
    change(bundle_folder, referable=[0], operating_points={"all": {"value": 0.0}})
    assert predict(bundle_folder, images[:1], operating_point="all").gradings[0].action == "refer: by threshold"
    assert predict(bundle_folder, images[:1], threshold=1.0).gradings[0].action == "none"
    with pytest.raises(KerasDrError, match="no operating point 'some'"):
        predict(bundle_folder, images[:1], operating_point="some")
