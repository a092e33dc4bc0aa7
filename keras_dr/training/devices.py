"""What a training runs on: one device, several of one machine, or several machines; and how to tell it."""

import os
from collections import Counter
from functools import cache
from pathlib import Path

import keras
import tensorflow as tf

from keras_dr.training.spread import DeviceSpread


def spread() -> DeviceSpread:
    """Over all devices that the backend sees.

    TensorFlow spreads over the GPUs of one machine by `tf.distribute.MirroredStrategy`, JAX over those of several by
    `keras.distribution`, once `hosts.connect` has brought them together.
    """
    if keras.backend.backend() == "jax":
        from keras_dr.training.hosts import spread_by_jax

        return spread_by_jax()
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) == 1:
        return DeviceSpread()
    strategy = _mirrored(tuple(device.name for device in found))
    return DeviceSpread(strategy.scope, devices=len(found), copies=len(found))


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
