"""A command of cli.py in a process that a fault is to hit: python victim.py FAULT WORDS..., FAULT in JSON."""

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
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}  # audit events, as is "open"
_YEAR_S = 365 * 86400


@dataclass(frozen=True)
class Fault:
    """What happens to a process.

    Attributes:
        folder: where its changes of files are counted.
        die_at: it is killed (SIGKILL, by itself) just before so many changes; 0: never.
        count_to: file to write the number of changes to when it ends; none if empty.
        leaps: whether its clock leaps by years from one look to the next.
        file_bytes: no file may grow beyond it (RLIMIT_FSIZE); 0: as large as may be.
    """

    folder: str = "/nowhere"
    die_at: int = 0
    count_to: str = ""
    leaps: bool = False
    file_bytes: int = 0


NONE = Fault()


def run(words: Sequence[str], fault: Fault) -> int:
    """Run a command under a fault in this process; its exit code."""
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
    """Count changes of files below the fault's folder, and die before the chosen one."""
    changes = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            # what shutil.rmtree removes is named relative to a folder that it holds open
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
    """The clock shows the years 2000 to 2099 in any order. (What C++ reads is not changed, nor is time.monotonic.)"""
    draw, begin = random.Random(0), 946_684_800

    def leaping() -> float:
        return begin + draw.random() * 99 * _YEAR_S

    time.time = leaping
    time.time_ns = lambda: int(leaping() * 1e9)


class Process:
    """A started command, `fresh` with its own Python, or forked from this process, which has imported TensorFlow.

    It leads a group of processes. TensorFlow takes seconds to import, so drills fork; none of its operations may have
    run before, as its threads would be missing in the child.
    """

    def __init__(self, words: Sequence[str], log: Path, fault: Fault, fresh: bool) -> None:
        self.log, self._code = log, None
        if fresh:
            me = [sys.executable, str(Path(__file__)), json.dumps(asdict(fault)), *words]
            with log.open("wb") as stream:
                self._popen: subprocess.Popen[bytes] | None = subprocess.Popen(
                    me, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
                )
            self.pid = self._popen.pid
            return
        self._popen = None
        self.pid = os.fork()
        if not self.pid:
            _be_child(words, log, fault)

    def wait(self, timeout_s: float = 600) -> int | None:
        """Exit code, negative of the signal that killed it; None if it still runs then."""
        end = time.monotonic() + timeout_s
        while (code := self._poll()) is None and time.monotonic() < end:
            time.sleep(0.01)
        return code

    def kill(self, group: bool) -> None:
        """SIGKILL to it, or to it and its children at once."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)

    def messages(self) -> list[str]:
        """What it wrote to standard error, line by line."""
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
