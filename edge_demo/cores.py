"""The numbers of threads, and the cores, that a measurement may use."""

import os
from collections.abc import Sequence

from keras_dr.core.errors import KerasDrError
from keras_dr.core.machine import usable_cores

MAX_THREADS = 4 * usable_cores()  # more threads only wait for one another; many thousands crash the runtime


def parse_threads(text: str) -> list[int]:
    """Return the numbers of threads in a text such as "1,2".

    Raises:
        KerasDrError: the text has no numbers, or one that is not from 1 to `MAX_THREADS`.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        message = f"The numbers of threads must be whole numbers joined by commas, but are {repr(text)[:80]}."
        raise KerasDrError(message, "Write, for example, 1,2.") from error
    check_threads(counts)
    return counts


def check_threads(counts: Sequence[int]) -> None:
    """Refuse numbers of threads that are not from 1 to `MAX_THREADS`.

    Raises:
        KerasDrError: see above.
    """
    wrong = [count for count in counts if not 1 <= count <= MAX_THREADS]
    if wrong:
        message = f"The number of threads is {wrong[0]}, but must be 1 to {MAX_THREADS} (at most four for each core)."
        raise KerasDrError(message, "Choose another number of threads.")


def threads_in_words(*counts: int) -> str:
    """Return one number of threads or several in words: "1 thread", "2 threads", "1 or 2 threads"."""
    return f"{' or '.join(map(str, counts))} thread{'' if counts == (1,) else 's'}"


def parse_cpus(text: str) -> list[int]:
    """Return the numbers of cores in a text such as "0,1" or "0-3".

    Raises:
        KerasDrError: the text is no such list. Whether the cores can be used, `check_cpus` checks.
    """
    cpus: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            cpus += range(int(first), int(last or first) + 1)
    except ValueError as error:
        message = f"The numbers of cores must be whole numbers joined by commas, but are {repr(text)[:80]}."
        raise KerasDrError(message, "Write, for example, 0,1 or 0-3.") from error
    if not cpus:
        raise KerasDrError(f"The list of cores {repr(text)[:80]} is empty.", "Write, for example, 0,1 or 0-3.")
    return sorted(set(cpus))


def check_cpus(cpus: Sequence[int]) -> None:
    """Refuse cores that this process may not use, and systems on which a process cannot be pinned.

    Raises:
        KerasDrError: see above.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise KerasDrError("A process cannot be pinned to cores on this system.", "Leave out --cpus.")
    usable = os.sched_getaffinity(0)
    wrong = [cpu for cpu in cpus if cpu not in usable]
    if wrong:
        message = f"There is no core {wrong[0]} that this process may use."
        raise KerasDrError(message, f"Choose from {', '.join(map(str, sorted(usable)))}.")
