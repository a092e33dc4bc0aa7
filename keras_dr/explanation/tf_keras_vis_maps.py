"""Heat maps at any layer and of any head, made by tf-keras-vis from gradients or by masking.

By default, tf-keras-vis takes the last convolution. In DenseNet121, this is a growth layer of 32 channels, only a small
part of the features that are pooled. Therefore the layer is always given.
"""

import warnings

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

with warnings.catch_warnings():  # tf-keras-vis 0.8.7 imports zoom from a module that SciPy has deprecated
    warnings.filterwarnings("ignore", "Please import `zoom`", DeprecationWarning)
    from tf_keras_vis import ModelVisualization
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.scorecam import Scorecam

GRADIENTS: dict[str, type[ModelVisualization]] = {
    "grad-cam": Gradcam,
    "grad-cam++": GradcamPlusPlus,
    "layercam": Layercam,  # relu of the sum of features times their positive gradients: Jiang et al., IEEE TIP 2021
}
CHANNELS = 32  # Score-CAM masks the photograph with the channels that vary most; tf-keras-vis calls this "faster"
_OPTIONS = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}


class _Silent(keras.Model):
    """A model whose `predict`, which tf-keras-vis calls, draws no progress bar in the terminal."""

    def predict(self, *args: object, **kwargs: object) -> object:
        return super().predict(*args, verbose=0, **kwargs)


def by_gradients(
    name: str, model: keras.Model, images: NDArray[np.uint8], classes: NDArray[np.integer], layer: keras.layers.Layer
) -> NDArray[np.floating]:
    """Maps by one of the methods in `GRADIENTS`.

    Args:
        name: key of `GRADIENTS`.
        model: float32 RGB (n, S, S, 3) in 0..255 -> one score per class, float32 (n, C).
        images: uint8 RGB (n, S, S, 3).
        classes: int (n,).
        layer: the layer whose output, (n, h, w, channels), the map is made from.

    Returns:
        float (n, h, w), >= 0.
    """
    check_backend()

    def score(outputs: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(outputs, classes, batch_dims=1)
        # The gradient is that of the score, but the value is 0: Grad-CAM++ multiplies by exp(score), which overflows
        # float32 at 89.
        return chosen - tf.stop_gradient(chosen)

    visualiser = GRADIENTS[name](model, clone=False)
    return np.asarray(visualiser(score, tf.constant(images, tf.float32), penultimate_layer=layer, **_OPTIONS))


def by_masks(
    model: keras.Model, images: NDArray[np.uint8], classes: NDArray[np.integer], layer: keras.layers.Layer
) -> NDArray[np.floating]:
    """Score-CAM (Wang et al., CVPRW 2020), `CHANNELS` forward passes per photograph.

    Photographs are processed one at a time, because tf-keras-vis would mask every photograph of a batch with the
    channels of all. Arguments and result are as for `by_gradients`.
    """
    check_backend()
    visualiser = Scorecam(_Silent(model.inputs, model.outputs, name=model.name), clone=False)
    channels = min(CHANNELS, layer.output.shape[-1])
    maps = []
    for image, class_index in zip(images, classes.tolist(), strict=True):

        def score(outputs: tf.Tensor, class_index: int = class_index) -> tf.Tensor:
            return outputs[:, class_index]

        batch = tf.constant(image[None], tf.float32)
        maps.append(visualiser(score, batch, penultimate_layer=layer, batch_size=8, max_N=channels, **_OPTIONS)[0])
    return np.stack(maps)


def check_backend() -> None:
    """Refuse a Keras backend other than TensorFlow, which tf-keras-vis needs.

    Raises:
        KerasDrError: Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise KerasDrError(
            f"tf-keras-vis needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()}.",
            "Start the command again with KERAS_BACKEND=tensorflow; saved models work with every backend.",
        )
