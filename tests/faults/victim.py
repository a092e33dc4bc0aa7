"""Runs a command of cli.py in a process that a fault hits: python victim.py FAULT WORDS..., with FAULT as JSON."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}  # audit events, in addition to "open"
_YEAR_S = 365 * 86400


@dataclass(frozen=True)
class Fault:
    """A fault of a process.

    Attributes:
        folder: the folder in which its changes of files are counted.
        die_at: number of the change before which the process kills itself (SIGKILL); 0: never.
        count_to: file to write the number of changes to at the end; none if empty.
        leaps: whether the clock shows another year at each call.
        file_bytes: largest size of a file (RLIMIT_FSIZE); 0: unlimited.
    """

    folder: str = "/nowhere"
    die_at: int = 0
    count_to: str = ""
    leaps: bool = False
    file_bytes: int = 0


NONE = Fault()


def run(words: Sequence[str], fault: Fault) -> int:
    """Run a command with a fault in this process, and return its exit code."""
    if fault.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_bytes, resource.RLIM_INFINITY))
    if fault.leaps:
        _let_clock_leap()
    changes = _watch_changes(fault)
    import cli

    sys.argv = ["cli.py", *words]
    code: Any = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    if fault.count_to:
        Path(fault.count_to).write_text(str(changes[0]))
    return code or 0


def _watch_changes(fault: Fault) -> list[int]:
    """Count changes of files below the fault's folder, and kill the process before the chosen change."""
    changes = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            # shutil.rmtree names files relative to a folder that it holds open
            counts = str(arguments[0]).startswith(fault.folder) or not str(arguments[0]).startswith("/")
        else:
            counts = event == "open" and str(arguments[0]).startswith(fault.folder)
            counts = counts and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if counts:
            changes[0] += 1
            if changes[0] == fault.die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return changes


def _let_clock_leap() -> None:
    """Let Python's clock show random times from 2000 to 2099; time.monotonic and C++'s clocks do not change."""
    rng = random.Random(0)
    year_2000_s = 946_684_800

    def leaping() -> float:
        return year_2000_s + rng.random() * 99 * _YEAR_S

    time.time = leaping
    time.time_ns = lambda: int(leaping() * 1e9)


class Process:
    """A started command: `fresh` in a new Python, or forked from this process, which has imported TensorFlow.

    It leads a group of processes. Drills fork because the import of TensorFlow takes seconds. No operation of
    TensorFlow may have run before the fork, because its threads would be missing in the child.
    """

    def __init__(self, words: Sequence[str], log: Path, fault: Fault, fresh: bool) -> None:
        self.log = log
        self._code: int | None = None
        if fresh:
            command = [sys.executable, str(Path(__file__)), json.dumps(asdict(fault)), *words]
            with log.open("wb") as stream:
                self._popen: subprocess.Popen[bytes] | None = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
                )
            self.pid = self._popen.pid
            return
        self._popen = None
        self.pid = os.fork()
        if not self.pid:
            _be_child(words, log, fault)

    def wait(self, timeout_s: float = 600) -> int | None:
        """Return the exit code, or minus the signal that killed it; None if it still runs after the timeout."""
        end = time.monotonic() + timeout_s
        while (code := self._poll()) is None and time.monotonic() < end:
            time.sleep(0.01)
        return code

    def kill(self, group: bool) -> None:
        """Send SIGKILL to the process, or to the process and its children."""
        if group:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)

    def messages(self) -> list[str]:
        """Return the lines of its standard error."""
        return [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]

    def _poll(self) -> int | None:
        if self._popen:
            return self._popen.poll()
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def _be_child(words: Sequence[str], log: Path, fault: Fault) -> None:
    code = 70
    try:
        os.setsid()
        for number, name in ((1, os.devnull), (2, str(log))):
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, number)
        code = run(words, fault)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], Fault(**json.loads(sys.argv[1]))))
