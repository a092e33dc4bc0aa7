"""BACKBONES: name -> how to build it flat over a scaled image, its pretrained weights, its feature layer.

Every builder takes (include_top, weights, input_tensor, input_shape), as Keras Applications do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import layers

from keras_dr.errors import KerasDrError

# Scalings of uint8 RGB that the published weights were trained with, as (scale, offset) of a Rescaling layer.
MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB in 0..1
MEAN_STD = ([1 / (255 * std) for std in _STD], [-mean / std for mean, std in zip(_MEAN, _STD, strict=True)])
OWN = (1.0, 0.0)  # the network scales by itself


@dataclass(frozen=True)
class Backbone:
    """A network that turns an image into a feature map.

    Attributes:
        build: Keras Applications' signature.
        scaling: (scale, offset) that turn 0..255 into its input.
        features: its layer whose output is pooled; heat maps are made there.
        last_block: prefixes of the names of the layers of its last block.
        pretrained: whether Keras publishes ImageNet weights.
    """

    build: Callable[..., keras.Model]
    scaling: tuple[float | list[float], float | list[float]]
    features: str
    last_block: tuple[str, ...]
    pretrained: bool = True


def tiny(include_top: bool, weights: None, input_tensor: keras.KerasTensor) -> keras.Model:
    """A network of about 128,000 weights for the demo and the tests, not for photographs of patients.

    Five stages, each halving the image; two convolutions with batch norm and ReLU in each.
    """
    assert not include_top and weights is None
    x = input_tensor
    for stage, width in enumerate((16, 24, 32, 48, 64), start=1):
        for part, stride in (("a", 2), ("b", 1)):
            x = layers.Conv2D(width, 3, stride, "same", use_bias=False, name=f"block{stage}{part}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"block{stage}{part}_bn")(x)
            x = layers.ReLU(name=f"block{stage}{part}_relu")(x)
    return keras.Model(input_tensor, x, name="tiny")


_apps = keras.applications
BACKBONES = {
    "tiny": Backbone(tiny, MINUS_ONE_TO_ONE, "block5b_relu", ("block5",), pretrained=False),
    "mobilenetv2": Backbone(_apps.MobileNetV2, MINUS_ONE_TO_ONE, "out_relu", ("block_16_", "Conv_1", "out_relu")),
    "resnet50v2": Backbone(_apps.ResNet50V2, MINUS_ONE_TO_ONE, "post_relu", ("conv5_", "post_")),
    "resnet101v2": Backbone(_apps.ResNet101V2, MINUS_ONE_TO_ONE, "post_relu", ("conv5_", "post_")),
    "resnet152v2": Backbone(_apps.ResNet152V2, MINUS_ONE_TO_ONE, "post_relu", ("conv5_", "post_")),
    "densenet121": Backbone(_apps.DenseNet121, MEAN_STD, "relu", ("conv5_", "bn", "relu")),
    "efficientnetb0": Backbone(_apps.EfficientNetB0, OWN, "top_activation", ("block7", "top_")),
}


def find_backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        KerasDrError: there is none.
    """
    if name not in BACKBONES:
        raise KerasDrError(f"a backbone among {', '.join(BACKBONES)}", repr(name), "Correct --backbone.")
    return BACKBONES[name]


def build_features(
    name: str, image: keras.KerasTensor, weights: str, stem: str = "imagenet", grey: bool = False
) -> keras.Model:
    """The backbone over `image` (float (n, S, S, 3) in 0..255), scaling included, flat, weights loaded.

    Args:
        name: key of `BACKBONES`.
        image: Keras tensor.
        weights: "none" (random), "imagenet" (Keras downloads them once), or a file (.weights.h5 or .h5) for
            `keras.applications.<Network>(include_top=False)`.

    Returns:
        Model from `image` to the feature map.

    Raises:
        KerasDrError: unknown backbone; weights that cannot be had or do not fit.
    """
    backbone = find_backbone(name)
    scale, offset = backbone.scaling
    scaled = layers.Rescaling(scale, offset, name="scaling")(image)
    network = backbone.build(include_top=False, weights=None, input_tensor=scaled)
    features = network.get_layer(backbone.features).output
    if weights != "none":
        _copy_weights(_pretrained(name, backbone, weights), network)
    return keras.Model(image, features, name=name)


def _pretrained(name: str, backbone: Backbone, weights: str) -> keras.Model:
    """The network as Keras Applications builds it, with the weights asked for."""
    if weights == "imagenet":
        if not backbone.pretrained:
            raise KerasDrError("a backbone with ImageNet weights", name, "Train it with --weights none.")
        try:
            return backbone.build(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
        except Exception as error:  # Keras raises whatever urllib or the file system did
            raise KerasDrError(
                f"ImageNet weights of {name}, which Keras downloads to ~/.keras/models",
                f"{type(error).__name__}: {error}",
                "Without a network, copy that file into ~/.keras/models from a machine that has one, name a weights "
                "file with --weights FILE, or start from random weights with --weights none.",
            ) from error
    if not Path(weights).is_file():
        raise KerasDrError("weights: imagenet, none, or a file", f"{weights!r}, no such file", "Correct --weights.")
    inputs = keras.Input((224, 224, 3))
    network = backbone.build(include_top=False, weights=None, input_tensor=inputs)
    try:
        network.load_weights(weights)
    except Exception as error:  # h5py and Keras raise OSError, ValueError, KeyError, TypeError
        remedy = f"Take weights of this network without its top (include_top=False), or another --backbone than {name}."
        raise KerasDrError(f"weights of {name} in {weights}", str(error).strip().split("\n")[0], remedy) from error
    return network


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of equally ordered layers; scaling layers in front of one of them have none."""
    sources = [layer for layer in source.layers if layer.weights]
    targets = [layer for layer in target.layers if layer.weights]
    for one, other in zip(sources, targets, strict=True):
        other.set_weights(one.get_weights())
