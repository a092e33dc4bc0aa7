"""Grad-CAM, Grad-CAM++ and LayerCAM of a grader with a linear head, computed from its forward pass alone.

With global average pooling and one dense layer, the gradient of class c's score at every pixel of an h x w feature map
F is w_c / (h w), where w_c is c's column of the head's kernel. Substituted into the equations of the methods:

    Grad-CAM    relu(F . w_c) / (h w)            Selvaraju et al., ICCV 2017, equations 1 and 2
    Grad-CAM++  proportional to relu(F . relu(w_c))   Chattopadhay et al., WACV 2018, equations 5, 13 and 19
    LayerCAM    relu(F . relu(w_c)) / (h w)      Jiang et al., IEEE TIP 2021

This is Grad-CAM++ with its weights alpha normalised to sum to 1 over the map, as in tf-keras-vis. Equation 19 alone
gives alpha = g^2 / (2 g^2 + sum(F) g^3) with g = w_c / (h w), which differs from channel to channel. The closed form
is only approximately proportional to that: on 32 validation photographs of IDRiD (MobileNetV2, 512 pixels) the two
maps, each divided by its maximum, differ by at most .014.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.models.grader import class_evidence, feature_layer
from keras_dr.models.heads import OrdinalHead


def class_kernel(model: keras.Model) -> NDArray[np.float32]:
    """The contribution of each channel of the pooled features to each class's score, float32 (channels, C).

    Raises:
        KerasDrError: the grader's head is not linear.
    """
    reason = nonlinearity(model)
    if reason:
        raise KerasDrError(
            f"This method needs a grader with a linear head, but {model.name} has {reason}.",
            "Explain it with another --method: the others work with any head.",
        )
    return class_evidence(model)


def nonlinearity(model: keras.Model) -> str:
    """The reason why the closed forms do not hold for this model, such as "no global average `pooling`"; "" if none."""
    layers_by_name = {layer.name: layer for layer in model.layers}
    pooling = layers_by_name.get("pooling")
    if not isinstance(pooling, layers.GlobalAveragePooling2D):
        return "no global average `pooling`"
    head = layers_by_name.get("logits")
    is_linear_dense = isinstance(head, layers.Dense) and head.activation is keras.activations.linear
    if head is None or not (is_linear_dense or isinstance(head, OrdinalHead)):
        return "no linear dense layer `logits`"
    if pooling.input is not feature_layer(model).output:
        return "another layer before the pooling"
    dropout = layers_by_name.get("dropout")
    first_after_pooling = head if dropout is None else dropout
    if first_after_pooling.input is not pooling.output:
        return "other layers between pooling and `logits`"
    return ""


def model_evidence(features: NDArray[np.floating], model: keras.Model) -> NDArray[np.floating]:
    """The contribution of each pixel of the feature map to each class's score.

    The spatial mean of the evidence for a class, plus the bias of the class, is its score.

    Args:
        features: float (n, h, w, channels), from `grader.feature_layer`.
        model: a grader with a linear head.

    Returns:
        float (n, h, w, C), positive or negative.
    """
    return features @ class_kernel(model)


def grad_cam(features: NDArray[np.floating], classes: NDArray[np.integer], model: keras.Model) -> NDArray[np.floating]:
    """Grad-CAM at the feature layer.

    Args:
        features: float (n, h, w, channels).
        classes: int (n,), the class to explain.
        model: a grader with a linear head.

    Returns:
        float (n, h, w), >= 0.
    """
    evidence = model_evidence(features, model)[np.arange(len(classes)), ..., classes]
    return np.maximum(evidence, 0) / (features.shape[1] * features.shape[2])


def grad_cam_plus_plus(
    features: NDArray[np.floating], classes: NDArray[np.integer], model: keras.Model
) -> NDArray[np.floating]:
    """Grad-CAM++ up to a positive factor per map, and LayerCAM up to h w; arguments and result as for `grad_cam`."""
    kernel = np.maximum(class_kernel(model)[:, classes], 0)
    return np.maximum(np.einsum("nhwc,cn->nhw", features, kernel, optimize=True), 0)


# (features, classes, model) -> float (n, h, w)
CLOSED: dict[str, Callable[..., NDArray[np.floating]]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "layercam": grad_cam_plus_plus,
}
