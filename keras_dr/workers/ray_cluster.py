"""Work spread over the cores of a Ray cluster: what `workers.map_surviving` is on one machine.

A worker is an actor that nobody restarts: one that Ray restarts by itself keeps its item and waits for room, which on a
full cluster that lost a machine never comes, and Ray Data's pool keeps the places of dead actors, as of Ray 2.60
(ray-project/ray#62746). Here the item goes back, and the next free worker takes it.
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
Begin = Callable[[], Callable[[Item], Result]]  # called once a worker, gives what is called with each item

DEATHS = 3  # of workers over one item: it is the item's fault, not that of a machine which was switched off
_DEATHS_IN_A_ROW = 16  # and as many as there are workers, without a result between them: not the items' fault
_PATIENCE_S = 300  # for the first worker: a cluster that grows by itself needs minutes
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least; photographs do not go through it
_ROOT = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)


def check_engine(engine: str, known: Sequence[str], address: str | None) -> None:
    """Refuse an engine that nobody knows, and an address for one that needs none."""
    if engine not in known:
        raise KerasDrError(f"an engine among {', '.join(known)}", repr(engine), "Correct --engine.")
    if address and engine != "ray":
        raise KerasDrError("--engine ray where --address is given", engine, "Add it, or leave --address out.")


@contextmanager
def connected(address: str | None, cores: int | None) -> Iterator[Any]:
    """The module ray, connected to a cluster for as long as the block lasts; its workers get this program's code.

    Args:
        address: of a running cluster ("host:6379", or "auto" on one of its machines); None starts one in here.
        cores: that the one in here offers; None: all.

    Raises:
        KerasDrError: Ray is not installed, or the cluster does not answer, or no longer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports to its makers, which a hospital does not want
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what later versions do, or it warns
    try:
        import ray
    except ImportError as error:
        remedy = "Install it: pip install -r requirements-ray.txt"
        raise KerasDrError("the package ray for --engine ray", str(error), remedy) from error
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    settings["runtime_env"] = {"py_modules": [str(_ROOT / name) for name in ("keras_dr", "edge_demo")]}
    if not address:
        settings |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        remedy = "Start one (`ray start --head`), or leave --address out."
        raise KerasDrError(f"a Ray cluster at {address or 'this machine'}", _said(error), remedy) from error
    try:
        yield ray
    except ray.exceptions.RayError as error:
        remedy = "See what became of it; the same command then goes on from here."
        raise KerasDrError("a Ray cluster that stays", _said(error), remedy) from error
    finally:
        ray.shutdown()


def map_on_cluster(
    work: Callable[[Item], Result], items: Sequence[Item], address: str | None = None, workers: int | None = None
) -> Iterator[tuple[Item, Result | None]]:
    """`workers.map_surviving` on a cluster; see `connected` and `spread`."""
    if items:
        with connected(address, workers) as ray:
            yield from map_on_workers(ray, partial(_same, work), items, workers)


def _same(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return work


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def map_on_workers(
    ray: Any, begin: Begin[Item, Result], items: Sequence[Item], workers: int | None = None, deaths: int = DEATHS
) -> Iterator[tuple[Item, Result | None]]:
    """Yield (item, its result) as they are done; the result is None where `deaths` workers died over the item.

    What `begin` or the work raises is raised here.

    Args:
        ray: from `connected`.
        begin: can be pickled, and so can the items.
        items: what to call the work with.
        workers: of one core each; None: as many as the cluster has cores. Those for which there is no room yet wait.
        deaths: of workers over one item, from which on it is given up.

    Raises:
        KerasDrError: no core is free for minutes, or the workers die whatever they are given.
    """
    cores = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    crew = _Crew(ray, begin, deque(map(_Task, items)), _DEATHS_IN_A_ROW + cores)
    for _ in range(min(cores, len(items))):
        crew.hire()
    try:
        while crew.has_work():
            yield from crew.wait(deaths)
    finally:
        crew.dismiss()


@dataclass
class _Task(Generic[Item]):
    item: Item
    deaths: int = 0


@dataclass
class _Crew(Generic[Item, Result]):
    """The workers of one call of `spread`.

    Attributes:
        ray: the module.
        begin: see `spread`.
        waiting: tasks that nobody has.
        most_deaths: in a row, at which the cluster is given up.
        at_work: reference to a coming result -> worker and its task; None while the worker starts.
        idle: workers that found nothing left; a task that comes back is theirs.
        deaths: of workers since the last result.
    """

    ray: Any
    begin: Begin[Item, Result]
    waiting: deque[_Task[Item]]
    most_deaths: int
    at_work: dict[Any, tuple[Any, _Task[Item] | None]] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    deaths: int = 0

    def hire(self) -> None:
        worker = self.ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker).remote()
        self.at_work[worker.begin.remote(self.begin, Path.cwd())] = worker, None

    def has_work(self) -> bool:
        return bool(self.waiting) or self._is_busy()

    def _is_busy(self) -> bool:
        return any(task for _, task in self.at_work.values())

    def wait(self, deaths: int) -> Iterator[tuple[Item, Result | None]]:
        """Wait for one worker, give it and the idle ones their next items, and yield what it brought."""
        done, _ = self.ray.wait(list(self.at_work), timeout=None if self._is_busy() else _PATIENCE_S)
        if not done:
            remedy = "Wait until the cluster is free, or add machines."
            raise KerasDrError("a free core on the cluster", f"none in {_PATIENCE_S} s", remedy)
        worker, task = self.at_work.pop(done[0])
        result, given_up = None, False
        try:
            result = self.ray.get(done[0])
            self.idle.append(worker)
            self.deaths = 0 if task else self.deaths
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError:
            self._bury(worker, task)
            given_up = task is not None and task.deaths >= deaths
            if task and not given_up:
                self.waiting.appendleft(task)
                task = None
        while self.waiting and self.idle:  # before the caller takes its time over the result
            self._send_out()
        if task:
            yield task.item, result

    def _send_out(self) -> None:
        worker, task = self.idle.pop(), self.waiting.popleft()
        self.at_work[worker.do.remote(task.item)] = worker, task

    def _bury(self, worker: Any, task: _Task[Item] | None) -> None:
        """Count a death, and hire another in its place."""
        self.ray.kill(worker)  # it may be out of reach alone
        self.deaths += 1
        if self.deaths >= self.most_deaths:
            remedy = "Memory may be short: try fewer --workers. Every machine needs the packages that the command has."
            raise KerasDrError("workers that live", f"{self.deaths} that died in a row", remedy)
        if task:
            task.deaths += 1
        _log.warning("A worker was lost; another one takes its place.")
        self.hire()

    def dismiss(self) -> None:
        for worker in [*self.idle, *(worker for worker, _ in self.at_work.values())]:
            self.ray.kill(worker)


class _Worker:
    """What an actor is made of."""

    def begin(self, begin: Begin[Any, Any], folder: Path) -> None:
        """Load what the work needs, in the folder to which its paths are relative."""
        import cv2

        cv2.setNumThreads(1)
        try:
            os.chdir(folder)
        except OSError as error:
            found, remedy = f"{error.strerror} on {socket.gethostname()}", "Put it on a disk that all machines share."
            raise KerasDrError(f"the folder {folder} on every machine", found, remedy) from error
        self._work = begin()

    def do(self, item: Any) -> Any:
        return self._work(item)
