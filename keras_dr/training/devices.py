"""The devices that a training runs on, on one machine or several, and their description."""

import os
from collections import Counter
from functools import cache
from pathlib import Path

import keras
import tensorflow as tf

from keras_dr.core.machine import usable_cores
from keras_dr.training.spread import DeviceSpread


def spread() -> DeviceSpread:
    """Return the spread over all devices that the backend sees.

    TensorFlow spreads over the GPUs of one machine by `tf.distribute.MirroredStrategy`. JAX spreads over the devices of
    several machines by `keras.distribution`, after `hosts.connect` has connected them.
    """
    if keras.backend.backend() == "jax":
        from keras_dr.training.hosts import spread_by_jax

        return spread_by_jax()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return DeviceSpread()
    strategy = _mirrored(tuple(device.name for device in devices))
    return DeviceSpread(strategy.scope, devices=len(devices), copies=len(devices))


@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Return the process's only strategy: a second would reuse its collective keys and mix up their reductions."""
    return tf.distribute.MirroredStrategy(devices)


def names() -> list[str]:
    """Return the names of the devices that the backend computes on; the name of a GPU is its model, if known."""
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [gpu.get("device_name", "GPU") for gpu in gpus] or ["CPU"] * len(tf.config.list_logical_devices("CPU"))


def describe(precision: str) -> str:
    """Return devices, backend and precision in one line; warn if the backend does not use the machine's GPU."""
    backend = keras.backend.backend()
    counts = Counter(names())
    device_list = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
    text = f"Training on {device_list} ({usable_cores()} cores), {backend}, {precision}."
    if machine_has_gpu() and all(name.lower() == "cpu" for name in counts):
        text += (
            f" Warning: this machine has a GPU that {backend} does not see. "
            "Install tensorflow[and-cuda] or jax[cuda12]; see docs/training.md."
        )
    return text


def machine_has_gpu() -> bool:
    """Whether the operating system reports an NVIDIA GPU that this process may use."""
    return Path("/dev/nvidia0").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
