"""What the command line shows while it works: progress bars, and TensorFlow's start without its messages."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Callable[..., None]]:
    """A progress bar with its remaining time on a terminal; yields progress(done, total, text="")."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times: tuple[Any, ...] = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    disabled = quiet or not console.is_terminal
    with Progress(*columns, *times, console=console, disable=disabled) as bar:
        row = bar.add_task(label, total=None)
        yield lambda done, total, text="": bar.update(
            row, completed=done, total=total, description=f"{label} {text}".strip()
        )


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up messages; they are shown if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as messages:
        stderr = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")  # it warns of retracing, which a few models in a row bring with them
            if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
                tf.config.set_visible_devices([], "GPU")  # their memory is for the other backend
            tf.config.list_physical_devices()
            tf.zeros(())
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
