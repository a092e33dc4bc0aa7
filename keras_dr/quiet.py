"""Hides the messages that TensorFlow and the converters print, unless they fail."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from keras_dr.core.memory import keep_freed_memory
from keras_dr.core.silence import held_back


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, which are shown if the import fails."""
    keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_back([2]):
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # otherwise it warns of retracing when several models are used in turn
        if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
            tf.config.set_visible_devices([], "GPU")  # leave the memory of GPUs to the other backend
        tf.config.list_physical_devices()
        tf.zeros(())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the messages of the converters; if a converter fails, write them to stderr."""
    with held_back([1, 2]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*experimental_preserve_all_tensors")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            yield
