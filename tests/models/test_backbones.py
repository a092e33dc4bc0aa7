"""Every backbone, built once: published weights, flat graph, closed-form heat maps, saving, export.

ImageNet's weights are downloaded as Keras does it, but from a server on this machine that has random weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
from keras.src.utils import file_utils

from edge_demo.interpreter import outputs_of_file
from export.graph import build_graph
from export.variants import convert
from keras_dr.core.errors import KerasDrError
from keras_dr.core.overlay import normalise
from keras_dr.explanation.closed_form import grad_cam
from keras_dr.explanation.tf_keras_vis_maps import by_gradients
from keras_dr.models.backbones import BACKBONES
from keras_dr.models.features import build_features
from keras_dr.models.grader import build_model, feature_layer, freeze, head_weights
from keras_dr.models.heads import softmax
from keras_dr.models.keras_files import load_grader
from keras_dr.recipe import BACKBONE_NAMES

SIZE, CLASSES = 64, 3
PUBLISHED = {
    "mobilenetv2": keras.applications.mobilenet_v2,
    "mobilenetv3large": keras.applications.mobilenet_v3,
    "resnet50": keras.applications.resnet,
    "resnet101": keras.applications.resnet,
    "resnet152": keras.applications.resnet,
    "resnet50v2": keras.applications.resnet_v2,
    "resnet101v2": keras.applications.resnet_v2,
    "resnet152v2": keras.applications.resnet_v2,
    "vgg16": keras.applications.vgg16,
    "densenet121": keras.applications.densenet,
    "densenet169": keras.applications.densenet,
    "efficientnetb0": keras.applications.efficientnet,
    "efficientnetb3": keras.applications.efficientnet,
    "efficientnetv2b0": keras.applications.efficientnet_v2,
}
SLOW = ("resnet101", "resnet152", "resnet101v2", "resnet152v2", "densenet169", "efficientnetb3", "efficientnetlite2")


@dataclass(frozen=True)
class Built:
    """A grader with random "ImageNet" weights, photographs, and the features that Keras Applications computes."""

    model: keras.Model
    images: np.ndarray
    expected: np.ndarray | None


def shaken(network: keras.Model) -> keras.Model:
    """Change biases and batch norms, which all start with equal values, so that a mix-up is detected."""
    rng = np.random.default_rng(2)
    for layer in network.layers:
        values = layer.get_weights()
        if not isinstance(layer, keras.layers.Normalization):
            values = [value + rng.uniform(-0.1, 0.1, value.shape) * (value.ndim == 1) for value in values]
        elif values:  # the published files hold the mean, and the standard deviation in place of the variance
            values[0] = np.array([0.485, 0.456, 0.406])
            values[1] = np.array([0.229, 0.224, 0.225])
        layer.set_weights(values)
    return network


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without writing a line for each."""

    def log_message(self, *arguments: object) -> None:
        pass


@dataclass(frozen=True)
class Server:
    """A server of weights files, and the addresses at which Keras asked for them.

    Attributes:
        folder: the folder that it serves; "weights.h5" in it replaces the file at each of Keras's own addresses.
        address: the address of the folder.
        asked: the addresses that Keras would have asked on the internet.
    """

    folder: Path
    address: str
    asked: list[str]

    def get_file(self, real: Any, fname: str, origin: str, file_hash: str | None = None, **settings: Any) -> str:
        """Download as Keras's `get_file` does, but from this server, whatever hash the published file has."""
        self.asked.append(origin)
        return real(fname, f"{self.address}/weights.h5", cache_dir=str(self.folder / "cache"), **settings)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield Server(folder, f"http://127.0.0.1:{listening.server_port}", [])
        listening.shutdown()


def published(name: str, images: np.ndarray, file: Path) -> np.ndarray:
    """Return the features of Keras Applications' network with random weights in place of ImageNet's."""
    network = shaken(BACKBONES[name].build(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)))
    with h5py.File(file, "w") as weights:  # the format of the published files
        save_weights_to_hdf5_group(weights, network)
    if (
        PUBLISHED[name] is keras.applications.efficientnet
    ):  # these networks have another layer if the weights are ImageNet's
        network = BACKBONES[name].build(include_top=False, weights="imagenet", input_shape=(SIZE, SIZE, 3))
    features = keras.Model(network.input, network.get_layer(BACKBONES[name].features).output)
    return np.asarray(features(PUBLISHED[name].preprocess_input(images.astype(np.float32)), training=False))


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.minutes] * (name in SLOW)) for name in BACKBONES]
)
def built(request: pytest.FixtureRequest, server: Server) -> Iterator[Built]:
    name = request.param
    keras.utils.set_random_seed(5)
    images = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    expected = None
    weights = "none"
    server.asked.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_utils, "get_file", partial(server.get_file, file_utils.get_file))
        if name in PUBLISHED:
            expected = published(name, images, server.folder / "weights.h5")
            weights = "imagenet"
        model = build_model(name, SIZE, CLASSES, weights)
    if name in PUBLISHED:
        assert server.asked[-1].startswith("https://") and "top" in server.asked[-1]
    kernel, bias = head_weights(model)
    model.get_layer("logits").set_weights([kernel * 4, bias + np.linspace(-0.5, 0.5, CLASSES)])
    yield Built(model, images, expected)
    keras.backend.clear_session()


def logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return logits without `predict`, whose compilation takes longer than it saves."""
    return np.asarray(model(images.astype(np.float32), training=False))


def test_features_are_those_of_the_published_network(built: Built) -> None:
    if built.expected is None:
        pytest.skip("not published by Keras")
    features = logits(keras.Model(built.model.input, feature_layer(built.model).output), built.images)
    assert features == pytest.approx(built.expected, abs=1e-4 * float(built.expected.max()))


def test_graph_is_flat_and_the_features_are_what_is_pooled(built: Built) -> None:
    assert not any(isinstance(layer, keras.Model) for layer in built.model.layers)
    assert built.model.get_layer("pooling").input is feature_layer(built.model).output


def test_last_block_ends_at_the_features(built: Built) -> None:
    freeze(built.model, "last-block", train_batch_norm=True)
    flags = [layer.trainable for layer in built.model.layers if layer.weights]
    first = flags.index(True)
    assert first > 0 and all(flags[first:])


def test_grad_cam_has_a_closed_form(built: Built) -> None:
    """Compare with tf-keras-vis."""
    layer = feature_layer(built.model)
    features = logits(keras.Model(built.model.input, layer.output), built.images)
    total_range = 0.0
    for label in range(CLASSES):
        classes = np.full(2, label)
        maps = by_gradients("grad-cam", built.model, built.images, classes, layer)
        for by_gradient, closed in zip(maps, grad_cam(features, classes, built.model), strict=True):
            assert normalise(closed) == pytest.approx(normalise(by_gradient), abs=1e-3)
            total_range += float(np.ptp(normalise(by_gradient)))
    assert total_range > 0  # not empty or flat throughout


def test_saved_model_answers_the_same(built: Built, tmp_path: Path) -> None:
    built.model.save(tmp_path / "model.keras")
    again = load_grader(tmp_path / "model.keras")
    assert logits(again, built.images) == pytest.approx(logits(built.model, built.images), abs=1e-5)


def test_inference_graph_answers_the_same(built: Built) -> None:
    output = build_graph(built.model, 2.0)(built.images[:1])["probabilities"]
    assert np.asarray(output) == pytest.approx(softmax(logits(built.model, built.images[:1]), 2.0), abs=1e-4)


def test_last_three_dense_layers_are_the_last_23_layers() -> None:
    model = build_model("densenet121", 32, 5)
    freeze(model, 23)
    parts = [f"conv5_block{block}_{part}_conv" for block in (14, 15, 16) for part in (1, 2)]
    assert {layer.name for layer in model.layers if layer.trainable_weights} == {*parts, "logits"}


def test_grey_and_small_stem_need_a_backbone_that_supports_them() -> None:
    with pytest.raises(KerasDrError, match=r"resnet50 cannot have grey input. Choose resnet18, resnet34"):
        build_model("resnet50", 32, 2, grey=True)
    with pytest.raises(KerasDrError, match=r"tiny cannot have a small stem. Choose resnet18, resnet34"):
        build_model("tiny", 32, 2, stem="small")
    with pytest.raises(KerasDrError, match=r"no stem 'large'. Choose one of imagenet, small"):
        build_model("resnet18", 32, 2, stem="large")


def test_small_grey_resnet_ignores_colour_and_can_be_exported(tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    model = build_model("resnet18", 28, 2, stem="small", grey=True)
    colours = np.random.default_rng(3).integers(0, 256, (1, 28, 28, 3)).astype(np.uint8)
    grey = np.repeat(colours.mean(axis=3, keepdims=True), 3, axis=3)
    assert logits(model, colours) == pytest.approx(logits(model, grey), abs=1e-4)
    assert model.get_layer("conv1_conv").kernel.shape == (3, 3, 1, 64)
    model.save(tmp_path / "model.keras")
    again = load_grader(tmp_path / "model.keras")
    graph = build_graph(again, 1.0)
    probabilities = outputs_of_file(convert(graph), colours).probabilities
    assert probabilities == pytest.approx(softmax(logits(model, colours)), abs=1e-4)


def test_published_file_named_by_hand_is_scaled_as_well(tmp_path: Path) -> None:
    """EfficientNet's Normalization holds the standard deviation in place of the variance."""
    file = str(tmp_path / "some.weights.h5")
    shaken(keras.applications.EfficientNetB0(include_top=False, weights=None)).save_weights(file)
    features = build_features("efficientnetb0", keras.Input((32, 32, 3)), file)
    (norm,) = (layer for layer in features.layers if isinstance(layer, keras.layers.Normalization))
    white = np.asarray(norm(np.ones((1, 1, 1, 3)))).ravel()
    assert white == pytest.approx((1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rel=1e-5)


def test_recipes_know_the_names_of_all_backbones() -> None:
    assert tuple(BACKBONES) == BACKBONE_NAMES
