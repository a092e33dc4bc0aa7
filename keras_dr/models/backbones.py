"""BACKBONES: name -> how to build it flat over a scaled image, its pretrained weights, its feature layer.

Every builder takes (include_top, weights, input_tensor, input_shape), as Keras Applications do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dr.core.errors import KerasDrError
from keras_dr.models.resnet import STEMS, resnet
from keras_dr.models.torch_weights import read_resnet

# Scalings of uint8 RGB that the published weights were trained with, as (scale, offset) of a Rescaling layer.
MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's, RGB in 0..1
MEAN_STD = ((1 / (255 * _STD)).tolist(), (-_MEAN / _STD).tolist())
GREY_MEAN_STD = (1 / (255 * _STD.mean()), -_MEAN.mean() / _STD.mean())
CAFFE = (1.0, [-123.68, -116.779, -103.939])  # in RGB order: see `Backbone.bgr`
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
        bgr: whether these see blue first. Then the first kernel is turned round instead of every image.
        torch: whether it takes torchvision's weights, a choice of stem, and grey images.
    """

    build: Callable[..., keras.Model]
    scaling: tuple[float | list[float], float | list[float]]
    features: str
    last_block: tuple[str, ...]
    pretrained: bool = True
    bgr: bool = False
    torch: bool = False


def tiny(include_top: bool, weights: None, input_tensor: keras.KerasTensor) -> keras.Model:
    """A network of about 128,000 weights for the demo and the tests, not for photographs of patients.

    Five stages, each halving the scaled image (n, S, S, 3); two convolutions with batch norm and ReLU in each.
    All float32.
    """
    assert not include_top and weights is None
    x = input_tensor
    for stage, width in enumerate((16, 24, 32, 48, 64), start=1):
        for part, stride in (("a", 2), ("b", 1)):
            x = layers.Conv2D(width, 3, stride, "same", use_bias=False, name=f"block{stage}{part}_conv")(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"block{stage}{part}_bn")(x)
            x = layers.ReLU(name=f"block{stage}{part}_relu")(x)
    return keras.Model(input_tensor, x, name="tiny")


def mobilenet_v3_large(**settings: Any) -> keras.Model:
    """Keras Applications' network with a name for its last activation, which is pooled."""
    network = keras.applications.MobileNetV3Large(**settings)
    x = layers.Activation("hard_swish", name="top_activation")(network.get_layer("conv_1_bn").output)
    return keras.Model(network.input, x)


_apps = keras.applications
_resnet_v1 = partial(Backbone, scaling=CAFFE, features="conv5_block3_out", last_block=("conv5_",), bgr=True)
_resnet_v2 = partial(Backbone, scaling=MINUS_ONE_TO_ONE, features="post_relu", last_block=("conv5_", "post_"))
_densenet = partial(Backbone, scaling=MEAN_STD, features="relu", last_block=("conv5_", "bn", "relu"))
_efficientnet = partial(Backbone, scaling=OWN, features="top_activation")
_torch_resnet = partial(Backbone, scaling=MEAN_STD, last_block=("conv5_",), pretrained=False, torch=True)
BACKBONES = {
    "tiny": Backbone(tiny, MINUS_ONE_TO_ONE, "block5b_relu", ("block5",), pretrained=False),
    "mobilenetv2": Backbone(_apps.MobileNetV2, MINUS_ONE_TO_ONE, "out_relu", ("block_16_", "Conv_1", "out_relu")),
    "mobilenetv3large": Backbone(
        mobilenet_v3_large, OWN, "top_activation", (*(f"expanded_conv_{i}_" for i in (12, 13, 14)), "conv_1", "top_")
    ),
    "resnet18": _torch_resnet(partial(resnet, (2, 2, 2, 2)), features="conv5_block2_out"),
    "resnet34": _torch_resnet(partial(resnet, (3, 4, 6, 3)), features="conv5_block3_out"),
    "resnet50": _resnet_v1(_apps.ResNet50),
    "resnet101": _resnet_v1(_apps.ResNet101),
    "resnet152": _resnet_v1(_apps.ResNet152),
    "resnet50v2": _resnet_v2(_apps.ResNet50V2),
    "resnet101v2": _resnet_v2(_apps.ResNet101V2),
    "resnet152v2": _resnet_v2(_apps.ResNet152V2),
    # Without its last pooling, as Zhou et al., CVPR 2016, section 3.1: maps of S/16 instead of S/32.
    "vgg16": Backbone(_apps.VGG16, CAFFE, "block5_conv3", ("block5_",), bgr=True),
    "densenet121": _densenet(_apps.DenseNet121),
    "densenet169": _densenet(_apps.DenseNet169),
    "efficientnetb0": _efficientnet(_apps.EfficientNetB0, last_block=("block7", "top_")),
    "efficientnetb3": _efficientnet(_apps.EfficientNetB3, last_block=("block7", "top_")),
    "efficientnetv2b0": _efficientnet(_apps.EfficientNetV2B0, last_block=("block6", "top_")),
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
        weights: "none" (random), "imagenet" (Keras downloads them once), or a file: for ResNet-18 and -34 torchvision's
            (.safetensors), else (.weights.h5 or .h5) for `keras.applications.<Network>(include_top=False)`.
        stem: "imagenet", or "small" for images of some 28 pixels, see `resnet.resnet`.
        grey: whether the mean of the three channels is all that the network sees.

    Returns:
        Model from `image` to the feature map.

    Raises:
        KerasDrError: unknown backbone or stem; one that has no small stem or takes no grey images; weights that cannot
            be had or do not fit.
    """
    backbone = find_backbone(name)
    settings = _settings(name, backbone, stem, grey)
    seen = keras.ops.mean(image, axis=-1, keepdims=True) if grey else image
    scale, offset = GREY_MEAN_STD if grey else backbone.scaling
    scaled = layers.Rescaling(scale, offset, name="scaling")(seen)
    network = backbone.build(include_top=False, weights=None, input_tensor=scaled, **settings)
    features = network.get_layer(backbone.features).output
    if weights != "none":
        if backbone.torch:
            _load_torch_weights(name, network, weights)
        else:
            _copy_weights(_pretrained(name, backbone, weights), network, backbone.bgr)
    return keras.Model(image, features, name=name)


def _settings(name: str, backbone: Backbone, stem: str, grey: bool) -> dict[str, str]:
    """What the builder is told beside the usual."""
    if stem not in STEMS:
        raise KerasDrError(f"a stem among {', '.join(STEMS)}", repr(stem), "Correct it.")
    if not backbone.torch and (stem != "imagenet" or grey):
        able = ", ".join(name for name, one in BACKBONES.items() if one.torch)
        wish = "grey input" if grey else f"a {stem} stem"
        raise KerasDrError(f"for {wish} a backbone among {able}", name, "Choose another, or leave that setting out.")
    return {"stem": stem} if backbone.torch else {}


def _load_torch_weights(name: str, network: keras.Model, weights: str) -> None:
    """Put torchvision's weights from a .safetensors file into a ResNet-18 or -34."""
    if not Path(weights).is_file():
        found = "imagenet, which Keras has not" if weights == "imagenet" else f"{weights!r}, no such file"
        raise KerasDrError(
            f"for {name} weights none or a .safetensors file of torchvision's",
            found,
            f"Where PyTorch is installed, write one: safetensors.torch.save_file(torchvision.models.{name}"
            '(weights="DEFAULT").state_dict(), FILE); then name it with --weights FILE.',
        )
    own = {layer.name: layer for layer in network.layers if layer.weights}
    shapes = {name: [tuple(weight.shape) for weight in layer.weights] for name, layer in own.items()}
    for layer, values in read_resnet(Path(weights), shapes).items():
        own[layer].set_weights(values)


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


def _copy_weights(source: keras.Model, target: keras.Model, bgr: bool) -> None:
    """Copy the weights of equally ordered layers; scaling layers in front of one of them have none."""
    sources = [layer for layer in source.layers if layer.weights]
    targets = [layer for layer in target.layers if layer.weights]
    for index, (one, other) in enumerate(zip(sources, targets, strict=True)):
        values = one.get_weights()
        if bgr and index == 0:
            values[0] = values[0][:, :, ::-1]
        if isinstance(one, layers.Normalization) and np.allclose(values[1], _STD):
            # EfficientNet's published files hold the standard deviation where the variance belongs; Keras makes up for
            # it by a layer that only weights="imagenet" gets (tensorflow/tensorflow#49930).
            values[1] = values[1] ** 2
        other.set_weights(values)
        if isinstance(other, layers.Normalization):
            other.finalize_state()  # it computes with a copy of its weights
