"""The division of each batch among devices and hosts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError


@dataclass(frozen=True)
class DeviceSpread:
    """The devices and hosts that share each batch.

    Full batches are divided evenly. The last, smaller batch of an epoch is not divided: each device gets all of it, so
    that its mean is correct for any number of photographs.

    Attributes:
        scope: creates the context in which networks are built, trained and run.
        divided: creates the context in which batches are divided among the devices.
        devices: number of devices on all hosts.
        hosts: number of processes.
        rank: number of this process, from 0.
        copies: how often an undivided batch must repeat its photographs, so that each device gets all of them.
    """

    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    divided: Callable[[], AbstractContextManager[Any]] = nullcontext
    devices: int = 1
    hosts: int = 1
    rank: int = 0
    copies: int = 1

    def check(self, batch_size: int, accumulate: int = 1) -> None:
        """Refuse settings that do not work with these devices.

        Args:
            batch_size: photographs per batch.
            accumulate: batches whose gradients are averaged for one step.

        Raises:
            KerasDrError: the batch size is not a multiple of the number of devices, or gradients of several batches
                are to be averaged under `MirroredStrategy`, which sums them in each step.
        """
        if accumulate > 1 and self.copies > 1:
            raise KerasDrError(
                f"accumulate: {accumulate} does not work with TensorFlow on {self.devices} devices; only accumulate: 1 "
                "does.",
                "Raise batch_size instead, or set KERAS_BACKEND=jax.",
            )
        if batch_size % self.devices:
            divisible = (batch_size // self.devices + 1) * self.devices
            raise KerasDrError(
                f"A batch_size of {batch_size} cannot be divided evenly among {self.devices} devices.",
                f"Choose a multiple, for example --set batch_size={divisible}.",
            )

    def stretches(self, count: int, size: int, first: int = 0) -> Iterator[tuple[int, int | None, bool]]:
        """Yield the parts of an epoch in which either all batches are divided among the devices, or none.

        Args:
            count: number of photographs of the epoch.
            size: number of photographs per batch.
            first: the step to begin with.

        Yields:
            First step, step after the last (None: to the end), and whether the batches are divided.
        """
        full_batches = count // size
        if self.devices == 1 or full_batches * size == count:
            yield first, None, True
            return
        if first < full_batches:
            yield first, full_batches, True
        yield max(first, full_batches), None, False

    def share(self, order: NDArray[np.int64], size: int, divided: bool) -> tuple[NDArray[np.int64], int]:
        """Return the photographs of a stretch that this process reads, int64 (m,), and how many of them make a batch.

        Args:
            order: int64 (n,), indices in the order of training.
            size: photographs per batch.
            divided: whether the batches of the stretch are divided, from `stretches`.
        """
        if not divided:
            return np.tile(order, self.copies), self.copies * len(order)
        if self.hosts == 1:
            return order, size
        size_per_host = size // self.hosts
        return order.reshape(-1, self.hosts, size_per_host)[:, self.rank].ravel(), size_per_host
