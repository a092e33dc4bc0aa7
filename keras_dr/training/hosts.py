"""One training on several hosts, one process on each: JAX and `keras.distribution` (KERAS_BACKEND=jax).

Each process runs the whole training in step with the others: it reads its share of every batch and sums gradients with
the others, and therefore has the same weights, scores and decisions. The files of the first process become the run; the
other processes write theirs to temporary folders. Keras's own sharding of data sets is not used: with it, each process
reads and augments all photographs, and a last batch that cannot be divided evenly is refused.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.distribution import DataParallel, TensorLayout

from keras_dr.core.errors import KerasDrError
from keras_dr.training.spread import DeviceSpread


class DividedDataParallel(DataParallel):
    """Data parallelism that divides batches among the devices only in the block of `divided`.

    Otherwise each device gets whole batches, so that each process has all predictions.
    """

    def __init__(self) -> None:
        super().__init__(auto_shard_dataset=False)
        self.divides = False

    def get_data_layout(self, data_shape: Sequence[int]) -> TensorLayout:
        """Return the layout of a batch."""
        batch_axis = self.batch_dim_name if self.divides else None
        return TensorLayout([batch_axis, *[None] * (len(data_shape) - 1)], self.device_mesh)

    @contextmanager
    def divided(self) -> Iterator[None]:
        """Divide batches among the devices during the block."""
        self.divides = True
        try:
            yield
        finally:
            self.divides = False


def connect(addresses: str, rank: int, seed: int) -> None:
    """Connect the processes, before JAX computes anything; wait until all have started.

    Args:
        addresses: "host:port" of each process, joined by commas; all connect to the first one's port.
        rank: the number of this process, from 0.
        seed: the seed of the recipe, the same in all processes.

    Raises:
        KerasDrError: Keras runs on a backend other than JAX, the addresses do not have this form, the rank is out of
            range, or the processes cannot be connected.
    """
    hosts = addresses.split(",")
    if keras.backend.backend() != "jax":
        raise KerasDrError(
            f"--hosts needs Keras on JAX, but Keras runs on {keras.backend.backend()}.",
            "Set the environment variable KERAS_BACKEND=jax.",
        )
    if not all(_is_address(host) for host in hosts):
        raise KerasDrError(
            f"--hosts must have the form host:port,host:port, but it is {addresses}.",
            "Name each host once, with a free port.",
        )
    if not 0 <= rank < len(hosts):
        raise KerasDrError(
            f"--rank must be from 0 to {len(hosts) - 1}, but it is {rank}.",
            "Number the hosts in the order in which --hosts lists them.",
        )
    keras.utils.set_random_seed(seed)
    try:
        keras.distribution.initialize(addresses, len(hosts), rank)
    except RuntimeError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise KerasDrError(
            f"The {len(hosts)} processes at {addresses} could not be connected: {reason}.",
            "Start one process on each host.",
        ) from error


def _is_address(text: str) -> bool:
    """Whether the text has the form host:port."""
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit()


def spread_by_jax() -> DeviceSpread:
    """Return the spread over the devices of all processes that `connect` has connected, or of this process alone."""
    import jax

    if jax.device_count() == 1:
        return DeviceSpread()
    parallel = DividedDataParallel()
    return DeviceSpread(
        scope=parallel.scope,
        divided=parallel.divided,
        devices=jax.device_count(),
        hosts=jax.process_count(),
        rank=jax.process_index(),
    )


def check_agreement(spread: DeviceSpread, plan: Any) -> None:
    """Check before the training that all processes have the same plan.

    Args:
        spread: the spread of this process.
        plan: the recipe and the hashes of the data, ready for JSON.

    Raises:
        KerasDrError: the processes have different recipes or photographs.
    """
    if spread.hosts == 1:
        return
    from jax.experimental.multihost_utils import process_allgather

    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).digest()
    plans = process_allgather(np.frombuffer(digest, np.uint8))
    if (plans != plans[0]).any():
        raise KerasDrError(
            "The hosts do not all have the same recipe and photographs.",
            "Give the same command on each, except for --rank, with the same prepared set.",
        )


@contextmanager
def shared_folder(spread: DeviceSpread, growing: AbstractContextManager[Path], partial: Path) -> Iterator[Path]:
    """Yield the folder that a process writes to: the run's folder for the first, a temporary folder for the others.

    A temporary folder begins as a copy of the run's folder as an interrupted call left it.

    Args:
        spread: the spread of this process.
        growing: a context that creates the run's folder; only the first process enters it.
        partial: the path of that folder, on a disk that all hosts share.

    Raises:
        KerasDrError: this process cannot see the folder of the first process.
    """
    if spread.rank == 0:
        with growing as folder:
            _wait(spread, "opened")
            _wait(spread, "copied")
            yield folder
    else:
        _wait(spread, "opened")
        with tempfile.TemporaryDirectory() as temporary:
            if not partial.is_dir():
                raise KerasDrError(
                    f"This host cannot see the unfinished run of rank 0 at {partial}.",
                    "Choose a RUN in a folder that all hosts share.",
                )
            shutil.copytree(partial, temporary, dirs_exist_ok=True)
            _wait(spread, "copied")
            yield Path(temporary)
    _wait(spread, "finished")


def _wait(spread: DeviceSpread, name: str) -> None:
    """Wait until all processes have reached this point."""
    if spread.hosts > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(name)
