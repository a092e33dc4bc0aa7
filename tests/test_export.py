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
from export.graph import build_graph
from export.parity import LIMITS, Outputs, compare, failures, float_outputs, variant_outputs
from export.variants import VARIANTS, convert, pick_calibration
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
    graph = build_graph(model, TEMPERATURE)
    return {name: convert(name, graph, photographs(8)) for name in VARIANTS}


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


def test_int8_takes_every_pixel_value_without_rounding(files: dict[str, bytes]) -> None:
    interpreter = Interpreter(model_content=files["int8"])
    inputs = [d for d in interpreter.get_tensor_details() if d["quantization"] == (1.0, -128)]
    assert [tuple(d["shape"]) for d in inputs] == [(1, SIZE, SIZE, 3)]


def test_int8_probabilities_are_finer_than_256_steps(files: dict[str, bytes]) -> None:
    probabilities = variant_outputs(files["int8"], photographs(3)).probabilities
    assert np.abs(probabilities * 256 - np.rint(probabilities * 256)).max() > 1e-3
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_int8_is_near_the_float_model(model: keras.Model, files: dict[str, bytes]) -> None:
    images = photographs(8)
    labels = np.arange(8) % 5
    near = compare(float_outputs(model, TEMPERATURE, images), variant_outputs(files["int8"], images), labels, ICDR)
    assert near.largest_probability_difference < 0.05
    assert near.heatmap_correlation is not None and near.heatmap_correlation > 0.9


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_graph_gives_same_bytes(model: keras.Model, files: dict[str, bytes], variant: str) -> None:
    assert convert(variant, build_graph(model, TEMPERATURE), photographs(8)) == files[variant]


@pytest.mark.slow
def test_int8_mobilenet_is_less_than_half_of_float32() -> None:
    graph = build_graph(grader("mobilenetv2", 96), 1.0)
    sizes = {name: len(convert(name, graph, photographs(2, 96))) for name in ("float32", "int8")}
    assert sizes["int8"] < 0.5 * sizes["float32"]


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
    found = compare(reference, variant, np.array([0, 0, 1, 1]), REFERABLE)
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
    }


def test_constant_heatmaps_have_no_correlation() -> None:
    flat = fake([0.1], [[1, 1]])
    assert compare(flat, flat, np.array([0]), REFERABLE).heatmap_correlation is None


def test_gate_says_which_figure_fails() -> None:
    one, other = fake([0.1, 0.4], [[1, 2], [1, 2]]), fake([0.1, 0.6], [[1, 2], [1, 2]])
    found = compare(one, other, np.array([0, 1]), REFERABLE)
    assert failures(found, LIMITS["int8"]) == ["grade_agreement 0.5, at least 0.97 allowed"]
    assert failures(compare(one, one, np.array([0, 1]), REFERABLE), LIMITS["float32"]) == []


def test_every_variant_has_limits() -> None:
    assert LIMITS.keys() == VARIANTS.keys()


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
    with pytest.raises(KerasDrError, match=r"float32, int8.*'int4'"):
        export(model, tmp_path / "bundle", variants=("float32", "int4"))


def test_failed_gate_leaves_nothing(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.LIMITS, "float32", {"grade_agreement": ("at least", 1.1)})
    with pytest.raises(KerasDrError, match=r"float32: grade_agreement 1, at least 1\.1"):
        export(model, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


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
    export(model, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_calibration_holds_classes_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = pick_calibration(labels, 20)
    assert np.bincount(labels[chosen]).tolist() == [12, 6, 2]
    assert (np.diff(chosen) > 0).all() and chosen.tolist() == pick_calibration(labels, 20).tolist()
    assert pick_calibration(labels, 500).tolist() == list(range(100))
