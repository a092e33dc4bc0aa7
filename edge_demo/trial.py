"""Load a model and invoke it in a process of its own, before it is trusted with this one.

A TFLite file is a program for the runtime: a broken or hostile one can end the process, fill the memory or never end.
The hash in the manifest reveals accidents only: whoever makes a bundle also writes its hash.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edge_demo.interpreter import load_runner
from keras_dr.core.errors import KerasDrError
from keras_dr.core.limits import limit_process

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MEMORY_MIB = 4096  # beyond what the process holds; a grader takes half a gigabyte
SECONDS = 30
METHOD = "fork" if sys.platform == "linux" else "spawn"  # a fork is ready in milliseconds, a new Python after a second
_PASSED = "passed"


def try_model(file: Path, seconds: float = SECONDS) -> None:
    """Load a model and invoke it once, in another process.

    Raises:
        KerasDrError: it could not be loaded or invoked, ended that process, or took too long or too much memory.
    """
    import multiprocessing  # slow, and not needed for --help

    import ai_edge_litert.interpreter  # noqa: F401  so that a fork has it, and need not read it again

    context = multiprocessing.get_context(METHOD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(file, sender), daemon=True)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; NumPy's idle ones hold no lock that the child waits for.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    try:
        # Bytes, not a pickled object: the child may have lost control of itself.
        found = receiver.recv_bytes(1000).decode(errors="replace") if receiver.poll(seconds) else _too_long(seconds)
    except (EOFError, OSError):
        process.join(1)
        found = f"its process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    if found != _PASSED:
        message = f"The TFLite model {file} does not run: {found.rstrip('.')}."
        raise KerasDrError(message, "Copy the bundle again from where you trust it.")


def _too_long(seconds: float) -> str:
    return f"it did not end within {seconds:.0f} s"


def _report(file: Path, sender: "Connection") -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the runtime's own lines, and those of a crash
        os.dup2(nowhere, stream)
    limit_process(MEMORY_MIB * 2**20, SECONDS)
    sender.send_bytes(_invoke(file).encode())


def _invoke(file: Path) -> str:
    """Invoke the model on noise; return `_PASSED`, or the reason in one line."""
    import numpy as np

    rng = np.random.default_rng(0)
    try:
        content = file.read_bytes()
        if content[4:8] != b"TFL3":
            return "the file is no TFLite model"
        runner = load_runner(content, threads=1)
        inputs = runner.get_input_details().items()
        runner(**{name: rng.integers(0, 256, one["shape"]).astype(one["dtype"]) for name, one in inputs})
    except Exception as error:  # whatever a broken file makes of the runtime
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return _PASSED
