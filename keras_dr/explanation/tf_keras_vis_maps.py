"""tf-keras-vis: heat maps at any layer and of any head, by gradients or by masking.

Left to itself, tf-keras-vis takes the last convolution, which in DenseNet121 is a 32-channel growth layer that holds a
small part of what is pooled; so it is always told the layer.
"""

import warnings

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

with warnings.catch_warnings():  # tf-keras-vis 0.8.7 imports zoom from where SciPy used to keep it
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
CHANNELS = 32  # of the largest spread, that Score-CAM masks the photograph with; tf-keras-vis calls this "faster"
_OPTIONS = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}


class _Silent(keras.Model):
    """A model whose `predict`, which tf-keras-vis calls, draws no progress bar into the terminal."""

    def predict(self, *args: object, **kwargs: object) -> object:
        return super().predict(*args, verbose=0, **kwargs)


def by_gradients(
    name: str, model: keras.Model, images: NDArray[np.uint8], classes: NDArray[np.integer], layer: keras.layers.Layer
) -> NDArray[np.floating]:
    """A map by one of `GRADIENTS`.

    Args:
        name: key of `GRADIENTS`.
        model: float32 RGB (n, S, S, 3) in 0..255 -> a score a class, float32 (n, C).
        images: uint8 RGB (n, S, S, 3).
        classes: int (n,).
        layer: whose output, (n, h, w, channels), the map is made of.

    Returns:
        float (n, h, w), >= 0.
    """
    check_backend()

    def score(outputs: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(outputs, classes, batch_dims=1)
        # The gradient of the score at the value 0: Grad-CAM++ multiplies by exp(score), which overflows float32 at 89.
        return chosen - tf.stop_gradient(chosen)

    visualiser = GRADIENTS[name](model, clone=False)
    return np.asarray(visualiser(score, tf.constant(images, tf.float32), penultimate_layer=layer, **_OPTIONS))


def by_masks(
    model: keras.Model, images: NDArray[np.uint8], classes: NDArray[np.integer], layer: keras.layers.Layer
) -> NDArray[np.floating]:
    """Score-CAM (Wang et al., CVPRW 2020), `CHANNELS` forward passes a photograph; arguments as for `by_gradients`.

    A photograph at a time, as tf-keras-vis would mask all of a batch with the union of their channels.
    """
    check_backend()
    visualiser = Scorecam(_Silent(model.inputs, model.outputs, name=model.name), clone=False)
    most = min(CHANNELS, layer.output.shape[-1])
    maps = []
    for image, chosen in zip(images, classes.tolist(), strict=True):

        def score(outputs: tf.Tensor, chosen: int = chosen) -> tf.Tensor:
            return outputs[:, chosen]

        one = tf.constant(image[None], tf.float32)
        maps.append(visualiser(score, one, penultimate_layer=layer, batch_size=8, max_N=most, **_OPTIONS)[0])
    return np.stack(maps)


def check_backend() -> None:
    """Refuse Keras on another backend than tf-keras-vis works on.

    Raises:
        KerasDrError: it does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        remedy = "Start the command again with KERAS_BACKEND=tensorflow; saved models serve every backend."
        raise KerasDrError("Keras on TensorFlow, which tf-keras-vis needs", keras.backend.backend(), remedy)
