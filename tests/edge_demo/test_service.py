"""The systemd unit for `watch`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_demo.arguments import parser

UNIT = Path(__file__).resolve().parents[2] / "docs" / "keras-dr-watch.service"


def command_line() -> list[str]:
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=").split()


def test_the_units_command_is_one_that_the_command_line_knows() -> None:
    arguments = parser().parse_args(command_line()[1:])
    assert (arguments.command, arguments.folder, arguments.once) == ("watch", Path("/srv/camera"), False)
    assert arguments.journal == Path("/var/lib/keras-dr/gradings.jsonl")


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing. Install the package systemd.")
    program = tmp_path / "keras-dr-edge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(command_line()[0], str(program)))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr  # warnings, such as of a key that systemd does not know
