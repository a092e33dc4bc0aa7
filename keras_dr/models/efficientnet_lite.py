"""EfficientNet-Lite, which Keras Applications lacks: EfficientNet adapted to edge devices and eight-bit integers.

EfficientNet is described by Tan and Le, ICML 2019, table 1. The Lite networks (Google, 2020) have no
squeeze-and-excitation and use ReLU6 instead of swish. Their stem, their head, and the depths of their first and last
stages are the same in all of them. Layers are named as in Keras Applications' EfficientNets.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

STEM_WIDTH = 32
HEAD_WIDTH = 1280
EPSILON = 1e-3  # epsilon of the batch norms


class Stage(NamedTuple):
    """A row of the paper's table 1: inverted bottlenecks, of which the first changes the width and the side."""

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
    """Build an EfficientNet-Lite with random weights.

    Args:
        width: factor of the stages' widths, which are rounded to multiples of eight.
        depth: factor of the numbers of blocks, which are rounded up; the first and the last stage are not changed.
        include_top: must be False; present to match the signature of Keras Applications.
        weights: must be None; present to match the signature of Keras Applications.
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


def round_width(width: float) -> int:
    """Round a width to the nearest multiple of eight, or up if rounding down would lose more than a tenth."""
    rounded = max(8, int(width + 4) // 8 * 8)
    if rounded < 0.9 * width:
        return rounded + 8
    return rounded


def _bottleneck(x: keras.KerasTensor, stage: Stage, width: int, stride: int, name: str) -> keras.KerasTensor:
    """Add a 1x1 expansion, a depthwise convolution and a 1x1 projection, and a shortcut if the shapes agree."""
    shortcut = x
    channels = x.shape[-1]
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
        x = layers.Add(name=f"{name}add")([x, shortcut])
    return x


def _convolution(x: keras.KerasTensor, width: int, side: int, stride: int, name: str) -> keras.KerasTensor:
    """Add a convolution without bias, and batch norm."""
    x = layers.Conv2D(
        width, side, stride, "same", use_bias=False, kernel_initializer=_initializer(), name=f"{name}conv"
    )(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}bn")(x)


def _initializer() -> keras.initializers.Initializer:
    """Return EfficientNet's initialiser of kernels."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
