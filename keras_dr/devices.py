"""What a training runs on: the devices that the backend sees, several of one machine as one, and how to tell it."""

import os
from pathlib import Path

import keras
import tensorflow as tf


def strategy() -> tf.distribute.Strategy | None:
    """`tf.distribute.MirroredStrategy` where TensorFlow sees several devices, to build and compile in its scope.

    On the JAX backend, Keras spreads over devices and hosts by `keras.distribution` instead.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices]) if len(devices) > 1 else None


def names() -> list[str]:
    """What the backend computes on: an entry a device, GPUs by their model where it is known."""
    if keras.backend.backend() != "tensorflow":
        return keras.distribution.list_devices()
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [gpu.get("device_name", "GPU") for gpu in gpus] or ["CPU"] * len(tf.config.list_logical_devices("CPU"))


def describe(precision: str) -> str:
    """Backend, devices and precision in a line, with a warning where a GPU lies idle."""
    backend, found = keras.backend.backend(), names()
    text = f"Training on {', '.join(found)} ({os.cpu_count()} cores), {backend}, {precision}."
    if machine_has_gpu() and not any("cpu" not in name.lower() for name in found):
        text += (
            f" Warning: this machine has a GPU that {backend} does not see; "
            "install tensorflow[and-cuda] or jax[cuda12], see the README."
        )
    return text


def machine_has_gpu() -> bool:
    """Whether the operating system knows an NVIDIA GPU that this process may use."""
    return Path("/dev/nvidia0").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
