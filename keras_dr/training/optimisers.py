"""The optimiser of a phase: its learning rate over the steps and over the layers, weight decay, clipping, averaging."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dr.recipe import Finetune, Phase

PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 3  # epochs


@keras.saving.register_keras_serializable("keras_dr")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then constant or a half cosine down to 0 (Loshchilov and Hutter, ICLR 2017).

    Args:
        peak: learning rate after the warm-up.
        warmup_steps: number of optimiser steps of the warm-up.
        total_steps: number of all optimiser steps.
        cosine: whether the rate decays after the warm-up.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, cosine: bool) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.cosine = cosine

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        step = ops.cast(step, "float32")
        warmup = ops.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        if not self.cosine:
            return self.peak * warmup
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * warmup * 0.5 * (1 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "cosine": self.cosine,
        }


class _Rated:
    """Additions to a Keras optimiser: a learning rate per variable, and averages kept separately from the weights."""

    rates: Sequence[float] = ()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, at its own share of the learning rate."""
        rate = self.rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        """Return the gradients, clipped by their norm over all devices.

        Under MirroredStrategy, Keras would clip each device's share by its own norm.
        """
        if self.global_clipnorm and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            replica = tf.distribute.get_replica_context()
            if replica and replica.num_replicas_in_sync > 1:
                clipped = super()._clip_gradients(replica.all_reduce("sum", gradients))
                # The strategy sums the gradients of all devices later.
                return [gradient / replica.num_replicas_in_sync for gradient in clipped]
        return super()._clip_gradients(gradients)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Do nothing; Keras would replace the weights by the averages whenever `fit` ends, here after each epoch."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the weights by their running means during the block."""
        if not self.use_ema:
            yield
            return
        weights = _copies(self._trainable_variables)
        means = _copies(self._model_variables_moving_average)
        for variable, mean in zip(self._trainable_variables, means, strict=True):
            variable.assign(mean)
        try:
            yield
        finally:
            for variable, value in zip(self._trainable_variables, weights, strict=True):
                variable.assign(value)


def _copies(variables: Sequence[Any]) -> list[Any]:
    """Return copies of the variables' values; JAX frees the arrays that are used in a prediction."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


class RatedAdamW(_Rated, keras.optimizers.AdamW):
    """AdamW with the additions of `_Rated`."""


class RatedAdam(_Rated, keras.optimizers.Adam):
    """Adam with the additions of `_Rated`."""


class RatedSGD(_Rated, keras.optimizers.SGD):
    """SGD with the additions of `_Rated`."""


def make_optimizer(settings: Phase, steps: int, trainer: keras.Model) -> Any:
    """Return the optimiser of a phase, built for the trainable variables of `trainer`.

    Args:
        settings: the settings of the phase.
        steps: number of batches per epoch.
        trainer: the model to train; layers that do not learn are already frozen.

    Returns:
        A Keras optimiser with `averaged()`, a context in which the weights are their running means.
    """
    rate: Any = settings.learning_rate
    if settings.schedule != "plateau":
        warmup_steps = round(settings.warmup_epochs * steps)
        rate = WarmupSchedule(rate, warmup_steps, settings.epochs * steps, settings.schedule == "cosine")
    arguments: dict[str, Any] = {
        "weight_decay": settings.weight_decay,
        "global_clipnorm": settings.clip_norm,
        "gradient_accumulation_steps": settings.accumulate if settings.accumulate > 1 else None,
        "use_ema": settings.ema > 0,
        "ema_momentum": settings.ema or 0.99,
    }
    if settings.optimizer != "adamw" and settings.weight_decay == 0:
        arguments["weight_decay"] = None  # Adam and SGD take None for no decay, AdamW takes 0
    if settings.optimizer == "sgd":
        arguments |= {"momentum": 0.9, "nesterov": True}
    optimizer_class = {"adamw": RatedAdamW, "adam": RatedAdam, "sgd": RatedSGD}[settings.optimizer]
    optimizer = optimizer_class(rate, **arguments)
    variables = trainer.trainable_variables
    optimizer.rates = layer_rates(settings, trainer)
    optimizer.exclude_from_weight_decay([weight for weight in variables if len(weight.shape) < 2])
    optimizer.build(variables)
    return optimizer


def layer_rates(settings: Phase, trainer: keras.Model) -> list[float]:
    """Return the share of the learning rate for each trainable variable.

    The share is 1 at the head and decreases geometrically towards the image, by the position of the layer among the
    layers that learn. This is discriminative fine-tuning (J. Howard and S. Ruder, ACL 2018).
    """
    first_share = settings.first_layer_rate if isinstance(settings, Finetune) else 1.0
    learning_layers = [layer for layer in trainer.layers if layer.trainable_variables]
    rates = []
    for position, layer in enumerate(learning_layers):
        share = first_share ** (1 - position / max(1, len(learning_layers) - 1))
        rates += [share] * len(layer.trainable_variables)
    return rates


def plateau_rate(peak: float, goodness: Sequence[float]) -> float:
    """Return the next epoch's learning rate: halved after every `PLATEAU_PATIENCE` epochs without a better monitor.

    Args:
        peak: the learning rate at the beginning.
        goodness: the goodness of the monitor after each epoch so far; higher is better.
    """
    rate = peak
    best = -math.inf
    epochs_without_better = 0
    for value in goodness:
        if value > best:
            best = value
            epochs_without_better = 0
        else:
            epochs_without_better += 1
        if epochs_without_better == PLATEAU_PATIENCE:
            rate *= PLATEAU_FACTOR
            epochs_without_better = 0
    return rate
