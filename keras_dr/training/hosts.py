"""One training on several hosts, a process each: JAX and `keras.distribution` (KERAS_BACKEND=jax).

Each process does all of the training, in step with the others: it reads its share of every batch, sums gradients with
the others, and so has the same weights, the same scores and the same decisions. The first one's files become the run,
the others keep theirs for themselves while they train. (Keras's own sharding of data sets has each process read and
augment all photographs, and refuses a last batch that does not divide.)
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
    """Data parallelism in which batches are divided among the devices only where it is said, else each has them whole.

    What is predicted is then whole in each process.
    """

    def __init__(self) -> None:
        super().__init__(auto_shard_dataset=False)
        self.divides = False

    def get_data_layout(self, data_shape: Sequence[int]) -> TensorLayout:
        """Of a batch."""
        first = self.batch_dim_name if self.divides else None
        return TensorLayout([first, *[None] * (len(data_shape) - 1)], self.device_mesh)

    @contextmanager
    def divided(self) -> Iterator[None]:
        """Within it, batches are divided."""
        self.divides = True
        try:
            yield
        finally:
            self.divides = False


def connect(addresses: str, rank: int, seed: int) -> None:
    """Bring the processes together, before JAX computes anything; waits until all are there.

    Args:
        addresses: "host:port" of each, joined by commas; the first one's port is the meeting point.
        rank: number of this process, from 0.
        seed: of the recipe, the same everywhere.

    Raises:
        KerasDrError: another backend than JAX, no such rank, addresses that cannot be read, or not all are there.
    """
    hosts = addresses.split(",")
    if keras.backend.backend() != "jax":
        found, remedy = keras.backend.backend(), "Set the environment variable KERAS_BACKEND=jax."
        raise KerasDrError("the backend jax for --hosts", found, remedy)
    if not all(host.rpartition(":")[2].isdigit() and host.rpartition(":")[0] for host in hosts):
        raise KerasDrError("--hosts as host:port,host:port", addresses, "Name each host once, with a free port.")
    if not 0 <= rank < len(hosts):
        raise KerasDrError(f"--rank from 0 to {len(hosts) - 1}", str(rank), "Number the hosts as --hosts lists them.")
    keras.utils.set_random_seed(seed)
    try:
        keras.distribution.initialize(addresses, len(hosts), rank)
    except RuntimeError as error:
        found = str(error).splitlines()[0]
        raise KerasDrError(f"{len(hosts)} processes at {addresses}", found, "Start one on each host.") from error


def spread_by_jax() -> DeviceSpread:
    """Over the devices of all processes that `connect` has brought together, or of this one."""
    import jax

    if jax.device_count() == 1:
        return DeviceSpread()
    together = DividedDataParallel()
    return DeviceSpread(together.scope, together.divided, jax.device_count(), jax.process_count(), jax.process_index())


def check_agreement(spread: DeviceSpread, plan: Any) -> None:
    """Find out before the training whether all processes would do the same.

    Raises:
        KerasDrError: another recipe or other photographs on one of them.
    """
    if spread.hosts == 1:
        return
    from jax.experimental.multihost_utils import process_allgather

    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).digest()
    plans = process_allgather(np.frombuffer(digest, np.uint8))
    if (plans != plans[0]).any():
        remedy = "Give the same command but for --rank, and the same prepared set."
        raise KerasDrError("the same recipe and photographs on all hosts", "others", remedy)


@contextmanager
def shared_folder(spread: DeviceSpread, growing: AbstractContextManager[Path], partial: Path) -> Iterator[Path]:
    """The folder that a process fills: the run's for the first, a copy of what an interrupted call left for others.

    Args:
        spread: who this process is.
        growing: makes the run's folder; entered by the first process alone.
        partial: where that folder lies, on a disk that all hosts share.
    """
    if spread.rank == 0:
        with growing as folder:
            _wait(spread, "opened")
            _wait(spread, "copied")
            yield folder
    else:
        _wait(spread, "opened")
        with tempfile.TemporaryDirectory() as own:
            if not partial.is_dir():
                remedy = "Let RUN lie in a folder that all hosts share."
                raise KerasDrError(f"the unfinished run of rank 0 at {partial}", "no such folder", remedy)
            shutil.copytree(partial, own, dirs_exist_ok=True)
            _wait(spread, "copied")
            yield Path(own)
    _wait(spread, "finished")


def _wait(spread: DeviceSpread, name: str) -> None:
    """Until all processes are here."""
    if spread.hosts > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        sync_global_devices(name)
