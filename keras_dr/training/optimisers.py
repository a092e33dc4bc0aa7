"""The optimiser of a phase: its learning rate over the steps and over the layers, weight decay, clipping, averaging."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dr.recipe import Finetune, Phase

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.5, 3


@keras.saving.register_keras_serializable("keras_dr")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then constant or a half cosine down to 0 (Loshchilov and Hutter, ICLR 2017).

    Args:
        peak: learning rate after the warm-up.
        warmup_steps, total_steps: optimiser steps.
        cosine: whether to decay.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, cosine: bool) -> None:
        self.peak, self.warmup_steps, self.total_steps, self.cosine = peak, warmup_steps, total_steps, cosine

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        warm = ops.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        if not self.cosine:
            return self.peak * warm
        passed = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * warm * 0.5 * (1 + ops.cos(math.pi * ops.clip(passed, 0.0, 1.0)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("peak", "warmup_steps", "total_steps", "cosine")
        return {name: getattr(self, name) for name in names}


class _Rated:
    """What is added to a Keras optimiser: a learning rate a variable, and averages that stay beside the weights."""

    rates: Sequence[float] = ()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step, at its own share of the learning rate."""
        rate = self.rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        """Clipped by their norm over all devices; Keras takes each one's share for itself under MirroredStrategy."""
        if self.global_clipnorm and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            replica = tf.distribute.get_replica_context()
            if replica and replica.num_replicas_in_sync > 1:
                whole = super()._clip_gradients(replica.all_reduce("sum", gradients))
                return [gradient / replica.num_replicas_in_sync for gradient in whole]  # they are summed later
        return super()._clip_gradients(gradients)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Nothing: Keras would put the averages in the weights' place whenever `fit` ends, here after each epoch."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, the weights are their running means."""
        if not self.use_ema:
            yield
            return
        # copies: JAX frees the arrays that a prediction is given, and the means would be among them
        kept, means = (
            [np.array(ops.convert_to_numpy(variable)) for variable in variables]
            for variables in (self._trainable_variables, self._model_variables_moving_average)
        )
        for variable, mean in zip(self._trainable_variables, means, strict=True):
            variable.assign(mean)
        try:
            yield
        finally:
            for variable, value in zip(self._trainable_variables, kept, strict=True):
                variable.assign(value)


class RatedAdamW(_Rated, keras.optimizers.AdamW):
    """AdamW."""


class RatedAdam(_Rated, keras.optimizers.Adam):
    """Adam."""


class RatedSGD(_Rated, keras.optimizers.SGD):
    """SGD."""


def make_optimizer(settings: Phase, steps: int, trainer: keras.Model) -> Any:
    """The optimiser of a phase, built for the trainable variables of `trainer`.

    Args:
        settings: of the phase.
        steps: batches an epoch.
        trainer: what it will train, already frozen where it shall be.

    Returns:
        A Keras optimiser with `averaged()`, a context in which the weights are their running means.
    """
    rate: Any = settings.learning_rate
    if settings.schedule != "plateau":
        warmup, total = round(settings.warmup_epochs * steps), settings.epochs * steps
        rate = WarmupSchedule(rate, warmup, total, settings.schedule == "cosine")
    kind = {"adamw": RatedAdamW, "adam": RatedAdam, "sgd": RatedSGD}[settings.optimizer]
    optimizer = kind(
        rate,
        weight_decay=settings.weight_decay if settings.optimizer == "adamw" else settings.weight_decay or None,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
        use_ema=settings.ema > 0,
        ema_momentum=settings.ema or 0.99,
        **({"momentum": 0.9, "nesterov": True} if settings.optimizer == "sgd" else {}),
    )
    variables = trainer.trainable_variables
    optimizer.rates = layer_rates(settings, trainer)
    optimizer.exclude_from_weight_decay([weight for weight in variables if len(weight.shape) < 2])
    optimizer.build(variables)
    return optimizer


def layer_rates(settings: Phase, trainer: keras.Model) -> list[float]:
    """Share of the learning rate for each trainable variable: 1 at the head, geometrically less towards the image.

    Discriminative fine-tuning (J. Howard and S. Ruder, ACL 2018), by the position of the layer among those that learn.
    """
    first = settings.first_layer_rate if isinstance(settings, Finetune) else 1.0
    learning = [layer for layer in trainer.layers if layer.trainable_variables]
    shares = [first ** (1 - place / max(1, len(learning) - 1)) for place in range(len(learning))]
    return [share for share, layer in zip(shares, learning, strict=True) for _ in layer.trainable_variables]


def plateau_rate(peak: float, goodness: Sequence[float]) -> float:
    """Learning rate of the next epoch: halved whenever `PLATEAU_PATIENCE` epochs brought no better monitor.

    Args:
        peak: at the begin.
        goodness: of the epochs so far, more is better.
    """
    best, waited, rate = -math.inf, 0, peak
    for value in goodness:
        best, waited = (value, 0) if value > best else (best, waited + 1)
        if waited == PLATEAU_PATIENCE:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate
