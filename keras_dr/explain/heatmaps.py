"""METHODS: name -> how a heat map is made of a grader, photographs and the class that each is to be explained for.

Maps are made at `model.feature_layer`, the pooling's input. Left to itself, tf-keras-vis takes the last convolution,
which in DenseNet121 is a 32-channel growth layer that holds a small part of what is pooled.
"""

import warnings
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.errors import KerasDrError
from keras_dr.model import feature_layer

with warnings.catch_warnings():  # tf-keras-vis 0.8.7 imports zoom from where SciPy used to keep it
    warnings.filterwarnings("ignore", "Please import `zoom`", DeprecationWarning)
    from tf_keras_vis import ModelVisualization
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

# (grader, uint8 RGB (b, S, S, 3), int (b,)) -> float (b, h, w) of any scale, >= 0
Method = Callable[[keras.Model, NDArray[np.uint8], NDArray[np.integer]], NDArray[np.floating]]


def _tf_keras_vis(
    visualiser: type[ModelVisualization],
    model: keras.Model,
    images: NDArray[np.uint8],
    classes: NDArray[np.integer],
) -> NDArray[np.floating]:
    """A `Method` that tf-keras-vis carries out."""

    def score(logits: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(logits, classes, batch_dims=1)
        # The gradient of the logit at the value 0: Grad-CAM++ multiplies by exp(score), which overflows float32 at 89.
        return chosen - tf.stop_gradient(chosen)

    return visualiser(model, clone=False)(
        score,
        tf.constant(images, tf.float32),
        penultimate_layer=feature_layer(model),
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )


METHODS: dict[str, Method] = {
    # relu of the features weighted by their mean gradient: Selvaraju et al., ICCV 2017, equations 1 and 2
    "grad-cam": partial(_tf_keras_vis, Gradcam),
    # by the positive gradients, pixels weighted by alpha: Chattopadhay et al., WACV 2018, equations 5, 13 and 19
    "grad-cam++": partial(_tf_keras_vis, GradcamPlusPlus),
}


def find_method(name: str) -> Method:
    """The method of this name.

    Raises:
        KerasDrError: there is none.
    """
    if name not in METHODS:
        raise KerasDrError(f"a heat map method among {', '.join(METHODS)}", repr(name), "Correct --method.")
    return METHODS[name]


def heatmaps(
    model: keras.Model,
    images: NDArray[np.uint8],
    classes: NDArray[np.integer],
    method: str = "grad-cam",
    batch_size: int = 8,
) -> NDArray[np.float32]:
    """Evidence in each photograph for the logit of its given class, at the resolution of the feature map.

    Args:
        model: a grader, see `model.build_model`.
        images: uint8 RGB (n, S, S, 3).
        classes: int (n,), the output to explain, 0..C-1.
        method: key of `METHODS`.
        batch_size: photographs held in memory with their gradients at a time.

    Returns:
        float32 (n, h, w), >= 0, not normalised: maps are comparable within a photograph, not between methods.

    Raises:
        KerasDrError: unknown method, Keras does not run on TensorFlow, or a map with NaN or infinity in it.
    """
    make = find_method(method)
    if keras.backend.backend() != "tensorflow":
        remedy = "Start the command again with KERAS_BACKEND=tensorflow; saved models serve every backend."
        raise KerasDrError("Keras on TensorFlow, which tf-keras-vis needs", keras.backend.backend(), remedy)
    maps = np.empty((len(images), *feature_layer(model).output.shape[1:3]), np.float32)
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        maps[batch] = make(model, images[batch], np.asarray(classes[batch]))
    if not np.isfinite(maps).all():
        remedy = "The weights or the activations are NaN or infinite: train again, with a lower learning rate."
        raise KerasDrError(f"finite {method} heat maps", "NaN or infinity", remedy)
    return maps
