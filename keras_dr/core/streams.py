"""Standard output and standard error, which may be closed, full, or unable to encode a letter."""

import io
import os
import sys


def prepare_streams() -> None:
    """Make standard output and standard error take every text, once at the start of a command.

    What a closed stream is given is discarded. Letters that a terminal or a pipe cannot encode are written as escapes
    such as \\u60a3; a choice of the user, such as PYTHONIOENCODING=cp1252:replace, stays.
    """
    occupy_descriptors()
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def release_streams() -> None:
    """At the end of a command, discard what its streams cannot write: a closed pipe or a full disk was reported before.

    Otherwise Python would try again when it ends, print the error and change the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def occupy_descriptors() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file or pipe that is opened would get its number, and with it what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest free number, which is this
