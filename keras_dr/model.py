"""The grader: scaling + backbone + global average pooling + dropout + one linear layer, one flat graph.

The head is linear so that Grad-CAM at the pooled feature map has a closed form, which fits into a TFLite file.
"""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.backbones import build_features, find_backbone

HEAD = ("pooling", "dropout", "logits")


def build_model(
    backbone: str,
    size: int,
    classes: int,
    weights: str = "none",
    dropout: float = 0.2,
    stem: str = "imagenet",
    grey: bool = False,
) -> keras.Model:
    """Build a grader.

    Args:
        backbone: key of `BACKBONES`.
        size: side S of its input in pixels.
        classes: number C of outputs.
        weights: "none", "imagenet" or a file, see `backbones.build_features`.
        dropout: rate before the head, 0..1.
        stem, grey: "imagenet" or "small", and whether the image is made grey, see `backbones.build_features`.

    Returns:
        Model from float32 RGB (n, S, S, 3) in 0..255 to float32 logits (n, C).

    Raises:
        KerasDrError: unknown backbone, one that cannot be had so, or weights that cannot be had.
    """
    image = keras.Input((size, size, 3), name="image")
    features = build_features(backbone, image, weights, stem, grey).output
    x = layers.GlobalAveragePooling2D(name="pooling")(features)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=backbone)


def feature_layer(model: keras.Model) -> keras.layers.Layer:
    """The layer whose output the grader pools; heat maps are made there."""
    return model.get_layer(find_backbone(model.name).features)


def head_weights(model: keras.Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel float32 (channels, C) and bias float32 (C,) of the linear head."""
    kernel, bias = model.get_layer("logits").get_weights()
    return kernel, bias


def freeze(model: keras.Model, unfreeze: str | int | None, train_batch_norm: bool = False) -> None:
    """Choose which layers learn.

    Args:
        model: a grader; the head always learns.
        unfreeze: None (head only), "all", "last-block", or the number of last backbone layers that learn.
        train_batch_norm: whether unfrozen batch norms learn and use batch statistics.
    """
    backbone_layers = [layer for layer in model.layers if layer.name not in HEAD]
    prefixes = find_backbone(model.name).last_block
    first = len(backbone_layers) - unfreeze if isinstance(unfreeze, int) else 0
    for index, layer in enumerate(backbone_layers):
        chosen = unfreeze is not None and index >= first
        if unfreeze == "last-block":
            chosen = layer.name.startswith(prefixes)
        is_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = chosen and (train_batch_norm or not is_norm)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities float64 (n, C) of logits float (n, C) divided by a temperature > 0."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
