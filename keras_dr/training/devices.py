"""What a training runs on: one device, several of one machine, or several machines; and how to tell it."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.errors import KerasDrError


@dataclass(frozen=True)
class Spread:
    """Over what each batch is spread.

    Whole batches are divided evenly. The last, smaller one of an epoch goes to each device as it is, so that its mean
    is that of its photographs whatever their number.

    Attributes:
        scope: makes the context in which networks are built, trained and run.
        divided: makes the context in which batches that are given are divided among the devices.
        devices: how many, on all hosts.
        hosts: how many processes.
        rank: number of this process, from 0.
        copies: how often a batch must hold its photographs for each device to have them all.
    """

    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    divided: Callable[[], AbstractContextManager[Any]] = nullcontext
    devices: int = 1
    hosts: int = 1
    rank: int = 0
    copies: int = 1

    def check(self, batch_size: int, accumulate: int = 1) -> None:
        """Refuse what cannot be divided.

        Raises:
            KerasDrError: the batch size is no multiple of the number of devices, or gradients of several batches are to
                be averaged by `MirroredStrategy`, which sums them in each step.
        """
        if accumulate > 1 and self.copies > 1:
            remedy = "Raise batch_size instead, or set KERAS_BACKEND=jax."
            raise KerasDrError(f"accumulate: 1 with TensorFlow on {self.devices} devices", str(accumulate), remedy)
        if batch_size % self.devices:
            expected, next_one = (
                f"a batch_size that {self.devices} devices divide evenly",
                batch_size // self.devices + 1,
            )
            raise KerasDrError(expected, str(batch_size), f"For example --set batch_size={next_one * self.devices}.")

    def stretches(self, count: int, size: int, first: int = 0) -> Iterator[tuple[int, int | None, bool]]:
        """What of an epoch is trained alike: (first step, step after the last or None, whether batches are divided).

        Args:
            count: photographs of the epoch.
            size: of a batch.
            first: step to begin with.
        """
        whole = count // size
        if self.devices == 1 or whole * size == count:
            yield first, None, True
            return
        if first < whole:
            yield first, whole, True
        yield max(first, whole), None, False

    def share(self, order: NDArray[np.int64], size: int, divided: bool) -> tuple[NDArray[np.int64], int]:
        """What of a stretch's photographs this process reads, and how many make a batch.

        Args:
            order: int64 (n,), indices in the order of training.
            size: of a batch.
            divided: as `stretches` says.
        """
        if divided and self.hosts > 1:
            return order.reshape(-1, self.hosts, size // self.hosts)[:, self.rank].ravel(), size // self.hosts
        return (order, size) if divided else (np.tile(order, self.copies), self.copies * len(order))


def spread() -> Spread:
    """Over all devices that the backend sees.

    TensorFlow spreads over the GPUs of one machine by `tf.distribute.MirroredStrategy`, JAX over those of several by
    `keras.distribution`, once `hosts.connect` has brought them together.
    """
    if keras.backend.backend() == "jax":
        from keras_dr.hosts import spread_by_jax

        return spread_by_jax()
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) == 1:
        return Spread()
    strategy = _mirrored(tuple(device.name for device in found))
    return Spread(strategy.scope, devices=len(found), copies=len(found))


@cache
def _mirrored(found: tuple[str, ...]) -> tf.distribute.Strategy:
    """One a process: a second one would number its sums between devices as the first did, and mix them up."""
    return tf.distribute.MirroredStrategy(found)


def names() -> list[str]:
    """What the backend computes on: an entry a device, GPUs by their model where it is known."""
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [gpu.get("device_name", "GPU") for gpu in gpus] or ["CPU"] * len(tf.config.list_logical_devices("CPU"))


def describe(precision: str) -> str:
    """Backend, devices and precision in a line, with a warning where a GPU lies idle."""
    backend, found = keras.backend.backend(), Counter(names())
    counted = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in found.items())
    text = f"Training on {counted} ({os.cpu_count()} cores), {backend}, {precision}."
    if machine_has_gpu() and all(name.lower() == "cpu" for name in found):
        text += (
            f" Warning: this machine has a GPU that {backend} does not see; "
            "install tensorflow[and-cuda] or jax[cuda12], see docs/training.md."
        )
    return text


def machine_has_gpu() -> bool:
    """Whether the operating system knows an NVIDIA GPU that this process may use."""
    return Path("/dev/nvidia0").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
