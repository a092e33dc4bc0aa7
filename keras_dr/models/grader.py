"""The grader: scaling, backbone, global average pooling, dropout and one linear layer in one flat graph.

The head is linear, so Grad-CAM at the pooled feature map has a closed form, which fits into a TFLite file.
"""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.models.backbones import find_backbone
from keras_dr.models.features import build_features
from keras_dr.models.heads import HEADS, evidence_kernel
from keras_dr.models.heads import NAME as LOGITS
from keras_dr.recipe import Recipe

# Names of a model that holds several graders and of its feature layer, see `ensemble`.
ENSEMBLE = "ensemble"
ENSEMBLE_FEATURES = "features"
HEAD = ("pooling", "dropout", LOGITS)


def build_model(
    backbone: str,
    size: int,
    classes: int,
    weights: str = "none",
    dropout: float = 0.2,
    head: str = "softmax",
    stem: str = "imagenet",
    grey: bool = False,
) -> keras.Model:
    """Build a grader.

    Args:
        backbone: key of `BACKBONES`.
        size: side S of the input in pixels.
        classes: number C of outputs.
        weights: "none", "imagenet" or a file, see `features.build_features`.
        dropout: rate before the head, 0..1.
        head: key of `HEADS`.
        stem: "imagenet" or "small", see `features.build_features`.
        grey: whether the image is converted to grey, see `features.build_features`.

    Returns:
        Model from float32 RGB (n, S, S, 3) in 0..255 to float32 logits (n, K); K is C for a softmax head, C - 1 for an
        ordinal head, and 1 for a regression head.

    Raises:
        KerasDrError: the backbone is unknown or does not support these settings, or its weights are not available.
    """
    image = keras.Input((size, size, 3), name="image")
    features = build_features(backbone, image, weights, stem, grey).output
    x = layers.GlobalAveragePooling2D(name="pooling")(features)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = HEADS[head].layer(classes)(x)
    return keras.Model(image, logits, name=backbone)


def recipe_model(recipe: Recipe, size: int, classes: int, weights: str = "none") -> keras.Model:
    """Build the grader that a recipe describes, see `build_model`; `weights` replaces the weights of the recipe."""
    return build_model(recipe.backbone, size, classes, weights, recipe.dropout, recipe.head, recipe.stem, recipe.grey)


def feature_layer(model: keras.Model) -> keras.layers.Layer:
    """Return the layer whose output is pooled and used for heat maps."""
    if model.name == ENSEMBLE:
        return model.get_layer(ENSEMBLE_FEATURES)
    return model.get_layer(find_backbone(model.name).features)


def head_weights(model: keras.Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the kernel float32 (channels, K) and bias float32 (K,) of the linear head with K logits."""
    kernel, bias = model.get_layer(LOGITS).get_weights()
    return np.broadcast_to(kernel, (len(kernel), len(bias))), bias


def class_evidence(model: keras.Model) -> NDArray[np.float32]:
    """Return the weight of each feature for each class, float32 (channels, C), see `heads.evidence_kernel`."""
    return evidence_kernel(model.get_layer(LOGITS))


def freeze(model: keras.Model, unfreeze: str | int | None, train_batch_norm: bool = False) -> None:
    """Set which layers learn.

    Args:
        model: a grader; the head always learns.
        unfreeze: None (head only), "all", "last-block", or the number of last backbone layers that learn.
        train_batch_norm: whether unfrozen batch norms learn and use batch statistics.
    """
    backbone_layers = [layer for layer in model.layers if layer.name not in HEAD]
    prefixes = find_backbone(model.name).last_block if unfreeze == "last-block" else ()
    first = len(backbone_layers) - unfreeze if isinstance(unfreeze, int) else 0
    for index, layer in enumerate(backbone_layers):
        is_unfrozen = unfreeze is not None and index >= first
        if unfreeze == "last-block":
            is_unfrozen = layer.name.startswith(prefixes)
        is_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = is_unfrozen and (train_batch_norm or not is_norm)
