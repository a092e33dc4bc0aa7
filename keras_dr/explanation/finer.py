"""Finer heat maps than the feature map's own, with the weights that there are.

A map of 7 x 7 divides a photograph in 49 blocks of 2 % each, while a microaneurysm covers less than .08 % of it.
"""

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.models.grader import feature_layer

ZOOM = 2  # how many times crops are enlarged
_ACTIVATIONS = (layers.ReLU, layers.Activation)


def dilated(model: keras.Model) -> keras.Model:
    """The grader with its last stage at stride 1 and dilation 2: same weights, twice the side of the feature map.

    The convolutions then meet the same neighbours as before, at all positions instead of every second one (Yu and
    Koltun, ICLR 2016; "atrous" in Chen et al., TPAMI 2018): every second pixel of the new map is the old one, save
    where a network pools over the whole stage (EfficientNet's squeeze-and-excitation).

    Args:
        model: a grader, float32 (n, S, S, 3) -> outputs.

    Returns:
        A copy; its feature layer has (2h - 1 to 2h) x (2w - 1 to 2w) pixels.
    """
    side = feature_layer(model).output.shape[1]

    def widened(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(layer.get_config() | _changes(layer, side))

    copy = keras.models.clone_model(model, clone_function=widened)
    copy.set_weights(model.get_weights())
    return copy


def _changes(layer: keras.layers.Layer, side: int) -> dict[str, object]:
    """What becomes another in a layer's configuration, where `side` is that of the last stage's maps."""
    if isinstance(layer.input, list) or len(layer.output.shape) != 4:
        return {}
    entered, left = layer.input.shape[1], layer.output.shape[1]
    if isinstance(layer, layers.ZeroPadding2D) and entered == side:
        return {"padding": [[2 * pixels for pixels in pair] for pair in layer.padding]}
    strides = getattr(layer, "strides", (1, 1))
    if left != side or not hasattr(layer, "strides"):
        return {}
    if max(strides) > 1:
        return {"strides": 1}
    return {"dilation_rate": 2} if max(getattr(layer, "kernel_size", (1,))) > 1 else {}


def crops_evidence(grader: keras.Model, model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class evidence of photographs seen through overlapping windows, each enlarged `ZOOM` times.

    Windows of a half of the photograph's side lie a quarter apart, 3 x 3 of them. Where they overlap, their mean.

    Args:
        grader: float32 (n, S, S, 3) -> [outputs, features (n, h, w, channels)].
        model: the grader, for its head.
        images: uint8 RGB (n, S, S, 3).

    Returns:
        float32 (n, 2h, 2w, C).
    """
    size, side = images.shape[1], feature_layer(model).output.shape[1]
    large = [cv2.resize(image, (ZOOM * size, ZOOM * size), interpolation=cv2.INTER_CUBIC) for image in images]
    total: NDArray[np.float32] | None = None
    times = np.zeros((ZOOM * side, ZOOM * side, 1), np.float32)
    places = np.linspace(0, (ZOOM - 1) * side, 2 * ZOOM - 1).round().astype(int)  # in pixels of the map
    for y in places:
        for x in places:
            top, left = (round(place * size / side) for place in (y, x))
            window = np.stack([image[top : top + size, left : left + size] for image in large])
            evidence = model_evidence(grader.predict_on_batch(window.astype(np.float32))[1], model)
            if total is None:
                total = np.zeros((len(images), *times.shape[:2], evidence.shape[-1]), np.float32)
            total[:, y : y + side, x : x + side] += evidence
            times[y : y + side, x : x + side] += 1
    assert total is not None
    return (total / times).astype(np.float32)


def finer_layer(model: keras.Model, factor: int) -> keras.layers.Layer:
    """The last activation whose map has at least `factor` times the side of the feature map.

    Raises:
        KerasDrError: there is none.
    """
    side = feature_layer(model).output.shape[1]
    found = [one for one in model.layers if isinstance(one, _ACTIVATIONS) and len(one.output.shape) == 4]
    found = [one for one in found if one.output.shape[1] >= factor * side]
    if not found:
        remedy = "Choose another --method, or prepare larger photographs."
        raise KerasDrError(f"an activation of {factor * side} pixels or more in {model.name}", "none", remedy)
    return found[-1]
