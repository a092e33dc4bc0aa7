import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export import bundle, parity
from export.bundle import export_bundle
from export.calibration import Statistics, observe, pick_calibration
from export.graph import build_graph
from export.operators import FloatModel, Operator
from export.parity import LIMITS, Outputs, agreement, compare, failures, float_outputs, variant_outputs
from export.rounding import mean_error, pass_errors_on
from export.selection import quantise_within
from export.variants import ONNX, VARIANTS, convert, quantise
from keras_dr.errors import KerasDrError
from keras_dr.grades import TASKS
from keras_dr.model import build_model, head_weights
from keras_dr.overlay import normalise
from keras_dr.preprocessing import Preprocessing
from keras_dr.runs import read_manifest, sha256_of

SIZE, TEMPERATURE = 64, 1.5
ICDR, REFERABLE = TASKS["icdr"], TASKS["referable"]


def grader(backbone: str = "tiny", size: int = SIZE) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = build_model(backbone, size, 5)
    kernel, bias = head_weights(model)
    model.get_layer("logits").set_weights([kernel * 4, bias + np.linspace(-0.5, 0.5, 5)])
    return model


def photographs(count: int, size: int = SIZE) -> np.ndarray:
    """Random colours, each growing along its own direction: unlike noise, they differ after pooling."""
    rng = np.random.default_rng(count)
    slope = np.linspace(0, 1, size)
    weights = rng.uniform(0, 1, (3, count, 1, 1, 3))
    images = weights[0] + weights[1] * slope[:, None, None] + weights[2] * slope[None, :, None]
    return np.rint(images / 3 * 255 * rng.uniform(0.6, 1, images.shape)).astype(np.uint8)


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


def export(model: keras.Model, target: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "task": ICDR,
        "spec": Preprocessing(SIZE),
        "threshold": 0.4,
        "temperature": TEMPERATURE,
        "weights": "none",
        "model_sha256": "00ff",
        "calibration_images": photographs(8),
        "calibration_seed": 7,
        "validation": (photographs(6), np.arange(6) % 5),
        "variants": ("float32",),
    }
    return export_bundle(model, target, **{**settings, **changes})


def test_float32_probabilities_equal_keras(model: keras.Model, files: dict[str, bytes]) -> None:
    images = photographs(5)
    expected = float_outputs(model, TEMPERATURE, images).probabilities
    np.testing.assert_allclose(variant_outputs(files["float32"], images).probabilities, expected, atol=1e-4)


def test_spatial_mean_of_heatmaps_plus_bias_is_the_logit(model: keras.Model, files: dict[str, bytes]) -> None:
    images = photographs(5)
    logits = model.predict_on_batch(images.astype(np.float32))
    maps = variant_outputs(files["float32"], images).heatmaps
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + head_weights(model)[1], logits, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_signature(files: dict[str, bytes], variant: str) -> None:
    runner = Interpreter(model_content=files[variant]).get_signature_runner("serving_default")
    details = {**runner.get_input_details(), **runner.get_output_details()}
    assert {name: (tuple(d["shape"]), d["dtype"]) for name, d in details.items()} == {
        "image": ((1, SIZE, SIZE, 3), np.uint8),
        "probabilities": ((1, 5), np.float32),
        "heatmaps": ((1, 2, 2, 5), np.float32),
    }


def test_scaling_and_head_stay_in_float(files: dict[str, bytes]) -> None:
    details = Interpreter(model_content=files["int8"])._get_ops_details()
    kinds = [detail["op_name"] for detail in details]
    assert kinds[:4] == ["CAST", "MUL", "ADD", "QUANTIZE"] and kinds[-5:-3] == ["DEQUANTIZE", "CONV_2D"]


def test_int8_probabilities_are_finer_than_256_steps(files: dict[str, bytes]) -> None:
    probabilities = variant_outputs(files["int8"], photographs(3)).probabilities
    assert np.abs(probabilities * 256 - np.rint(probabilities * 256)).max() > 1e-3
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


# Half precision has eleven bits, int8 weights a 254th of the largest; the tiny network has eight layers.
@pytest.mark.parametrize(
    ("variant", "largest"), [("float16", 2e-3), ("dynamic", 0.05), ("int8", 0.05), ("int16x8", 0.03)]
)
def test_variant_is_near_the_float_model(files: dict[str, bytes], variant: str, largest: float) -> None:
    images = photographs(8)
    near = agreement(variant_outputs(files["float32"], images), variant_outputs(files[variant], images))
    assert near["largest_probability_difference"] < largest
    assert near["heatmap_correlation"] > 0.9


def test_same_graph_gives_same_bytes(model: keras.Model, files: dict[str, bytes]) -> None:
    assert variants_of(model) == files


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenetv2", "densenet121", "efficientnetb0", "resnet50v2"])
def test_int8_of_every_family_is_less_than_half_and_near(backbone: str) -> None:
    model = grader(backbone, 64)
    content = convert(build_graph(model, 1.0))
    images = photographs(4)
    file = quantise(content, "int8", observe(content, images))
    assert len(file) < 0.5 * len(content)
    near = agreement(variant_outputs(content, images), variant_outputs(file, images))
    assert near["largest_probability_difference"] < 0.1


def test_heatmap_is_grad_cam_at_the_feature_layer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf-keras-vis imports what its own dependencies deprecate
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.scores import CategoricalScore

    model, images = grader(size=160), photographs(3, 160)
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
    """To 0..1, as tf-keras-vis does with its maps."""
    span = np.ptp(heatmap)
    return (heatmap - heatmap.min()) / span if span > 1e-6 else np.zeros_like(heatmap)


def fake(referable: list[float], maps: list[list[float]]) -> Outputs:
    p = np.array(referable)
    one = np.array(maps, np.float32).reshape(len(p), 1, -1, 1)
    return Outputs(np.column_stack([1 - p, p]), np.repeat(one, 2, axis=-1))


def test_parity_by_hand() -> None:
    reference = fake([0.1, 0.4, 0.8, 0.9], [[1, 2, 3], [1, 2, 3], [1, 2, 3], [5, 5, 5]])
    variant = fake([0.1, 0.6, 0.8, 0.7], [[2, 4, 6], [3, 2, 1], [1, 2, 3], [1, 2, 3]])
    found = compare(reference, variant, np.array([0, 0, 1, 1]), REFERABLE, 0.75)
    assert found.to_dict() == {
        "photographs": 4,
        "largest_probability_difference": pytest.approx(0.2),
        "mean_probability_difference": pytest.approx(0.1),
        "grade_agreement": 0.75,
        "heatmap_correlation": pytest.approx((1 - 1 + 1) / 3),
        "quadratic_kappa_float": 1.0,
        "quadratic_kappa_variant": pytest.approx(0.5),
        "auroc_float": 1.0,
        "auroc_variant": 1.0,
        "sensitivity_float": 1.0,
        "sensitivity_variant": 0.5,
        "specificity_float": 1.0,
        "specificity_variant": 1.0,
        "quadratic_kappa_loss": pytest.approx(0.5),
        "auroc_loss": 0.0,
    }


def test_constant_heatmaps_have_no_correlation() -> None:
    flat = fake([0.1], [[1, 1]])
    assert compare(flat, flat, np.array([0]), REFERABLE, 0.5).heatmap_correlation is None


def test_gate_says_which_figure_fails() -> None:
    one, other = fake([0.1, 0.9], [[1, 2], [1, 2]]), fake([0.6, 0.9], [[1, 2], [1, 2]])
    found = compare(one, other, np.array([0, 1]), REFERABLE, 0.5)
    assert failures(found, LIMITS["int8"]) == [
        "grade_agreement 0.5, at least 0.97 allowed",
        "quadratic_kappa_loss 1, at most 0.01 allowed",
    ]
    assert failures(compare(one, one, np.array([0, 1]), REFERABLE, 0.5), LIMITS["float32"]) == []


def test_every_variant_has_limits() -> None:
    assert LIMITS.keys() == {*VARIANTS, ONNX}


def test_bundle_describes_its_files(model: keras.Model, tmp_path: Path) -> None:
    about = export(model, tmp_path / "bundle")
    manifest = read_manifest(tmp_path / "bundle", "bundle")
    file = tmp_path / "bundle" / manifest["models"]["float32"]["file"]
    assert manifest["models"]["float32"]["sha256"] == sha256_of(file)
    assert manifest["models"]["float32"]["size_bytes"] == file.stat().st_size
    assert manifest["calibration"] == {"images": 8, "seed": 7, "split": "train"}
    assert (manifest["classes"], manifest["referable"]) == (list(ICDR.classes), [2, 3, 4])
    assert json.loads((tmp_path / "bundle" / "parity.json").read_bytes()) == {
        **about["parity"],
        "figures": about["figures"],
    }


def test_existing_target_is_refused(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="no folder yet"):
        export(model, tmp_path)


def test_unknown_variant_is_named(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"float32, float16.*'int4'"):
        export(model, tmp_path / "bundle", variants=("float32", "int4"))


def test_a_failed_variant_is_set_apart_with_its_reason(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(parity.LIMITS, "float16", {"grade_agreement": ("at least", 1.1)})
    with pytest.raises(KerasDrError, match=r"float16: grade_agreement 1, at least 1\.1"):
        export(model, tmp_path / "bundle", variants=("float32", "float16"))
    reasons = json.loads((tmp_path / "bundle" / "failed" / "float16.json").read_bytes())["reasons"]
    assert reasons == ["grade_agreement 1, at least 1.1 allowed"]
    assert (tmp_path / "bundle" / "failed" / "float16.tflite").is_file()
    assert list(read_manifest(tmp_path / "bundle", "bundle")["models"]) == ["float32"]


def test_drift_is_recorded_where_allowed(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.LIMITS, "float32", {"grade_agreement": ("at least", 1.1)})
    export(model, tmp_path / "bundle", allow_drift=True)
    failed = read_manifest(tmp_path / "bundle", "bundle")["parity"]["failures"]
    assert failed == {"float32": ["grade_agreement 1, at least 1.1 allowed"]}


def test_interrupted_export_goes_on(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bundle, "_measure", interrupt)
        export(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    monkeypatch.setattr(bundle, "convert", interrupt)
    monkeypatch.setattr(bundle, "observe", interrupt)
    export(model, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_calibration_holds_classes_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = pick_calibration(labels, 20)
    assert np.bincount(labels[chosen]).tolist() == [12, 6, 2]
    assert (np.diff(chosen) > 0).all() and chosen.tolist() == pick_calibration(labels, 20).tolist()
    assert pick_calibration(labels, 500).tolist() == list(range(100))


def test_rounding_with_errors_passed_on_keeps_the_grid_and_loses_less() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 12)) + 1
    weights = rng.normal(size=(4, 12)).astype(np.float32)
    scale = np.abs(weights).max(axis=1, keepdims=True) / 127
    nearest = np.rint(weights / scale) * scale
    rounded = pass_errors_on(weights, (inputs.T @ inputs / 500).astype(np.float32))
    np.testing.assert_allclose(rounded / scale, np.rint(rounded / scale), atol=1e-4)
    np.testing.assert_allclose(np.abs(rounded).max(axis=1), np.abs(weights).max(axis=1), rtol=1e-6)
    lost = [np.square(inputs @ (weights - one).T).mean() for one in (nearest, rounded)]
    assert lost[1] < 0.1 * lost[0]


def test_the_bias_makes_up_for_the_mean_error_of_rounding() -> None:
    # One output, two inputs with means 1 and 3: (0.1 - 0.0) * 1 + (0.2 - 0.3) * 3 = -0.2.
    statistics = Statistics({}, {"layer": np.array([1.0, 3.0])}, {})
    before, after = (np.array(w, np.float32).reshape(1, 1, 1, 2) for w in ([0.1, 0.2], [0.0, 0.3]))
    error = mean_error(before, after, Operator(0, "layer", "CONV_2D", (0, 1, 2)), statistics)
    np.testing.assert_allclose(error, [-0.2], atol=1e-6)


def test_operators_of_one_shared_bias_get_biases_of_their_own(model: keras.Model) -> None:
    content = convert(build_graph(model, TEMPERATURE))
    taken = FloatModel(content)
    first, second = [operator for operator in taken.body() if operator.is_convolution][:2]
    expected = taken.bias(second)
    taken.replace(first, taken.weights(first), taken.bias(first) + 7)
    again = FloatModel(taken.content())
    first, second = [operator for operator in again.body() if operator.is_convolution][:2]
    np.testing.assert_array_equal(again.bias(second), expected)
    assert again.bias(first).max() > 6


def test_layers_to_blame_stay_in_float(model: keras.Model) -> None:
    content, images = convert(build_graph(model, TEMPERATURE)), photographs(4)
    limits = {"largest_probability_difference": ("at most", 0.0)}
    file, kept = quantise_within(content, "int8", observe(content, images), images, limits)
    assert len(kept) >= 4 and {name for name in kept} <= {operator.name for operator in FloatModel(content).body()}
    assert len(file) > len(quantise(content, "int8", observe(content, images)))
