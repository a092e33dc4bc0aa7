import keras
import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.overlay import enlarge, normalise
from keras_dr.explanation import tf_keras_vis_maps
from keras_dr.explanation.closed_form import CLOSED, class_kernel, model_evidence
from keras_dr.explanation.finer import finer_layer
from keras_dr.explanation.methods import METHODS, Explainer
from keras_dr.models.backbones import BACKBONES
from keras_dr.models.grader import build_model, feature_layer, head_weights

SIZE = 96
QUICK = ("tiny", "mobilenetv2")
DEEP = (
    "resnet101",
    "resnet152",
    "resnet101v2",
    "resnet152v2",
    "densenet169",
    "efficientnetb3",
)  # another network of the same family is tested in their place
SLOW = [
    pytest.param(name, marks=pytest.mark.minutes if name in DEEP else pytest.mark.slow)
    for name in BACKBONES
    if name not in QUICK
]


@pytest.fixture(scope="module")
def grader() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_model("tiny", SIZE, 5)


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def pooled(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The features before the pooling, float32 (n, h, w, channels)."""
    features = keras.Model(model.input, model.get_layer("pooling").input)
    return np.asarray(features(images.astype(np.float32), training=False))


def alike(maps: np.ndarray, expected: np.ndarray) -> bool:
    """Whether maps equal the expected ones up to a positive factor, within 1e-3, and are not all empty."""
    pairs = list(zip(maps, expected, strict=True))
    same = all(np.abs(normalise(heat) - normalise(peer)).max() < 1e-3 for heat, peer in pairs)
    return same and max(peer.max() for _, peer in pairs) > 0


def brightness_grader(size: int) -> keras.Model:
    """A grader whose channel 0 holds the local brightness in every layer; the logit of class 1 is its mean."""
    model = build_model("tiny", size, 2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape)
            channels = 3 if layer.kernel.shape[2] == 3 else 1
            kernel[:, :, :channels, 0] = 1 / (9 * channels)
            layer.set_weights([kernel])
    head = np.zeros((64, 2))
    head[0, 1] = 1
    model.get_layer("logits").set_weights([head, np.zeros(2)])
    return model


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_closed_form_is_tf_keras_vis(name: str) -> None:
    keras.utils.set_random_seed(1)
    explainer = Explainer(build_model(name, 64, 3))
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    for method in CLOSED:
        for classes in (np.array([0, 1]), np.array([2, 2])):
            peer = tf_keras_vis_maps.by_gradients(method, explainer.model, images, classes, explainer.layer)
            assert alike(explainer.heatmaps(images, classes, method), peer) or not peer.any()


def test_evidence_adds_up_to_the_logit(grader: keras.Model, photographs: np.ndarray) -> None:
    evidence = model_evidence(pooled(grader, photographs), grader)
    logits = np.asarray(grader(photographs.astype(np.float32), training=False))
    assert evidence.shape == (3, 3, 3, 5)
    assert np.allclose(evidence.mean(axis=(1, 2)) + head_weights(grader)[1], logits, atol=1e-5)


def test_grad_cam_plus_plus_works_with_large_logits(photographs: np.ndarray) -> None:
    model = build_model("tiny", SIZE, 2)
    kernel, _ = head_weights(model)
    model.get_layer("logits").set_weights([kernel, np.array([500.0, -500.0])])
    expected = np.einsum("nhwc,c->nhw", pooled(model, photographs), np.maximum(kernel[:, 0], 0))
    peer = tf_keras_vis_maps.by_gradients("grad-cam++", model, photographs, np.zeros(3, int), feature_layer(model))
    assert alike(peer, expected)


@pytest.mark.parametrize("method", METHODS)
def test_heat_lies_where_the_evidence_is(method: str) -> None:
    image = np.zeros((1, 160, 160, 3), np.uint8)
    image[:, 24:72, 88:136] = 255  # upper right
    heat = Explainer(brightness_grader(160)).heatmaps(image, np.array([1]), method)[0]
    y, x = np.unravel_index(enlarge(heat, 160).argmax(), (160, 160))
    assert 24 <= y < 72 and 88 <= x < 136


def test_map_for_a_class_without_evidence_is_zero() -> None:
    image = np.full((1, 96, 96, 3), 255, np.uint8)
    assert not Explainer(brightness_grader(96)).heatmaps(image, np.array([0])).any()


# The position, 0 or 1, of the old pixel in each pair of new pixels. It depends on how an even side is padded.
PHASES = {"tiny": 1, "mobilenetv2": 0, "resnet50v2": 0, "densenet121": 0, "efficientnetlite0": 1}


@pytest.mark.parametrize(
    "name", [name if name == "tiny" else pytest.param(name, marks=pytest.mark.slow) for name in PHASES]
)
def test_dilated_features_contain_the_original_ones(name: str) -> None:
    explainer = Explainer(build_model(name, SIZE, 2))
    image = np.random.default_rng(2).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    coarse = explainer.feature_model.predict_on_batch(image)[1]
    fine = explainer.dilated_model.predict_on_batch(image)[1]
    assert fine.shape[1] in (5, 6)
    assert np.allclose(fine[:, PHASES[name] :: 2, PHASES[name] :: 2], coarse, atol=1e-4 * coarse.max())


def test_finer_maps_have_more_pixels(grader: keras.Model, photographs: np.ndarray) -> None:
    explainer = Explainer(grader)
    sides = {name: explainer.heatmaps(photographs[:1], np.array([0]), name).shape[1] for name in list(METHODS)[4:]}
    assert sides == {"grad-cam-dilated": 6, "grad-cam-crops": 6, "layercam-2x": 6, "layercam-4x": 12}


def test_finer_layer_that_does_not_exist(grader: keras.Model) -> None:
    assert finer_layer(grader, 4).name == "block3b_relu"
    with pytest.raises(KerasDrError, match="No activation in tiny has a map of 96 pixels or more"):
        finer_layer(grader, 32)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "layercam", "score-cam"])
def test_any_layer(grader: keras.Model, photographs: np.ndarray, method: str) -> None:
    maps = Explainer(grader, "block4b_relu").heatmaps(photographs[:2], np.array([0, 1]), method)
    assert maps.shape == (2, 6, 6) and (maps >= 0).all()


def test_batches_do_not_change_maps(grader: keras.Model, photographs: np.ndarray) -> None:
    explainer = Explainer(grader)
    classes = np.array([0, 4, 2])
    for method in METHODS:
        single = explainer.heatmaps(photographs, classes, method, batch_size=1)
        batched = explainer.heatmaps(photographs, classes, method, batch_size=3)
        assert np.allclose(single, batched, rtol=1e-3, atol=1e-6), method


def test_score_cam_prints_nothing(grader: keras.Model, photographs: np.ndarray, capfd: pytest.CaptureFixture) -> None:
    Explainer(grader).heatmaps(photographs[:1], np.array([0]), "score-cam")
    assert capfd.readouterr().out == ""


def test_unknown_layer_names_the_nearest(grader: keras.Model) -> None:
    with pytest.raises(KerasDrError, match=r"no layer 'block5_relu'. The nearest names of .* are: block5b_relu, "):
        Explainer(grader, "block5_relu")


def test_layer_without_a_map_is_refused(grader: keras.Model) -> None:
    with pytest.raises(KerasDrError, match="the layer 'logits' of tiny is not a map"):
        Explainer(grader, "logits")


def test_layer_for_a_method_that_has_its_own_is_refused(grader: keras.Model, photographs: np.ndarray) -> None:
    with pytest.raises(KerasDrError, match=r"grad-cam-crops does not work with --layer; these methods do: grad-cam, "):
        Explainer(grader, "block4b_relu").heatmaps(photographs, np.zeros(3, int), "grad-cam-crops")


def test_unknown_method_names_the_known_ones(grader: keras.Model, photographs: np.ndarray) -> None:
    with pytest.raises(KerasDrError, match=r"no heat map method 'gradcam'. Choose another --method: grad-cam, "):
        Explainer(grader).heatmaps(photographs, np.zeros(3, int), "gradcam")


@pytest.fixture(scope="module")
def nonlinear() -> keras.Model:
    """A grader with a hidden layer after the pooling."""
    model = build_model("tiny", SIZE, 2)
    hidden = keras.layers.Dense(8, "relu", name="hidden")(model.get_layer("pooling").output)
    return keras.Model(model.inputs[0], keras.layers.Dense(2, name="logits")(hidden), name="tiny")


def test_closed_form_needs_a_linear_head(nonlinear: keras.Model, photographs: np.ndarray) -> None:
    with pytest.raises(KerasDrError, match=r"other layers between pooling.*another --method"):
        Explainer(nonlinear).heatmaps(photographs, np.zeros(3, int), "grad-cam-crops")
    with pytest.raises(KerasDrError, match="no linear dense layer"):
        class_kernel(keras.Model(nonlinear.inputs, nonlinear.get_layer("pooling").output, name="tiny"))


def test_other_heads_have_other_methods(nonlinear: keras.Model, photographs: np.ndarray) -> None:
    for method in ("grad-cam", "grad-cam++", "layercam", "score-cam"):
        assert Explainer(nonlinear).heatmaps(photographs, np.zeros(3, int), method).any()


def test_damaged_weights_are_reported(photographs: np.ndarray) -> None:
    model = build_model("tiny", SIZE, 2)
    model.get_layer("logits").set_weights([np.full((64, 2), np.nan), np.zeros(2)])
    with pytest.raises(KerasDrError, match="NaN or infinity"):
        Explainer(model).heatmaps(photographs, np.zeros(3, int))


def test_tf_keras_vis_itself_agrees_with_the_closed_form(grader: keras.Model, photographs: np.ndarray) -> None:
    classes = np.array([0, 4, 2])
    closed = Explainer(grader).heatmaps(photographs, classes, "grad-cam")
    explainer = Explainer(grader, engine="tf-keras-vis")
    assert not explainer.is_free("grad-cam")
    peer = explainer.heatmaps(photographs, classes, "grad-cam")
    assert peer == pytest.approx(closed, abs=1e-3 * float(closed.max()))


def test_an_engine_that_does_not_exist_or_does_not_fit_is_refused(grader: keras.Model) -> None:
    with pytest.raises(KerasDrError, match="closed-form, tf-keras-vis"):
        Explainer(grader, engine="captum")
    with pytest.raises(KerasDrError, match="closed form only"):
        Explainer(grader, engine="tf-keras-vis").find_method("grad-cam-crops")
