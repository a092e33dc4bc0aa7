"""Work for other processes, which import it by name."""

import os
import signal


def double(item: int) -> int:
    return 2 * item


def fragile(item: int) -> int:
    if item == 7:
        os._exit(3)
    if item == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def doomed(item: int) -> int:
    os._exit(1)


def full(item: int) -> int:
    if item == 20:
        raise OSError(28, "No space left on device")
    return item
