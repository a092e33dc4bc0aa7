"""Work in a fresh process that answers with one JSON value: it inherits nothing, and takes nobody with it if it dies.

REQUEST is JSON, more bytes may come on the standard input. The answer is the one line of the standard output that
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
    """What `python -m MODULE REQUEST` answers.

    Args:
        module: a module that ends in `answer(...)`.
        request: JSON value.
        what: the work in words, for the message of an error.
        remedy: what to do where it dies or does not end.
        seconds: how long it may take.
        given: for its standard input.

    Raises:
        KerasDrError: the one that was raised there, or that the process died or did not end.
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
        raise KerasDrError(what, f"no end after {error.timeout:.0f} s", remedy) from error
    answers = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not answers:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise KerasDrError(what, f"a process that ended with {done.returncode}: {last[0]}", remedy)
    found = json.loads(answers[-1][len(_MARK) :])
    if "error" in found:
        raise KerasDrError(*found["error"])
    return found["result"]


def answer(work: Callable[[dict[str, Any], bytes], Any]) -> None:
    """In the fresh process: do the work on the request and the bytes given, and print the answer."""
    found: dict[str, Any]
    try:
        found = {"result": work(json.loads(sys.argv[1]), sys.stdin.buffer.read())}
    except KerasDrError as error:
        found = {"error": error.__reduce__()[1]}
    print("\n" + _MARK + json.dumps(found), flush=True)
