"""EfficientNet-Lite, which Keras Applications lacks: EfficientNet made fit for edge devices and eight-bit integers.

EfficientNet is Tan and Le, ICML 2019, table 1. The Lite networks (Google, 2020) differ from it in this: they have no
squeeze-and-excitation; ReLU6 stands in place of swish; and the stem, the head and the depth of the first and the last
stage are the same in all of them. Layers are named as in Keras Applications' EfficientNets.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

STEM_WIDTH, HEAD_WIDTH = 32, 1280
EPSILON = 1e-3  # of the batch norms


class Stage(NamedTuple):
    """A row of the paper's table 1: some inverted bottlenecks, of which the first changes the width and the side."""

    kernel: int
    depth: int
    width: int
    expansion: int
    stride: int


STAGES = (
    Stage(kernel=3, depth=1, width=16, expansion=1, stride=1),
    Stage(kernel=3, depth=2, width=24, expansion=6, stride=2),
    Stage(kernel=5, depth=2, width=40, expansion=6, stride=2),
    Stage(kernel=3, depth=3, width=80, expansion=6, stride=2),
    Stage(kernel=5, depth=3, width=112, expansion=6, stride=1),
    Stage(kernel=5, depth=4, width=192, expansion=6, stride=2),
    Stage(kernel=3, depth=1, width=320, expansion=6, stride=1),
)


def efficientnet_lite(
    width: float, depth: float, include_top: bool, weights: None, input_tensor: keras.KerasTensor
) -> keras.Model:
    """An EfficientNet-Lite with random weights.

    Args:
        width: factor of the stages' widths, which are rounded to multiples of eight.
        depth: factor of the numbers of blocks, rounded up; the first and the last stage keep theirs.
        include_top, weights: False and None; present for the sake of Keras Applications' signature.
        input_tensor: scaled image, float (n, S, S, 3).

    Returns:
        Model to the feature map (n, s, s, 1280) after the last ReLU6, s = S/32 rounded up.
    """
    assert not include_top and weights is None
    x = _convolution(input_tensor, STEM_WIDTH, 3, 2, "stem_")
    x = layers.ReLU(6.0, name="stem_activation")(x)
    for number, stage in enumerate(STAGES, start=1):
        blocks = stage.depth if number in (1, len(STAGES)) else math.ceil(depth * stage.depth)
        for block in range(blocks):
            stride = stage.stride if block == 0 else 1
            name = f"block{number}{chr(ord('a') + block)}_"
            x = _bottleneck(x, stage, round_width(width * stage.width), stride, name)
    x = _convolution(x, HEAD_WIDTH, 1, 1, "top_")
    x = layers.ReLU(6.0, name="top_activation")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def round_width(wanted: float) -> int:
    """The multiple of eight next to it, and the one above where that would lose more than a tenth."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _bottleneck(x: keras.KerasTensor, stage: Stage, width: int, stride: int, name: str) -> keras.KerasTensor:
    """An inverted bottleneck: wider by 1x1, filtered channel by channel, narrower by 1x1; added where shapes agree."""
    entered, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = _convolution(x, stage.expansion * channels, 1, 1, f"{name}expand_")
        x = layers.ReLU(6.0, name=f"{name}expand_activation")(x)
    x = layers.DepthwiseConv2D(
        stage.kernel, stride, "same", use_bias=False, depthwise_initializer=_initializer(), name=f"{name}dwconv"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}bn")(x)
    x = layers.ReLU(6.0, name=f"{name}activation")(x)
    x = _convolution(x, width, 1, 1, f"{name}project_")
    if stride == 1 and channels == width:
        x = layers.Add(name=f"{name}add")([x, entered])
    return x


def _convolution(x: keras.KerasTensor, width: int, side: int, stride: int, name: str) -> keras.KerasTensor:
    """Convolution without a bias, and batch norm."""
    x = layers.Conv2D(
        width, side, stride, "same", use_bias=False, kernel_initializer=_initializer(), name=f"{name}conv"
    )(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}bn")(x)


def _initializer() -> keras.initializers.Initializer:
    """EfficientNet's."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
