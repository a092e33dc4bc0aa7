"""Distribute work over processes; if one dies, the others continue."""

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
DIED = "the worker process died: the decoder crashed, or memory ran out"
_DEATHS = 8  # so many deaths in a row, without a success, cannot be caused by the items


def map_surviving(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result | None]]:
    """Yield each item with its result when it is done; the result is None if the item killed a process.

    A dead process breaks a whole ProcessPoolExecutor. The items that it held are then tried one at a time to identify
    the item that caused the death, and a new pool continues with the others. Errors of `work` are raised here.

    Args:
        work: a function that can be pickled.
        items: the arguments of its calls.
        workers: number of processes, which take .4 s to start; 0: work in this process, which an item can then kill.

    Raises:
        KerasDrError: the processes die regardless of the item.
    """
    if workers == 0:
        for item in items:
            yield item, work(item)
        return
    workers = min(workers, len(items))
    waiting = deque(items)
    deaths = 0
    while waiting:
        count_before = len(waiting)
        suspects = deque((yield from _map_until_death(work, waiting, workers, most_running=4 * workers)))
        if len(waiting) + len(suspects) < count_before:  # an item succeeded
            deaths = 0
        while suspects:
            count_before = len(suspects)
            culprits = yield from _map_until_death(work, suspects, 1, most_running=1)
            if len(suspects) + len(culprits) < count_before:  # an item succeeded
                deaths = 0
            deaths += len(culprits)
            if deaths >= _DEATHS:
                raise KerasDrError(
                    f"{deaths} worker processes died in a row.",
                    "Memory may be short: try fewer --workers. A script needs the `if __name__` guard.",
                )
            for culprit in culprits:
                yield culprit, None


def _map_until_death(
    work: Callable[[Item], Result], waiting: deque[Item], workers: int, most_running: int
) -> Generator[tuple[Item, Result], None, list[Item]]:
    """Take items from `waiting` and yield them with their results; return the items held when a process died."""
    # processes are spawned, because a fork of a process with TensorFlow's threads can hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    running: dict[Future[Result], Item] = {}
    suspects: list[Item] = []
    try:
        while (waiting and not suspects) or running:
            while waiting and not suspects and len(running) < most_running:
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


def _start_worker() -> None:
    """Give OpenCV one thread, leave Ctrl-C to the parent process, and exit when the parent exits."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
