"""How a batch is spread over devices and hosts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError


@dataclass(frozen=True)
class DeviceSpread:
    """Over what each batch is spread.

    Whole batches are divided evenly. The last, smaller one of an epoch goes to each device as it is, so that its mean
    is that of its photographs whatever their number.

    Attributes:
        scope: makes the context in which networks are built, trained and run.
        divided: makes the context in which batches that are given are divided among the devices.
        devices: how many, on all hosts.
        hosts: how many processes.
        rank: number of this process, from 0.
        copies: how often a batch must hold its photographs for each device to have them all.
    """

    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    divided: Callable[[], AbstractContextManager[Any]] = nullcontext
    devices: int = 1
    hosts: int = 1
    rank: int = 0
    copies: int = 1

    def check(self, batch_size: int, accumulate: int = 1) -> None:
        """Refuse what cannot be divided.

        Raises:
            KerasDrError: the batch size is no multiple of the number of devices, or gradients of several batches are to
                be averaged by `MirroredStrategy`, which sums them in each step.
        """
        if accumulate > 1 and self.copies > 1:
            remedy = "Raise batch_size instead, or set KERAS_BACKEND=jax."
            raise KerasDrError(f"accumulate: 1 with TensorFlow on {self.devices} devices", str(accumulate), remedy)
        if batch_size % self.devices:
            expected, next_one = (
                f"a batch_size that {self.devices} devices divide evenly",
                batch_size // self.devices + 1,
            )
            raise KerasDrError(expected, str(batch_size), f"For example --set batch_size={next_one * self.devices}.")

    def stretches(self, count: int, size: int, first: int = 0) -> Iterator[tuple[int, int | None, bool]]:
        """What of an epoch is trained alike: (first step, step after the last or None, whether batches are divided).

        Args:
            count: photographs of the epoch.
            size: of a batch.
            first: step to begin with.
        """
        whole = count // size
        if self.devices == 1 or whole * size == count:
            yield first, None, True
            return
        if first < whole:
            yield first, whole, True
        yield max(first, whole), None, False

    def share(self, order: NDArray[np.int64], size: int, divided: bool) -> tuple[NDArray[np.int64], int]:
        """What of a stretch's photographs this process reads, and how many make a batch.

        Args:
            order: int64 (n,), indices in the order of training.
            size: of a batch.
            divided: as `stretches` says.
        """
        if divided and self.hosts > 1:
            return order.reshape(-1, self.hosts, size // self.hosts)[:, self.rank].ravel(), size // self.hosts
        return (order, size) if divided else (np.tile(order, self.copies), self.copies * len(order))
