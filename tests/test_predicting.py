"""export.predicting: the same numbers by both engines; a bad photograph does not end the others' grading."""

from pathlib import Path

import numpy as np
import pytest

from edge_demo.profiler import synthetic_photograph
from export.predicting import predict
from keras_dr.errors import KerasDrError


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("a.jpg", "b.png", "c.jpg")]
    for file, data in zip(files, (synthetic_photograph(), b"no image", synthetic_photograph()), strict=True):
        file.write_bytes(data)
    return files


def test_both_engines_say_the_same_of_a_run(run_folder: Path, images: list[Path]) -> None:
    litert, keras = predict(run_folder, images), predict(run_folder, images, "keras")
    assert [Path(path).name for path, _ in litert.failures] == ["b.png"]
    assert not any(g.prepared.size or g.heatmap.size for g in (*litert.gradings, *keras.gradings))
    assert [g.image_id for g in litert.gradings] == [g.image_id for g in keras.gradings] == ["a", "c"]
    numbers = [[list(g.probabilities.values()) for g in found.gradings] for found in (litert, keras)]
    np.testing.assert_allclose(*numbers, atol=1e-4)


def test_the_file_of_a_run_is_made_once(run_folder: Path, images: list[Path]) -> None:
    predict(run_folder, images[:1])
    file = run_folder / "litert" / "float32.tflite"
    before = file.stat().st_mtime_ns
    assert len(predict(run_folder, images[:1]).gradings) == 1 and file.stat().st_mtime_ns == before


def test_a_bundle_needs_no_run(bundle_folder: Path, images: list[Path]) -> None:
    assert [g.grade for g in predict(bundle_folder, images).gradings] == ["proliferative"] * 2
    with pytest.raises(KerasDrError, match="a run at"):
        predict(bundle_folder, images, "keras")
    with pytest.raises(KerasDrError, match="an engine among"):
        predict(bundle_folder, images, "onnx")
