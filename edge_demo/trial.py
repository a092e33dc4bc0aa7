"""Load a model and invoke it once in a process of its own, before it is trusted with this one.

A TFLite file is a program for the runtime: a broken or hostile one can end the process, fill the memory or never end.
The hash in the manifest tells of accidents; whoever makes a bundle also writes its hash.

    python -m edge_demo.trial MODEL.tflite
"""

import os
import subprocess
import sys
from pathlib import Path

from keras_dr.errors import KerasDrError

MEMORY_MIB = 4096  # of address space, of which a grader takes half a gigabyte
SECONDS = 30
_PASSED = "passed"


def try_model(file: Path, seconds: float = SECONDS) -> None:
    """See a model through one invoke in another process.

    Raises:
        KerasDrError: it could not be loaded or invoked, ended that process, or took too long or too much memory.
    """
    root = str(Path(__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "edge_demo.trial", str(file)]
    try:
        done = subprocess.run(
            command, capture_output=True, env={**os.environ, "PYTHONPATH": search}, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        found = f"one that did not end within {seconds:.0f} s"
    else:
        said = done.stdout.decode(errors="replace").strip().splitlines()[-1:] or [""]
        if done.returncode == 0 and said[0] == _PASSED:
            return
        found = said[0] or f"one that ended its process with {done.returncode}"
    raise KerasDrError(f"a TFLite model that runs in {file}", found, "Copy the bundle again from where you trust it.")


def _limit() -> None:
    """Keep this process within memory and time, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MIB * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _invoke(file: Path) -> str:
    """One invoke on zeros; `_PASSED` or why not, in a line."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    content = file.read_bytes()
    if content[4:8] != b"TFL3":
        return "a file that is no TFLite model"
    try:
        runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
        runner(**{name: np.zeros(one["shape"], one["dtype"]) for name, one in runner.get_input_details().items()})
    except Exception as error:  # whatever a broken file makes of the runtime
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return _PASSED


if __name__ == "__main__":
    _limit()
    print("\n" + _invoke(Path(sys.argv[1])), flush=True)
