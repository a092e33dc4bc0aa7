"""A short form of `make faults`. It runs only on Linux, because it needs fork, process groups and /proc."""

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).with_name("drill.py")
pytestmark = [
    pytest.mark.minutes,  # it starts commands as a user does: two minutes
    pytest.mark.skipif(sys.platform != "linux", reason="the drill forks and mounts"),
]


def test_no_result_is_lost() -> None:
    words = [sys.executable, str(DRILL), "--short", "--kills", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL" in done.stdout and "disk full" in done.stdout
