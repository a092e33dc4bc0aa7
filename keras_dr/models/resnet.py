"""ResNet-18 and ResNet-34, which Keras Applications lacks: He et al., CVPR 2016, table 1, with torchvision's layout.

Layers are named as in the deeper ResNets of Keras Applications.
"""

from typing import Literal

import keras
from keras import layers

WIDTHS = (64, 128, 256, 512)
STEMS = ("imagenet", "small")


def resnet(
    depths: tuple[int, int, int, int],
    include_top: bool,
    weights: None,
    input_tensor: keras.KerasTensor,
    stem: Literal["imagenet", "small"] = "imagenet",
) -> keras.Model:
    """Build a residual network of basic blocks with random weights.

    Args:
        depths: number of blocks in each of the four stages.
        include_top: must be False; present to match the signature of Keras Applications.
        weights: must be None; present to match the signature of Keras Applications.
        input_tensor: scaled image, float (n, S, S, channels), with 1 or 3 channels.
        stem: "imagenet" begins with a 7x7 convolution and a pooling, which give S/4; "small" begins with only a 3x3
            convolution, which keeps S, for images of about 28 pixels (He et al., section 4.2).

    Returns:
        Model to the feature map (n, s, s, 512) after the last ReLU, s = S/32, or S/8 with the small stem, rounded up.
    """
    assert not include_top and weights is None
    if stem == "small":
        x = _relu(_convolution(input_tensor, 64, 3, 1, "conv1"), "conv1_relu")
    else:
        x = _relu(_convolution(input_tensor, 64, 7, 2, "conv1"), "conv1_relu")
        # PyTorch pads with minus infinity; zeros are equivalent, because nothing is below zero after a ReLU.
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=2):
        for block in range(1, depth + 1):
            x = _block(x, width, 2 if block == 1 and stage > 2 else 1, f"conv{stage}_block{block}")
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


def _block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    """Add two 3x3 convolutions and a shortcut, which is a 1x1 convolution if the shape changes."""
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, 1, stride, f"{name}_0")
    x = _relu(_convolution(x, width, 3, stride, f"{name}_1"), f"{name}_1_relu")
    x = _convolution(x, width, 3, 1, f"{name}_2")
    return _relu(layers.Add(name=f"{name}_add")([shortcut, x]), f"{name}_out")


def _convolution(x: keras.KerasTensor, width: int, side: int, stride: int, name: str) -> keras.KerasTensor:
    """Add a convolution and batch norm with torchvision's initialisation, epsilon and momentum (PyTorch's .1)."""
    if side > 1:
        # With stride 2, "same" pads an even image only on its right and lower sides; PyTorch pads all four.
        x = layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
    he = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
    x = layers.Conv2D(width, side, stride, use_bias=False, kernel_initializer=he, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=name)(x)
