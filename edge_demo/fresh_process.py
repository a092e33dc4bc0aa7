"""Runs work in a fresh process, which inherits nothing from this one and cannot crash it, and returns a JSON value.

REQUEST is JSON; further bytes are read from the standard input. The answer is the line of the standard output that
starts with `_MARK`; other lines, which a runtime may print, are ignored.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_demo.process_status import describe_status
from keras_dr.core.errors import KerasDrError

_MARK = "edge_demo.fresh_process:"


class ProcessEnded(KerasDrError):
    """A process ended, or was stopped because it took too long, before it answered."""


def ask(module: str, request: dict[str, Any], what: str, remedy: str, seconds: float, given: bytes = b"") -> Any:
    """Return the answer of `python -m MODULE REQUEST`.

    Args:
        module: a module that calls `answer(...)` when it is run.
        request: JSON value.
        what: a noun phrase that describes the work in an error message.
        remedy: what to do if the process crashes or does not end.
        seconds: how long the process may take.
        given: bytes for its standard input.

    Raises:
        KerasDrError: the work raised it.
        ProcessEnded: the process crashed or did not end.
    """
    root = str(Path(__file__).resolve().parents[1])
    search_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, json.dumps(request)],
            input=given,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": search_path},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessEnded(f"The process for {what} did not end within {error.timeout:.0f} s.", remedy) from error
    answers = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not answers:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").strip().splitlines()]
        own_lines = [line for line in lines if "qemu: uncaught target signal" not in line]  # it repeats the signal
        reason = own_lines[-1].rstrip(".") if own_lines else "no message"
        raise ProcessEnded(f"The process for {what} {describe_status(done.returncode)}: {reason}.", remedy)
    reply = json.loads(answers[-1][len(_MARK) :])
    if "error" in reply:
        message, remedy = reply["error"]
        raise KerasDrError(message, remedy)
    return reply["result"]


def answer(work: Callable[[dict[str, Any], bytes], Any]) -> None:
    """In the fresh process: do the work on the request and the bytes of the standard input, and print the answer."""
    reply: dict[str, Any]
    try:
        reply = {"result": work(json.loads(sys.argv[1]), sys.stdin.buffer.read())}
    except KerasDrError as error:
        reply = {"error": [error.message, error.remedy]}
    print("\n" + _MARK + json.dumps(reply), flush=True)
