"""The inference graph of a trained grader: uint8 photograph -> probabilities and heat maps.

    image -> cast -> backbone -> features F -> 1x1 convolution with the head's kernel -> heat maps
                                               heat maps -> spatial sum -> dense -> softmax -> probabilities

The head is linear, so the heat maps' spatial mean plus the bias is the logit. The graph computes the logits that way:
heat maps and probabilities agree in every variant, whatever the rounding before them. What follows upon the backbone
stays in float (`operators`).
"""

import keras
import numpy as np
from keras import layers

from keras_dr.core.errors import KerasDrError
from keras_dr.models.grader import LOGITS, class_evidence, feature_layer, head_weights
from keras_dr.models.heads import OrdinalHead


def build_graph(model: keras.Model, temperature: float) -> keras.Model:
    """The graph to convert.

    Args:
        model: a grader from `keras_dr.models.grader.build_model`, trained.
        temperature: > 0; the logits are divided by it before the softmax.

    Returns:
        Model from `image` uint8 RGB (1, S, S, 3) to a dictionary: `probabilities` float32 (1, C), rows summing to 1;
        `heatmaps` float32 (1, h, w, C), class evidence in logits, unnormalised.

    Raises:
        KerasDrError: the temperature is not a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise KerasDrError("a temperature above 0", str(temperature), "Train or calibrate the run again.")
    kernel, (_, bias) = class_evidence(model), head_weights(model)
    classes, ordinal = kernel.shape[1], isinstance(model.get_layer(LOGITS), OrdinalHead)
    # Names are given to all that would otherwise count up, so that one process writes the same bytes twice.
    backbone = keras.Model(model.inputs[0], feature_layer(model).output, name="backbone")
    image = keras.Input(batch_shape=(1, *model.input_shape[1:]), dtype="uint8", name="image")
    evidence = layers.Conv2D(classes, 1, use_bias=False, name="heatmaps")
    logits = layers.Dense(len(bias), name="scaled_logits")
    heatmaps = evidence(backbone(keras.ops.cast(image, "float32"), training=False))
    scaled = logits(keras.ops.sum(heatmaps, axis=(1, 2)))
    probabilities = _steps(scaled, classes) if ordinal else keras.ops.softmax(scaled)
    pixels = heatmaps.shape[1] * heatmaps.shape[2]
    evidence.set_weights([kernel[None, None]])
    # the evidence for the classes above the lowest is that of an ordinal head's steps
    chosen = np.eye(classes)[:, classes - len(bias) :]
    logits.set_weights([chosen / (pixels * temperature), bias / temperature])
    return keras.Model(image, {"probabilities": probabilities, "heatmaps": heatmaps}, name="grader")


def _steps(logits: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Class probabilities (1, C) of an ordinal head's logits (1, C - 1), as `heads.probabilities` has them."""
    signs = keras.ops.tanh(logits / 2)  # logistic function: .5 + .5 tanh(x / 2)
    differences = layers.Dense(classes, name="differences")
    result = differences(signs)
    # class k: the probability of passing step k - 1, less that of passing step k
    one = np.eye(classes)
    differences.set_weights([(one[1:] - one[:-1]) / 2, (one[0] + one[-1]) / 2])
    return result
