"""What TensorFlow and the converters print, held back unless they fail."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def _held_back(descriptors: Sequence[int]) -> Iterator[None]:
    """Hold back what is written to file descriptors, also by C++; if the block fails, write it to stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        copies = {number: os.dup(number) for number in descriptors}
        failed = True
        try:
            for number in descriptors:
                os.dup2(log.fileno(), number)
            yield
            failed = False
        finally:
            for number, copy in copies.items():
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up messages; they are shown if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _held_back([2]):
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # it warns of retracing, which a few models in a row bring with them
        if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
            tf.config.set_visible_devices([], "GPU")  # their memory is for the other backend
        tf.config.list_physical_devices()
        tf.zeros(())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the converters print; if one fails, print it to stderr after all."""
    with _held_back([1, 2]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*experimental_preserve_all_tensors")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            yield
