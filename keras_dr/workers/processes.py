"""Work spread over processes of which one may die without taking the rest along."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from keras_dr.core.errors import KerasDrError

Item = TypeVar("Item")
Result = TypeVar("Result")
DIED = "the process died over it: a fault of the decoder, or memory ran out"
_DEATHS = 8  # in a row, without a success between them: it is not the items' fault


def map_surviving(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result | None]]:
    """Yield (item, its result) as they are done; the result is None where a process died over the item.

    A dead process breaks a whole ProcessPoolExecutor. The items that it held are then tried one at a time, which finds
    the culprit, and a new pool does the rest. What `work` raises is raised here.

    Args:
        work: a function that can be pickled.
        items: what to call it with.
        workers: processes; with 0, all is done in this one, which then is not protected. Starting them takes .4 s.

    Raises:
        KerasDrError: the processes die whatever they are given.
    """
    if workers == 0:
        yield from ((item, work(item)) for item in items)
        return
    waiting, deaths, workers = deque(items), 0, min(workers, len(items))
    while waiting:
        before = len(waiting)
        suspects = deque((yield from _map_until_death(work, waiting, workers, held=4 * workers)))
        deaths = 0 if before > len(waiting) + len(suspects) else deaths
        while suspects:
            before = len(suspects)
            culprits = yield from _map_until_death(work, suspects, 1, held=1)
            deaths = len(culprits) + (0 if before > len(suspects) + len(culprits) else deaths)
            if deaths >= _DEATHS:
                remedy = "Memory may be short: try fewer --workers. A script needs the `if __name__` guard."
                raise KerasDrError("worker processes that live", f"{deaths} that died in a row", remedy)
            for culprit in culprits:
                yield culprit, None


def _map_until_death(
    work: Callable[[Item], Result], waiting: deque[Item], workers: int, held: int
) -> Generator[tuple[Item, Result], None, list[Item]]:
    """Take items from `waiting` and yield them with their results; returns those held when a process died."""
    # spawn, not fork: a fork of a process with TensorFlow's threads can hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
    running: dict[Future[Result], Item] = {}
    suspects: list[Item] = []
    try:
        while (waiting and not suspects) or running:
            while waiting and not suspects and len(running) < held:
                try:
                    running[pool.submit(work, waiting[0])] = waiting[0]
                except BrokenProcessPool:
                    break
                waiting.popleft()
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    suspects.append(item)
                    continue
                yield item, result
    finally:
        pool.shutdown(cancel_futures=True)
    return suspects


def _begin() -> None:
    """Start a worker: one thread for OpenCV, deaf to Ctrl-C (the parent hears it), and never outliving the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
