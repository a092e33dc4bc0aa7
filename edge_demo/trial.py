"""Loads and invokes a model in a process of its own, before this process loads it.

A TFLite file is a program for the runtime: a broken or hostile file can crash the process, fill the memory or never
end. The hash in the manifest reveals only accidents, because whoever makes a bundle also writes its hash.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edge_demo.interpreter import load_runner
from edge_demo.process_status import describe_status
from keras_dr.core.errors import KerasDrError
from keras_dr.core.limits import limit_process
from keras_dr.core.streams import occupy_descriptors

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MEMORY_MIB = 4096  # in addition to the memory that the process holds; a grader takes half a gigabyte
SECONDS = 30
METHOD = "fork" if sys.platform == "linux" else "spawn"  # a fork starts in milliseconds, a new Python in a second
_PASSED = "passed"


def try_model(file: Path, seconds: float = SECONDS) -> None:
    """Load a model and invoke it once, in another process.

    Raises:
        KerasDrError: the model could not be loaded or invoked, crashed the process, or took too much time or memory.
    """
    import multiprocessing  # slow to import, and not needed for --help

    import ai_edge_litert.interpreter  # noqa: F401  so that a fork need not import it again

    occupy_descriptors()  # the pipe must not get the number of a standard stream
    context = multiprocessing.get_context(METHOD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(file, sender), daemon=True)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork while threads run; NumPy's idle threads hold no lock that the child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    try:
        # Bytes, not a pickled object, because a hostile model may control the child.
        if receiver.poll(seconds):
            outcome = receiver.recv_bytes(1000).decode(errors="replace")
        else:
            outcome = f"it did not end within {seconds:.0f} s"
    except (EOFError, OSError):
        process.join(1)
        code = process.exitcode
        outcome = "its process closed the pipe" if code is None else f"its process {describe_status(code)}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    if outcome != _PASSED:
        message = f"The TFLite model {file} does not run: {outcome.rstrip('.')}."
        raise KerasDrError(message, "Copy the bundle again from a source that you trust.")


def _report(file: Path, sender: "Connection") -> None:
    """In the other process: discard what the runtime prints, invoke the model and send the outcome."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # standard output and standard error
        os.dup2(devnull, stream)
    limit_process(MEMORY_MIB * 2**20, SECONDS)
    sender.send_bytes(_invoke(file).encode())


def _invoke(file: Path) -> str:
    """Invoke the model on noise; return `_PASSED`, or the reason in one line."""
    import numpy as np

    rng = np.random.default_rng(0)
    try:
        content = file.read_bytes()
        if content[4:8] != b"TFL3":
            return "the file is not a TFLite model"
        runner = load_runner(content, threads=1)
        inputs = {}
        for name, details in runner.get_input_details().items():
            inputs[name] = rng.integers(0, 256, details["shape"]).astype(details["dtype"])
        runner(**inputs)
    except Exception as error:  # a broken file can cause any error
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return _PASSED
