"""export.onnx_file: the ONNX file of a bundle has the outputs of the TFLite file, under the same names."""

from pathlib import Path

import keras
import numpy as np
import pytest
from graders import SIZE, export, grader, photographs

from edge_demo.bundle import Bundle
from edge_demo.interpreter import outputs_of_file
from export import onnx_file
from export.graph import build_graph
from export.onnx_file import onnx_outputs, to_onnx
from export.parity import agreement
from export.variants import check_variants, convert
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest, sha256_of
from keras_dr.models.grader import build_model


def compare_both(model: keras.Model, size: int = SIZE) -> bytes:
    """Check that both files have the same outputs for photographs; return the ONNX file."""
    content = convert(build_graph(model, 1.5))
    file = to_onnx(content)
    images = photographs(3, size)
    tflite = outputs_of_file(content, images)
    onnx = onnx_outputs(file, images)
    np.testing.assert_allclose(onnx.heatmaps, tflite.heatmaps, atol=1e-3 * np.abs(tflite.heatmaps).max())
    assert agreement(tflite, onnx)["largest_probability_difference"] < 1e-4
    return file


def test_onnx_has_the_outputs_of_tflite_under_the_same_names() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    graph = onnx.load_from_string(compare_both(grader())).graph
    ends = {
        end.name: (
            end.type.tensor_type.elem_type,
            tuple(dimension.dim_value for dimension in end.type.tensor_type.shape.dim),
        )
        for end in (*graph.input, *graph.output)
    }
    kinds = onnx.TensorProto
    assert ends == {
        "image": (kinds.UINT8, (1, SIZE, SIZE, 3)),
        "probabilities": (kinds.FLOAT, (1, 5)),
        "heatmaps": (kinds.FLOAT, (1, 2, 2, 5)),
    }


def test_the_steps_of_an_ordinal_head_become_onnx() -> None:
    pytest.importorskip("tf2onnx")
    compare_both(build_model("tiny", SIZE, 5, head="ordinal"))


@pytest.mark.minutes  # half a minute per network
@pytest.mark.parametrize(
    "backbone",
    [
        "mobilenetv2",
        "densenet121",
        "efficientnetb0",
        "resnet50v2",
        "vgg16",
        "efficientnetlite0",
        "efficientnetlite1",
        "efficientnetlite2",
    ],
)
def test_every_family_becomes_onnx(backbone: str) -> None:
    pytest.importorskip("tf2onnx")
    compare_both(grader(backbone, 64), 64)


def test_onnx_adds_float32_and_a_device_does_not_see_it(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    export(grader(), tmp_path / "bundle", variants=("onnx",))
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    assert list(manifest["models"]) == ["float32"] == list(Bundle.load(tmp_path / "bundle").models)
    assert manifest["onnx"]["sha256"] == sha256_of(tmp_path / "bundle" / manifest["onnx"]["file"])
    assert manifest["parity"]["limits"]["onnx"] == manifest["parity"]["limits"]["float32"]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(KerasDrError, match=r"Not installed: no_such_package\. Install them .* requirements-onnx\.txt"):
        check_variants(["float32", "onnx"])
