"""The systemd unit for `watch`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_demo.arguments import parser
from keras_dr.core.errors import KerasDrError
from keras_dr.core.privacy import default_key_file

UNIT = Path(__file__).resolve().parents[2] / "docs" / "keras-dr-watch.service"


def command_line() -> list[str]:
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=").split()


def test_the_units_command_is_one_that_the_command_line_knows() -> None:
    arguments = parser().parse_args(command_line()[1:])
    assert (arguments.command, arguments.folder, arguments.once) == ("watch", Path("/srv/camera"), False)
    assert arguments.journal == Path("/var/lib/keras-dr/gradings.jsonl")
    assert arguments.key.parent == arguments.journal.parent  # the only folder that the unit may write to


def test_the_units_user_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(KerasDrError, match="no home folder to keep the key in"):
        default_key_file()


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
