"""edge_demo.watch: each photograph once, when it is complete, also across restarts."""

import json
from pathlib import Path

import pytest

from edge_demo import __main__ as command
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.watch import watch
from keras_dr.core.errors import KerasDrError


@pytest.fixture
def grader(bundle_folder: Path) -> Grader:
    return Grader(Bundle.load(bundle_folder))


def lines(journal: Path) -> list[dict]:
    return [json.loads(line) for line in journal.read_text().splitlines() if line.startswith("{") and line[-1] == "}"]


def test_each_photograph_once_also_after_a_restart(grader: Grader, camera: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    for _ in range(2):
        watch(grader, camera, journal, 0.01, rounds=3)
    assert [line["file"] for line in lines(journal)] == ["a.jpg", "broken.png", "left/a.JPG"]
    assert "error" in lines(journal)[1] and lines(journal)[0]["action"] == "refer: by grade"


def test_a_file_that_still_grows_waits(grader: Grader, tmp_path: Path, photograph: bytes) -> None:
    folder = tmp_path / "in"
    journal = tmp_path / "journal.jsonl"
    folder.mkdir()
    file = folder / "eye.jpg"
    file.write_bytes(photograph[:1000])
    waits = 0

    def grow(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits < 4:
            file.write_bytes(photograph[: len(photograph) * waits // 3])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_demo.watch.sleep", grow)
        watch(grader, folder, journal, rounds=7)
    (line,) = lines(journal)
    assert line["bytes"] == len(photograph) and "grade" in line


def test_a_journal_cut_by_a_power_failure_goes_on(grader: Grader, camera: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    watch(grader, camera, journal, 0.01, rounds=2)
    journal.write_bytes(journal.read_bytes()[:-20])
    watch(grader, camera, journal, 0.01, rounds=2)
    assert [line["file"] for line in lines(journal)] == ["a.jpg", "broken.png", "left/a.JPG"]


def test_cli_watch_once(bundle_folder: Path, camera: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["watch", str(bundle_folder), str(camera), "--once", "--interval", "0.01"]) == 0
    assert "a.jpg: proliferative, action: refer" in capsys.readouterr().out
    assert len(lines(camera / "gradings.jsonl")) == 3


@pytest.mark.parametrize("interval", ["-1", "nan", "inf", "1e300", "soon"])
def test_cli_watch_checks_its_interval(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["watch", "bundle", "folder", f"--interval={interval}"])
    assert "not a number of seconds from 0" in capsys.readouterr().err


def test_no_folder_to_watch(grader: Grader, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match=r"There is no folder .* to watch"):
        watch(grader, tmp_path / "none", tmp_path / "journal.jsonl", rounds=1)
