"""Distribute work over the cores of a Ray cluster, as `processes.map_surviving` does on one machine.

A worker is an actor that is not restarted. An actor that Ray restarts keeps its item and waits for a free core, which
a full cluster that lost a machine never has; and Ray Data's pool still counts dead actors, as of Ray 2.60
(ray-project/ray#62746). Here the item goes back into the queue, and the next free worker takes it.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from keras_dr.core.errors import KerasDrError

Item = TypeVar("Item")
Result = TypeVar("Result")
# called once per worker; returns the function that is called with each item
Begin = Callable[[], Callable[[Item], Result]]

DEATHS = 3  # an item that killed so many workers is the cause, not a machine that was switched off
# so many deaths in a row, plus one per worker, without a result, cannot be caused by the items
_DEATHS_IN_A_ROW = 16
_PATIENCE_S = 300  # longest wait for the first worker; a cluster that adds machines automatically needs minutes
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's minimum; photographs are not put into the store
_ROOT = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)


def check_engine(engine: str, engines: Sequence[str], address: str | None) -> None:
    """Refuse an unknown engine, and an address for an engine that does not use one."""
    if engine not in engines:
        raise KerasDrError(f"The engine {engine!r} is not one of {', '.join(engines)}.", "Correct --engine.")
    if address and engine != "ray":
        raise KerasDrError(f"--address has no effect with --engine {engine}.", "Use --engine ray, or omit --address.")


@contextmanager
def connected(address: str | None, cores: int | None) -> Iterator[Any]:
    """Yield the module ray, connected to a cluster during the block; its workers get the code of this program.

    Args:
        address: address of a running cluster ("host:6379", or "auto" on one of its machines); None: start a cluster on
            this machine.
        cores: number of cores that a cluster on this machine offers; None: all.

    Raises:
        KerasDrError: Ray is not installed, or the cluster does not answer or fails during the block.
    """
    # Ray would send usage reports to its makers, which a hospital does not want
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # this is the default of later versions; without it, Ray warns
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        remedy = "Install the extra [ray]: pip install keras_dr[ray]; in a clone, pip install -r requirements-ray.txt."
        raise KerasDrError(
            f"--engine ray needs the package ray, which cannot be imported ({error}).", remedy
        ) from error
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    settings["runtime_env"] = {"py_modules": [str(_ROOT / name) for name in ("keras_dr", "edge_demo")]}
    if not address:
        settings |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address:
            message = f"The Ray cluster at {address} cannot be reached ({_one_line(error)})."
            raise KerasDrError(message, "Start one (`ray start --head`), or omit --address.") from error
        message = f"No Ray cluster can be started on this machine ({_one_line(error)})."
        raise KerasDrError(message, "Start one with `ray start --head`, and pass --address auto.") from error
    try:
        yield ray
    except ray.exceptions.RayError as error:
        remedy = "Check the cluster; the same command then continues from here."
        raise KerasDrError(f"The Ray cluster failed during the work ({_one_line(error)}).", remedy) from error
    finally:
        ray.shutdown()


def map_on_cluster(
    work: Callable[[Item], Result], items: Sequence[Item], address: str | None = None, workers: int | None = None
) -> Iterator[tuple[Item, Result | None]]:
    """Do the same as `processes.map_surviving` on a cluster; see `connected` and `map_on_workers`."""
    if items:
        with connected(address, workers) as ray:
            yield from map_on_workers(ray, partial(_unchanged, work), items, workers)


def _unchanged(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return work


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def map_on_workers(
    ray: Any, begin: Begin[Item, Result], items: Sequence[Item], workers: int | None = None, deaths: int = DEATHS
) -> Iterator[tuple[Item, Result | None]]:
    """Yield each item with its result when it is done; the result is None if the item killed `deaths` workers.

    Errors of `begin` and of the work are raised here.

    Args:
        ray: the module from `connected`.
        begin: called once per worker; returns the function that is called with each item. `begin` and the items must
            be picklable.
        items: the arguments of the calls.
        workers: number of workers of one core each; None: one per core of the cluster. Workers without a free core
            wait.
        deaths: number of workers that one item may kill before it is given up.

    Raises:
        KerasDrError: no core is free for minutes, or the workers die regardless of the item.
    """
    cores = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    pool = _Pool(ray, begin, deque(map(_Task, items)), _DEATHS_IN_A_ROW + cores)
    for _ in range(min(cores, len(items))):
        pool.start_worker()
    try:
        while pool.has_work():
            yield from pool.wait(deaths)
    finally:
        pool.stop()


@dataclass
class _Task(Generic[Item]):
    item: Item
    deaths: int = 0


@dataclass
class _Pool(Generic[Item, Result]):
    """The workers of one call of `map_on_workers`.

    Attributes:
        ray: the module.
        begin: see `map_on_workers`.
        waiting: tasks that are not assigned to a worker.
        most_deaths: number of deaths in a row at which the cluster is given up.
        at_work: reference to a future result -> worker and its task; the task is None while the worker starts.
        idle: workers without a task; a task that comes back goes to one of them.
        deaths: deaths of workers since the last result.
    """

    ray: Any
    begin: Begin[Item, Result]
    waiting: deque[_Task[Item]]
    most_deaths: int
    at_work: dict[Any, tuple[Any, _Task[Item] | None]] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    deaths: int = 0

    def start_worker(self) -> None:
        worker = self.ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker).remote()
        self.at_work[worker.begin.remote(self.begin, Path.cwd())] = worker, None

    def has_work(self) -> bool:
        return bool(self.waiting) or self._is_busy()

    def _is_busy(self) -> bool:
        return any(task for _, task in self.at_work.values())

    def wait(self, deaths: int) -> Iterator[tuple[Item, Result | None]]:
        """Wait for one worker, assign the next tasks to it and to idle workers, and yield its item and result."""
        done, _ = self.ray.wait(list(self.at_work), timeout=None if self._is_busy() else _PATIENCE_S)
        if not done:
            remedy = "Wait until the cluster is free, or add machines."
            raise KerasDrError(f"No core of the cluster was free within {_PATIENCE_S} s.", remedy)
        worker, task = self.at_work.pop(done[0])
        result = None
        try:
            result = self.ray.get(done[0])
            self.idle.append(worker)
            if task:
                self.deaths = 0
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError:
            self._replace(worker, task)
            if task and task.deaths < deaths:
                self.waiting.appendleft(task)
                task = None
        while self.waiting and self.idle:  # before the yield, because the caller may take long
            self._assign_next()
        if task:
            yield task.item, result

    def _assign_next(self) -> None:
        worker = self.idle.pop()
        task = self.waiting.popleft()
        self.at_work[worker.do.remote(task.item)] = worker, task

    def _replace(self, worker: Any, task: _Task[Item] | None) -> None:
        """Count the death of a worker and start another one."""
        self.ray.kill(worker)  # the worker may still be alive but unreachable
        self.deaths += 1
        if self.deaths >= self.most_deaths:
            remedy = "Memory may be short: try fewer --workers. Every machine needs the same packages as this one."
            raise KerasDrError(f"{self.deaths} workers died in a row.", remedy)
        if task:
            task.deaths += 1
        _log.warning("A worker was lost; another one replaces it.")
        self.start_worker()

    def stop(self) -> None:
        for worker in [*self.idle, *(worker for worker, _ in self.at_work.values())]:
            self.ray.kill(worker)


class _Worker:
    """The class of the actors."""

    def begin(self, begin: Begin[Any, Any], folder: Path) -> None:
        """Prepare the work, in the folder to which its paths are relative."""
        import cv2

        cv2.setNumThreads(1)
        try:
            os.chdir(folder)
        except OSError as error:
            message = f"The folder {folder} cannot be opened on {socket.gethostname()} ({error.strerror})."
            raise KerasDrError(message, "Put it on a disk that all machines share.") from error
        self._work = begin()

    def do(self, item: Any) -> Any:
        return self._work(item)
