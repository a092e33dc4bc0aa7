"""Work in a fresh process that answers with one JSON value: it inherits nothing, and its death ends no other process.

REQUEST is JSON; further bytes may come on the standard input. The answer is the one line of the standard output that
starts with `_MARK`, whatever else a runtime prints.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError

_MARK = "edge_demo.fresh_process:"


def ask(module: str, request: dict[str, Any], what: str, remedy: str, seconds: float, given: bytes = b"") -> Any:
    """Return the answer of `python -m MODULE REQUEST`.

    Args:
        module: a module that ends in `answer(...)`.
        request: JSON value.
        what: a noun phrase for the work, for the message of an error.
        remedy: what to do if the process dies or does not end.
        seconds: how long the process may take.
        given: bytes for its standard input.

    Raises:
        KerasDrError: the work raised it, or the process died or did not end.
    """
    root = str(Path(__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, json.dumps(request)],
            input=given,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": search},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise KerasDrError(f"The process for {what} did not end within {error.timeout:.0f} s.", remedy) from error
    answers = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not answers:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise KerasDrError(f"The process for {what} ended with {done.returncode}: {last[0].rstrip('.')}.", remedy)
    found = json.loads(answers[-1][len(_MARK) :])
    if "error" in found:
        message, remedy = found["error"]
        raise KerasDrError(message, remedy)
    return found["result"]


def answer(work: Callable[[dict[str, Any], bytes], Any]) -> None:
    """In the fresh process: do the work on the request and the bytes given, and print the answer."""
    found: dict[str, Any]
    try:
        found = {"result": work(json.loads(sys.argv[1]), sys.stdin.buffer.read())}
    except KerasDrError as error:
        found = {"error": [error.message, error.remedy]}
    print("\n" + _MARK + json.dumps(found), flush=True)
