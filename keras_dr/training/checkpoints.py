"""Where a training stands: after each epoch, and every so many steps, saved so that it goes on bit for bit.

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
    """Where a training stands; `checkpoints/state.json`.

    Attributes:
        phase: of `PHASES`.
        epoch: finished epochs of the phase.
        step: finished batches of the epoch after them.
        sums: of Keras's loss and accuracy over these batches, and their counts: float32 as the metrics hold them.
        seconds: spent in the phase.
        history: a row an epoch.
        finished: phase -> result.
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
        """The history of the phase."""
        return [row for row in self.history if row["phase"] == self.phase]


class Checkpoints:
    """The checkpoints of one unfinished run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "state.json"

    def state(self) -> State:
        """What was saved last, or the begin."""
        return State(**folders.read_json(self.file)) if self.file.is_file() else State()

    def load(self, trainer: keras.Model, state: State) -> None:
        """Set weights and optimiser to what was saved with `state`."""
        trainer.load_weights(self._weights(state))

    def save(self, trainer: keras.Model, state: State) -> None:
        """Weights and optimiser first, then the state that names them, then drop the ones before."""
        file = self._weights(state)
        # HDF5 crashes on a full disk instead of telling: room for weights, gradients and moments
        folders.check_room(self.folder, 16 * trainer.count_params() + (1 << 20))
        trainer.save_weights(file)
        folders.write_json(self.file, asdict(state))
        for old in self.folder.glob("*.weights.h5"):
            if old != file:
                old.unlink()

    def finish(self, state: State) -> None:
        """Note that a phase has ended; its checkpoint is of no more use."""
        folders.write_json(self.file, asdict(state))

    def _weights(self, state: State) -> Path:
        return self.folder / f"{state.phase}-{state.epoch:04d}-{state.step:06d}.weights.h5"


def metric_values(model: keras.Model) -> list[float]:
    """Sums and counts that the compiled loss and metrics hold, float32, in Keras's order."""
    return [float(keras.ops.convert_to_numpy(variable)) for variable in _metric_variables(model)]


def add_to_metrics(model: keras.Model, values: Sequence[float], copies: int = 1) -> dict[str, Any]:
    """Add what `metric_values` gave before the first batch of a call to what the metrics hold after it.

    Not before that batch, as Keras makes the variables in it. The sums are those of a call that was not interrupted,
    bit for bit: adding two numbers rounds the same in either order.

    Args:
        model: compiled.
        values: of the batches before.
        copies: how often the batch that the metrics hold was given, each time to another device.

    Returns:
        Name of a metric -> its mean.
    """
    getattr(model, "jax_state_sync", lambda: None)()
    for variable, now, before in zip(_metric_variables(model), metric_values(model), values, strict=True):
        variable.assign(np.float32(now / copies) + np.float32(before))
    return model.get_metrics_result()


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


@contextmanager
def held_interrupt() -> Iterator[list[int]]:
    """Ctrl-C within it is noted in the list yielded, for the step to be finished and saved; a second one interrupts."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
