"""The state of a training, saved after epochs and steps, so that an interrupted training continues bit for bit.

RUN/checkpoints/ state.json <phase>-<epoch>-<step>.weights.h5
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dr.core import folders

PHASES = ("frozen", "finetune")


@dataclass
class State:
    """The state of a training, as in `checkpoints/state.json`.

    Attributes:
        phase: one of `PHASES`.
        epoch: number of finished epochs of the phase.
        step: number of finished batches of the next epoch.
        sums: Keras's sums of loss and accuracy over these batches, and their counts, float32 like the metrics.
        seconds: time spent in the phase.
        history: one row per epoch.
        finished: phase -> its result, for each phase that has ended.
    """

    phase: str = PHASES[0]
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=list)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether the phase has a checkpoint."""
        return self.epoch > 0 or self.step > 0

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the history that belong to the phase."""
        return [row for row in self.history if row["phase"] == self.phase]


class Checkpoints:
    """The checkpoints of one unfinished run.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "state.json"

    def state(self) -> State:
        """Return the state that was saved last, or the initial state."""
        return State(**folders.read_json(self.file)) if self.file.is_file() else State()

    def load(self, trainer: keras.Model, state: State) -> None:
        """Set weights and optimiser to those that were saved with `state`."""
        trainer.load_weights(self._weights(state))

    def save(self, trainer: keras.Model, state: State) -> None:
        """Save weights and optimiser, then the state that names their file; then delete older files."""
        file = self._weights(state)
        # HDF5 crashes without a message on a full disk. The file holds weights, gradients and moments.
        folders.check_room(self.folder, 16 * trainer.count_params() + (1 << 20))
        trainer.save_weights(file)
        folders.write_json(self.file, asdict(state))
        for old in self.folder.glob("*.weights.h5"):
            if old != file:
                old.unlink()

    def finish(self, state: State) -> None:
        """Record that a phase has ended, so that its checkpoint is no longer needed."""
        folders.write_json(self.file, asdict(state))

    def _weights(self, state: State) -> Path:
        return self.folder / f"{state.phase}-{state.epoch:04d}-{state.step:06d}.weights.h5"


def metric_values(model: keras.Model) -> list[float]:
    """Return the sums and counts of the compiled loss and metrics, float32, in Keras's order."""
    return [float(keras.ops.convert_to_numpy(variable)) for variable in _metric_variables(model)]


def add_to_metrics(model: keras.Model, values: Sequence[float], copies: int = 1) -> dict[str, Any]:
    """Add the metric values of earlier batches to the metrics after the first batch of a call.

    They cannot be added before that batch, because Keras creates the variables in it. The sums are those of an
    uninterrupted call, bit for bit: the sum of two numbers is rounded the same in either order.

    Args:
        model: a compiled model.
        values: the result of `metric_values` after the earlier batches.
        copies: how often the metrics count the first batch, once for each device that was given all of it.

    Returns:
        Name of a metric -> its mean.
    """
    sync_jax_state(model)
    for variable, new, earlier in zip(_metric_variables(model), metric_values(model), values, strict=True):
        variable.assign(np.float32(new / copies) + np.float32(earlier))
    return model.get_metrics_result()


def sync_jax_state(model: keras.Model) -> None:
    """Copy the state that Keras's JAX trainer keeps into the model's variables; do nothing for other trainers."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


@contextmanager
def held_interrupt() -> Iterator[list[int]]:
    """Record Ctrl-C during the block, so that the step can be finished and saved; a second Ctrl-C interrupts.

    Yields:
        A list of the signals received; empty without Ctrl-C.
    """
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handler_before = signal.getsignal(signal.SIGINT)

    def record(number: int, frame: Any) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    signal.signal(signal.SIGINT, record)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, handler_before)
