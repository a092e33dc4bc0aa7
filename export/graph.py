"""The inference graph of a trained grader: uint8 photograph -> probabilities and heat maps.

    image -> cast -> backbone -> features F -> 1x1 convolution with the head's kernel -> heat maps
                                               heat maps -> spatial sum -> dense -> softmax -> probabilities

The head is linear, so that the spatial mean of the heat maps plus the bias is the logit. The graph computes the logits
in this way, so that heat maps and probabilities agree in every variant, however its backbone is rounded. Everything
after the backbone stays in float (see `tflite_graph`).
"""

import keras
import numpy as np
from keras import layers

from keras_dr.core.errors import KerasDrError
from keras_dr.models.grader import LOGITS, class_evidence, feature_layer, head_weights
from keras_dr.models.heads import OrdinalHead


def build_graph(model: keras.Model, temperature: float) -> keras.Model:
    """Build the inference graph of a grader, ready to be converted.

    Args:
        model: a trained grader, see `grader.build_model`.
        temperature: > 0; the softmax takes the logits divided by it.

    Returns:
        A model from `image` uint8 RGB (1, S, S, 3) to a dictionary: `probabilities` float32 (1, C), which sum to 1;
        `heatmaps` float32 (1, h, w, C), class evidence in logits, unnormalised.

    Raises:
        KerasDrError: the temperature is not a positive number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise KerasDrError(
            f"The temperature must be a number above 0, but it is {temperature}.", "Train or calibrate the run again."
        )
    kernel = class_evidence(model)
    bias = head_weights(model)[1]
    classes = kernel.shape[1]
    ordinal = isinstance(model.get_layer(LOGITS), OrdinalHead)
    # The layers get explicit names: Keras would number them, and a second graph in the same process would be converted
    # to different bytes.
    backbone = keras.Model(model.inputs[0], feature_layer(model).output, name="backbone")
    image = keras.Input(batch_shape=(1, *model.input_shape[1:]), dtype="uint8", name="image")
    evidence = layers.Conv2D(classes, 1, use_bias=False, name="heatmaps")
    logits = layers.Dense(len(bias), name="scaled_logits")
    heatmaps = evidence(backbone(keras.ops.cast(image, "float32"), training=False))
    scaled = logits(keras.ops.sum(heatmaps, axis=(1, 2)))
    probabilities = _ordinal_probabilities(scaled, classes) if ordinal else keras.ops.softmax(scaled)
    pixels = heatmaps.shape[1] * heatmaps.shape[2]
    evidence.set_weights([kernel[None, None]])
    # The evidence for the classes above the lowest is the evidence for the steps of an ordinal head.
    classes_of_logits = np.eye(classes)[:, classes - len(bias) :]
    logits.set_weights([classes_of_logits / (pixels * temperature), bias / temperature])
    return keras.Model(image, {"probabilities": probabilities, "heatmaps": heatmaps}, name="grader")


def _ordinal_probabilities(logits: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Compute class probabilities (1, C) from an ordinal head's logits (1, C - 1), as in `heads.probabilities`."""
    tanh = keras.ops.tanh(logits / 2)  # the logistic function is .5 + .5 tanh(x / 2)
    differences = layers.Dense(classes, name="differences")
    result = differences(tanh)
    # Class k: the probability of passing step k - 1 minus that of passing step k.
    unit = np.eye(classes)
    differences.set_weights([(unit[1:] - unit[:-1]) / 2, (unit[0] + unit[-1]) / 2])
    return result
