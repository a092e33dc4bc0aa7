"""export.variants: each variant's file compared with Keras and with the others."""

import warnings

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from graders import SIZE, TEMPERATURE, grader, photographs

from edge_demo.interpreter import outputs_of_file
from export.activation_statistics import observe
from export.graph import build_graph
from export.parity import agreement, float_outputs
from export.variants import VARIANTS, convert, quantise
from keras_dr.core.overlay import normalise
from keras_dr.models.grader import head_weights


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return grader()


@pytest.fixture(scope="module")
def files(model: keras.Model) -> dict[str, bytes]:
    return variants_of(model)


def variants_of(model: keras.Model, size: int = SIZE) -> dict[str, bytes]:
    content = convert(build_graph(model, TEMPERATURE))
    statistics = observe(content, photographs(8, size))
    return {name: quantise(content, name, statistics) for name in VARIANTS}


def test_float32_probabilities_equal_keras(model: keras.Model, files: dict[str, bytes]) -> None:
    images = photographs(5)
    expected = float_outputs(model, TEMPERATURE, images).probabilities
    np.testing.assert_allclose(outputs_of_file(files["float32"], images).probabilities, expected, atol=1e-4)


def test_spatial_mean_of_heatmaps_plus_bias_is_the_logit(model: keras.Model, files: dict[str, bytes]) -> None:
    images = photographs(5)
    logits = model.predict_on_batch(images.astype(np.float32))
    maps = outputs_of_file(files["float32"], images).heatmaps
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + head_weights(model)[1], logits, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_signature(files: dict[str, bytes], variant: str) -> None:
    runner = Interpreter(model_content=files[variant]).get_signature_runner("serving_default")
    details = {**runner.get_input_details(), **runner.get_output_details()}
    assert {name: (tuple(detail["shape"]), detail["dtype"]) for name, detail in details.items()} == {
        "image": ((1, SIZE, SIZE, 3), np.uint8),
        "probabilities": ((1, 5), np.float32),
        "heatmaps": ((1, 2, 2, 5), np.float32),
    }


def test_scaling_and_head_stay_in_float(files: dict[str, bytes]) -> None:
    details = Interpreter(model_content=files["int8"])._get_ops_details()
    kinds = [detail["op_name"] for detail in details]
    assert kinds[:4] == ["CAST", "MUL", "ADD", "QUANTIZE"] and kinds[-5:-3] == ["DEQUANTIZE", "CONV_2D"]


def test_int8_probabilities_are_finer_than_256_steps(files: dict[str, bytes]) -> None:
    probabilities = outputs_of_file(files["int8"], photographs(3)).probabilities
    assert np.abs(probabilities * 256 - np.rint(probabilities * 256)).max() > 1e-3
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


# Half precision has eleven bits; int8 rounds by up to 1/254 of the largest weight. The tiny network has eight layers.
@pytest.mark.parametrize(
    ("variant", "largest"), [("float16", 2e-3), ("dynamic", 0.05), ("int8", 0.05), ("int16x8", 0.03)]
)
def test_variant_is_near_the_float_model(files: dict[str, bytes], variant: str, largest: float) -> None:
    images = photographs(8)
    figures = agreement(outputs_of_file(files["float32"], images), outputs_of_file(files[variant], images))
    assert figures["largest_probability_difference"] < largest
    assert figures["heatmap_correlation"] > 0.9


def test_same_graph_gives_same_bytes(model: keras.Model, files: dict[str, bytes]) -> None:
    assert variants_of(model) == files


@pytest.mark.minutes
@pytest.mark.parametrize(
    "backbone",
    [
        "mobilenetv2",
        "densenet121",
        "efficientnetb0",
        "resnet50v2",
        "efficientnetlite0",
        "efficientnetlite1",
        "efficientnetlite2",
    ],
)
def test_int8_of_every_family_is_less_than_half_and_near(backbone: str) -> None:
    model = grader(backbone, 64)
    content = convert(build_graph(model, 1.0))
    images = photographs(4)
    file = quantise(content, "int8", observe(content, images))
    assert len(file) < 0.5 * len(content)
    figures = agreement(outputs_of_file(content, images), outputs_of_file(file, images))
    assert figures["largest_probability_difference"] < 0.1


def test_heatmap_is_grad_cam_at_the_feature_layer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf-keras-vis imports names that its dependencies have deprecated
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.scores import CategoricalScore

    model = grader(size=160)
    images = photographs(3, 160)
    maps = float_outputs(model, 1.0, images).heatmaps
    for label in range(5):
        cam = Gradcam(model, clone=False)(
            CategoricalScore([label] * 3),
            images.astype(np.float32),
            penultimate_layer="block5b_relu",
            seek_penultimate_conv_layer=False,
            expand_cam=False,
        )
        for mine, theirs in zip(maps[..., label], np.array(cam), strict=True):
            np.testing.assert_allclose(minmax(normalise(mine)), minmax(theirs), atol=1e-3)


def minmax(heatmap: np.ndarray) -> np.ndarray:
    """Return the map scaled to 0..1, as tf-keras-vis does it."""
    span = np.ptp(heatmap)
    return (heatmap - heatmap.min()) / span if span > 1e-6 else np.zeros_like(heatmap)
