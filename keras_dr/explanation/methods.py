"""METHODS: name -> how to make heat maps of photographs, each for the class that is to be explained."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.decision import Decision
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
        any_layer: whether it works at the layer that --layer names.
    """

    make: Callable[["Explainer", Images, Classes], Maps]
    any_layer: bool = False


ENGINES = ("closed-form", "tf-keras-vis")


class Explainer:
    """A grader and the models that its heat maps are made with; each is built when it is first needed.

    Args:
        model: a grader, see `grader.build_model`.
        layer: the layer where methods that work at any layer make their maps; None: the feature layer, which is the
            input of the pooling.
        temperature: > 0; the grader's outputs are divided by it before they become probabilities.
        engine: one of `ENGINES`. "closed-form" computes maps from the forward pass where that is exact, and uses
            tf-keras-vis elsewhere; "tf-keras-vis" uses tf-keras-vis for all maps.
        decision: how the class is decided from the probabilities, see `decision.decide`; None: by the kind of head.

    Raises:
        KerasDrError: there is no such layer, or its output is not a map of h x w pixels.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | None = None,
        temperature: float = 1.0,
        engine: str = "closed-form",
        decision: Decision | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise KerasDrError(f"The engine {engine!r} is not one of {', '.join(ENGINES)}.", "Correct --engine.")
        self.model = model
        self.engine = engine
        self.temperature = temperature
        self._decision = decision
        self.layer = find_layer(model, layer)

    @property
    def decision(self) -> Decision:
        """How the class is decided from the probabilities, see `decision.decide`."""
        if self._decision is not None:
            return self._decision
        return "median" if isinstance(self.model.layers[-1], OrdinalHead) else "argmax"

    @property
    def at_features(self) -> bool:
        """Whether maps are made at the feature layer."""
        return self.layer is feature_layer(self.model)

    def is_free(self, method: str) -> bool:
        """Whether the method's maps follow from the forward pass that grades the photographs."""
        in_closed_form = self.engine == "closed-form" and method in closed_form.CLOSED
        return in_closed_form and self.at_features and self.linear

    @cached_property
    def linear(self) -> bool:
        """Whether the head is linear, like the heads of all graders that `train` makes."""
        return not closed_form.nonlinearity(self.model)

    @cached_property
    def feature_model(self) -> keras.Model:
        """float32 RGB (n, S, S, 3) -> [outputs, features (n, h, w, channels)]."""
        return keras.Model(self.model.inputs[0], [self.model.outputs[0], feature_layer(self.model).output])

    @cached_property
    def dilated_model(self) -> keras.Model:
        """As `feature_model`, but with features of twice the side."""
        dilated = finer.dilated(self.model)
        return keras.Model(dilated.inputs[0], [dilated.outputs[0], feature_layer(dilated).output])

    @cached_property
    def score_model(self) -> keras.Model:
        """float32 RGB (n, S, S, 3) -> one score per class, (n, C), to differentiate; for any head."""
        if not self.linear:
            return self.model
        kernel = closed_form.class_kernel(self.model)
        scores = layers.Dense(kernel.shape[1], use_bias=False, name="class_scores")
        outputs = scores(self.model.get_layer("pooling").output)
        scores.set_weights([kernel])
        return keras.Model(self.model.inputs[0], outputs)

    def predict(self, images: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Probabilities and features of photographs, in one forward pass.

        Args:
            images: RGB (n, S, S, 3) in 0..255, of any dtype.

        Returns:
            Probabilities float64 (n, C), and features float32 (n, h, w, channels).
        """
        outputs, features = self.feature_model.predict_on_batch(images.astype(np.float32))
        return probabilities(outputs, self.score_model.output_shape[1], self.temperature), features

    def free_maps(self, method: str, features: NDArray[np.floating], classes: Classes) -> NDArray[np.float32]:
        """Maps float32 (n, h, w) by a method that `is_free`, of classes int (n,), from the features of `predict`."""
        return _check_finite(method, closed_form.CLOSED[method](features, classes, self.model))

    def heatmaps(
        self, images: Images, classes: Classes, method: str = "grad-cam", batch_size: int = 8
    ) -> NDArray[np.float32]:
        """The evidence in each photograph for the score of its given class.

        Args:
            images: uint8 RGB (n, S, S, 3).
            classes: int (n,), the class to explain, 0..C-1.
            method: key of `METHODS`.
            batch_size: photographs whose gradients are held in memory at a time.

        Returns:
            float32 (n, h, w), >= 0, not normalised: maps are comparable within a photograph, not between methods.

        Raises:
            KerasDrError: the method is unknown or does not fit the grader or the layer, or a map has NaN or infinity.
        """
        make = self.find_method(method).make
        classes = np.asarray(classes)
        batches = [slice(start, start + batch_size) for start in range(0, len(images), batch_size)]
        maps = np.concatenate([make(self, images[batch], classes[batch]) for batch in batches])
        return _check_finite(method, maps)

    def find_method(self, name: str) -> Method:
        """The method of this name.

        Raises:
            KerasDrError: there is no such method, it does not work at the layer, or it needs a linear head.
        """
        if name not in METHODS:
            raise KerasDrError(
                f"There is no heat map method {name!r}.", f"Choose another --method: {', '.join(METHODS)}."
            )
        if not self.at_features and not METHODS[name].any_layer:
            usable = ", ".join(key for key, method in METHODS.items() if method.any_layer)
            raise KerasDrError(
                f"The method {name} does not work with --layer; these methods do: {usable}.",
                "Leave --layer out, or change --method.",
            )
        if name in ("grad-cam-dilated", "grad-cam-crops"):
            if self.engine != "closed-form":
                raise KerasDrError(
                    f"The method {name} exists in closed form only.", "Leave --engine out, or change --method."
                )
            closed_form.class_kernel(self.model)
        return METHODS[name]


def find_layer(model: keras.Model, name: str | None) -> keras.layers.Layer:
    """A layer whose output is a map, by its name; None: the feature layer.

    Raises:
        KerasDrError: there is no layer of that name, or its output is not a map.
    """
    if name is None:
        return feature_layer(model)
    map_layers = {
        layer.name: layer for layer in model.layers if hasattr(layer.output, "shape") and len(layer.output.shape) == 4
    }
    if name in map_layers:
        return map_layers[name]
    nearest = difflib.get_close_matches(name, map_layers, n=3, cutoff=0) or [feature_layer(model).name]
    if name in {layer.name for layer in model.layers}:
        message = f"The output of the layer {name!r} of {model.name} is not a map."
    else:
        message = f"{model.name} has no layer {name!r}."
    raise KerasDrError(message, f"The nearest names of layers with a map are: {', '.join(nearest)}.")


def _check_finite(method: str, maps: Maps) -> NDArray[np.float32]:
    """The maps in float32; refuse NaN and infinity."""
    if not np.isfinite(maps).all():
        raise KerasDrError(
            f"The {method} heat maps contain NaN or infinity, because weights or activations do.",
            "Train again, with a lower learning rate.",
        )
    return np.asarray(maps, np.float32)


def _at_layer(name: str, explainer: Explainer, images: Images, classes: Classes) -> Maps:
    """Maps in closed form if the method has one here, by tf-keras-vis otherwise."""
    if explainer.is_free(name):
        return explainer.free_maps(name, explainer.predict(images)[1], classes)
    return tf_keras_vis_maps.by_gradients(name, explainer.score_model, images, classes, explainer.layer)


def _score_cam(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    return tf_keras_vis_maps.by_masks(explainer.score_model, images, classes, explainer.layer)


def _earlier_layercam(factor: int, explainer: Explainer, images: Images, classes: Classes) -> Maps:
    """LayerCAM at an earlier layer, whose map has `factor` times the side of the feature map."""
    layer = finer.finer_layer(explainer.model, factor)
    return tf_keras_vis_maps.by_gradients("layercam", explainer.score_model, images, classes, layer)


def _dilated(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    features = explainer.dilated_model.predict_on_batch(images.astype(np.float32))[1]
    return closed_form.grad_cam(features, classes, explainer.model)


def _crops(explainer: Explainer, images: Images, classes: Classes) -> Maps:
    evidence = finer.crops_evidence(explainer.feature_model, explainer.model, images)
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
