"""Heat maps that are finer than the feature map, made with the unchanged weights of the grader.

A map of 7 x 7 divides a photograph into 49 blocks of 2 % each, while a microaneurysm covers less than .08 % of it.
"""

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.closed_form import model_evidence
from keras_dr.models.grader import feature_layer

ZOOM = 2  # factor by which crops are enlarged
_ACTIVATIONS = (layers.ReLU, layers.Activation)


def dilated(model: keras.Model) -> keras.Model:
    """The grader with its last stage at stride 1 and dilation 2: same weights, twice the side of the feature map.

    The convolutions then see the same neighbours as before, but at every position instead of every second one (Yu and
    Koltun, ICLR 2016; "atrous" in Chen et al., TPAMI 2018). Every second pixel of the new map therefore equals the old
    one, except where a network pools over the whole stage (EfficientNet's squeeze-and-excitation).

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
    """The settings of a layer that change, where `side` is the side of the last stage's maps."""
    if isinstance(layer.input, list) or len(layer.output.shape) != 4:
        return {}
    input_side = layer.input.shape[1]
    output_side = layer.output.shape[1]
    if isinstance(layer, layers.ZeroPadding2D) and input_side == side:
        return {"padding": [[2 * pixels for pixels in pair] for pair in layer.padding]}
    if output_side != side or not hasattr(layer, "strides"):
        return {}
    if max(layer.strides) > 1:
        return {"strides": 1}
    if max(getattr(layer, "kernel_size", (1,))) > 1:
        return {"dilation_rate": 2}
    return {}


def crops_evidence(feature_model: keras.Model, model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class evidence of photographs that are graded in overlapping windows, each enlarged `ZOOM` times.

    There are 3 x 3 windows, each half as wide and high as the photograph, at intervals of a quarter of its side. The
    evidence is averaged where windows overlap.

    Args:
        feature_model: float32 (n, S, S, 3) -> [outputs, features (n, h, w, channels)].
        model: the grader, whose head is used.
        images: uint8 RGB (n, S, S, 3).

    Returns:
        float32 (n, 2h, 2w, C).
    """
    size = images.shape[1]
    side = feature_layer(model).output.shape[1]
    enlarged = [cv2.resize(image, (ZOOM * size, ZOOM * size), interpolation=cv2.INTER_CUBIC) for image in images]
    total: NDArray[np.float32] | None = None
    windows_over = np.zeros((ZOOM * side, ZOOM * side, 1), np.float32)  # windows that cover each pixel of the map
    offsets = np.linspace(0, (ZOOM - 1) * side, 2 * ZOOM - 1).round().astype(int)  # in pixels of the map
    for y in offsets:
        for x in offsets:
            top = round(y * size / side)
            left = round(x * size / side)
            window = np.stack([image[top : top + size, left : left + size] for image in enlarged])
            evidence = model_evidence(feature_model.predict_on_batch(window.astype(np.float32))[1], model)
            if total is None:
                total = np.zeros((len(images), *windows_over.shape[:2], evidence.shape[-1]), np.float32)
            total[:, y : y + side, x : x + side] += evidence
            windows_over[y : y + side, x : x + side] += 1
    assert total is not None
    return (total / windows_over).astype(np.float32)


def finer_layer(model: keras.Model, factor: int) -> keras.layers.Layer:
    """The last activation whose map has at least `factor` times the side of the feature map.

    Raises:
        KerasDrError: there is no such activation.
    """
    least_side = factor * feature_layer(model).output.shape[1]
    activations = [layer for layer in model.layers if isinstance(layer, _ACTIVATIONS) and len(layer.output.shape) == 4]
    fine_enough = [layer for layer in activations if layer.output.shape[1] >= least_side]
    if not fine_enough:
        raise KerasDrError(
            f"No activation in {model.name} has a map of {least_side} pixels or more per side.",
            "Choose another --method, or prepare larger photographs.",
        )
    return fine_enough[-1]
