"""METHODS: name -> how a heat map is made of a grader, photographs and the class that each is to be explained for."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation import closed_form, finer, tf_keras_vis_maps
from keras_dr.models.grader import feature_layer
from keras_dr.models.heads import OrdinalHead, probabilities

Images: TypeAlias = NDArray[np.uint8]
Classes: TypeAlias = NDArray[np.integer]
Maps: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class Method:
    """A way to make heat maps.

    Attributes:
        make: (explainer, images uint8 RGB (b, S, S, 3), classes int (b,)) -> float (b, h, w), >= 0, of any scale.
        any_layer: whether it can be told the layer with --layer.
    """

    make: Callable[["Explainer", Images, Classes], Maps]
    any_layer: bool = False


class Explainer:
    """A grader, and what its heat maps are made with; each part is built when it is first needed.

    Args:
        model: a grader, see `model.build_model`.
        layer: where maps are made, for methods that take any; None is the feature layer, the pooling's input.
        temperature: > 0; the grader's outputs are divided by it before they become probabilities.

    Raises:
        KerasDrError: no such layer, or one without a map of h x w pixels.
    """

    def __init__(self, model: keras.Model, layer: str | None = None, temperature: float = 1.0) -> None:
        self.model, self.temperature = model, temperature
        self.layer = find_layer(model, layer)

    @property
    def decision(self) -> str:
        """How its probabilities become a class, see `decision.decide`."""
        return "median" if isinstance(self.model.layers[-1], OrdinalHead) else "argmax"

    @property
    def at_features(self) -> bool:
        """Whether maps are made at the feature layer."""
        return self.layer is feature_layer(self.model)

    def is_free(self, method: str) -> bool:
        """Whether the method's maps come out of the forward pass that grades the photographs."""
        return method in closed_form.CLOSED and self.at_features and self.linear

    @cached_property
    def linear(self) -> bool:
        """Whether the head is linear, as the heads of all graders that `train` makes."""
        return not closed_form.nonlinearity(self.model)

    @cached_property
    def seeing(self) -> keras.Model:
        """float32 RGB (n, S, S, 3) -> [outputs, features (n, h, w, channels)]."""
        return keras.Model(self.model.inputs[0], [self.model.outputs[0], feature_layer(self.model).output])

    @cached_property
    def dilated(self) -> keras.Model:
        """As `seeing`, the features on twice the side."""
        wide = finer.dilated(self.model)
        return keras.Model(wide.inputs[0], [wide.outputs[0], feature_layer(wide).output])

    @cached_property
    def scoring(self) -> keras.Model:
        """float32 RGB (n, S, S, 3) -> a score a class, (n, C), to differentiate; of any head."""
        if not self.linear:
            return self.model
        kernel = closed_form.class_kernel(self.model)
        scores = layers.Dense(kernel.shape[1], use_bias=False, name="class_scores")
        outputs = scores(self.model.get_layer("pooling").output)
        scores.set_weights([kernel])
        return keras.Model(self.model.inputs[0], outputs)

    def look(self, images: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """One forward pass: RGB (n, S, S, 3) in 0..255 -> probabilities float64 (n, C), features (n, h, w, ch)."""
        outputs, features = self.seeing.predict_on_batch(images.astype(np.float32))
        return probabilities(outputs, self.scoring.output_shape[1], self.temperature), features

    def free_maps(self, method: str, features: NDArray[np.floating], classes: Classes) -> NDArray[np.float32]:
        """Maps float32 (n, h, w) of a method that `is_free`, of classes int (n,), from features of `look`."""
        return _finite(method, closed_form.CLOSED[method](features, classes, self.model))

    def heatmaps(
        self, images: Images, classes: Classes, method: str = "grad-cam", batch_size: int = 8
    ) -> NDArray[np.float32]:
        """Evidence in each photograph for the score of its given class.

        Args:
            images: uint8 RGB (n, S, S, 3).
            classes: int (n,), the class to explain, 0..C-1.
            method: key of `METHODS`.
            batch_size: photographs held in memory with their gradients at a time.

        Returns:
            float32 (n, h, w), >= 0, not normalised: maps are comparable within a photograph, not between methods.

        Raises:
            KerasDrError: unknown method, one that does not fit the grader or the layer, or NaN or infinity in a map.
        """
        make, classes = self.find_method(method).make, np.asarray(classes)
        batches = [slice(start, start + batch_size) for start in range(0, len(images), batch_size)]
        return _finite(method, np.concatenate([make(self, images[batch], classes[batch]) for batch in batches]))

    def find_method(self, name: str) -> Method:
        """The method of this name.

        Raises:
            KerasDrError: there is none, or it cannot be told the layer, or demands a linear head.
        """
        if name not in METHODS:
            raise KerasDrError(f"a heat map method among {', '.join(METHODS)}", repr(name), "Correct --method.")
        if not self.at_features and not METHODS[name].any_layer:
            able = ", ".join(key for key, method in METHODS.items() if method.any_layer)
            raise KerasDrError(f"a method that takes --layer ({able})", name, "Leave --layer out, or change --method.")
        if name in ("grad-cam-dilated", "grad-cam-crops"):
            closed_form.class_kernel(self.model)
        return METHODS[name]


def find_layer(model: keras.Model, name: str | None) -> keras.layers.Layer:
    """A layer with a map, by its name; None: the feature layer.

    Raises:
        KerasDrError: no layer of that name, or one whose output is no map.
    """
    if name is None:
        return feature_layer(model)
    maps = {one.name: one for one in model.layers if hasattr(one.output, "shape") and len(one.output.shape) == 4}
    if name not in maps:
        near = difflib.get_close_matches(name, maps, n=3, cutoff=0) or [feature_layer(model).name]
        known = name in {one.name for one in model.layers}
        found = f"{name!r}, " + ("whose output is no map" if known else "no such layer")
        raise KerasDrError(f"a layer of {model.name} with a map", found, f"The nearest names: {', '.join(near)}.")
    return maps[name]


def _finite(method: str, maps: Maps) -> NDArray[np.float32]:
    if not np.isfinite(maps).all():
        remedy = "The weights or the activations are NaN or infinite: train again, with a lower learning rate."
        raise KerasDrError(f"finite {method} heat maps", "NaN or infinity", remedy)
    return np.asarray(maps, np.float32)


def _at_layer(name: str, explainer: Explainer, images: Images, classes: Classes) -> Maps:
    """In closed form where there is one, by tf-keras-vis elsewhere."""
    if explainer.is_free(name):
        return explainer.free_maps(name, explainer.look(images)[1], classes)
    return tf_keras_vis_maps.by_gradients(name, explainer.scoring, images, classes, explainer.layer)


def _score_cam(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    return tf_keras_vis_maps.by_masks(explainer.scoring, images, classes, explainer.layer)


def _earlier_layercam(factor: int, explainer: Explainer, images: Images, classes: Classes) -> Maps:
    layer = finer.finer_layer(explainer.model, factor)
    return tf_keras_vis_maps.by_gradients("layercam", explainer.scoring, images, classes, layer)


def _dilated(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    features = explainer.dilated.predict_on_batch(images.astype(np.float32))[1]
    return closed_form.grad_cam(features, classes, explainer.model)


def _crops(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    evidence = finer.crops_evidence(explainer.seeing, explainer.model, images)
    return np.maximum(evidence[np.arange(len(classes)), ..., classes], 0)


METHODS: dict[str, Method] = {
    "grad-cam": Method(partial(_at_layer, "grad-cam"), any_layer=True),
    "grad-cam++": Method(partial(_at_layer, "grad-cam++"), any_layer=True),
    "layercam": Method(partial(_at_layer, "layercam"), any_layer=True),
    "score-cam": Method(_score_cam, any_layer=True),
    # finer than the feature map
    "grad-cam-dilated": Method(_dilated),
    "grad-cam-crops": Method(_crops),
    "layercam-2x": Method(partial(_earlier_layercam, 2)),
    "layercam-4x": Method(partial(_earlier_layercam, 4)),
}
