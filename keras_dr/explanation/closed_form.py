"""Grad-CAM, Grad-CAM++ and LayerCAM of a grader with a linear head, out of its forward pass alone.

With global average pooling and one dense layer, the gradient of class c's score at every pixel of an h x w feature map
F is w_c / (h w), w_c being c's column of the head's kernel. Put into the methods' equations:

    Grad-CAM    relu(F . w_c) / (h w)            Selvaraju et al., ICCV 2017, equations 1 and 2
    Grad-CAM++  proportional to relu(F . relu(w_c))   Chattopadhay et al., WACV 2018, equations 5, 13 and 19
    LayerCAM    relu(F . relu(w_c)) / (h w)      Jiang et al., IEEE TIP 2021

Grad-CAM++ is meant with its weights alpha normalised to sum to 1 over the map, as tf-keras-vis does. Equation 19 alone
gives alpha = g^2 / (2 g^2 + sum(F) g^3) with g = w_c / (h w), which differs from channel to channel; to that the closed
form is proportional only approximately: on 32 validation photographs of IDRiD (MobileNetV2, 512 pixels) the two maps,
each divided by its maximum, differ by at most .014.
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
    """What one channel of the pooled features adds to each class's score, float32 (channels, C).

    Raises:
        KerasDrError: the grader's head is not linear.
    """
    if fault := nonlinearity(model):
        remedy = "Explain it with another --method: the others take any head."
        raise KerasDrError("a linear head (feature layer, pooling, dropout, one dense layer `logits`)", fault, remedy)
    return class_evidence(model)


def nonlinearity(model: keras.Model) -> str:
    """What keeps the closed forms from holding; "" where they hold."""
    names = {layer.name: layer for layer in model.layers}
    pooling, head = names.get("pooling"), names.get("logits")
    if not isinstance(pooling, layers.GlobalAveragePooling2D):
        return "no global average `pooling`"
    linear = isinstance(head, layers.Dense) and head.activation is keras.activations.linear
    if head is None or not (linear or isinstance(head, OrdinalHead)):
        return "no linear dense layer `logits`"
    if pooling.input is not feature_layer(model).output:
        return "another layer before the pooling"
    between = names["dropout"].input if "dropout" in names else head.input
    return "" if between is pooling.output else "other layers between pooling and `logits`"


def model_evidence(features: NDArray[np.floating], model: keras.Model) -> NDArray[np.floating]:
    """What each pixel of the feature map adds to each class's score: its spatial mean plus the bias is that score.

    Args:
        features: float (n, h, w, channels), of `model.feature_layer`.
        model: a grader with a linear head.

    Returns:
        float (n, h, w, C), of either sign.
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
    """Grad-CAM++ up to a positive factor a map, and LayerCAM up to h w; arguments and result as for `grad_cam`."""
    kernel = np.maximum(class_kernel(model)[:, classes], 0)
    return np.maximum(np.einsum("nhwc,cn->nhw", features, kernel, optimize=True), 0)


# (features, classes, model) -> float (n, h, w)
CLOSED: dict[str, Callable[..., NDArray[np.floating]]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "layercam": grad_cam_plus_plus,
}
