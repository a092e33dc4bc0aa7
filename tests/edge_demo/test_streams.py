"""Commands whose standard output or standard error is closed, full or of another encoding."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

NAME = "患者_1.jpg"
ESCAPED = r"\u60a3\u8005_1.jpg"


@pytest.fixture
def named(tmp_path: Path, photograph: bytes) -> Path:
    """A folder with a photograph whose name needs Unicode."""
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / NAME).write_bytes(photograph)
    return folder


def run(words: list[object], **options: object) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS` and capture its output, unless an option says otherwise."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run([sys.executable, *map(str, words)], **{"cwd": ROOT, "text": True, **pipes, **options})


def run_without_reader(words: list[object], errors_too: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a device's command, of whose output nobody reads a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        streams = {"stdout": writer, **({"stderr": writer} if errors_too else {})}
        return run(["-m", "edge_demo", *words], **streams)
    finally:
        os.close(writer)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_a_name_that_the_output_cannot_encode_is_escaped(bundle_folder: Path, named: Path, tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = run(["-m", "edge_demo", "grade", bundle_folder, named, "--csv", table], env=environment)
    assert done.returncode == 0, done.stderr
    assert f"{ESCAPED}: proliferative" in done.stdout
    assert [Path(row["path"]).name for row in rows_of(table)] == [NAME]


@pytest.mark.parametrize("errors_too", [False, True])
def test_a_reader_that_is_gone_costs_no_file(
    errors_too: bool, bundle_folder: Path, named: Path, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("r.csv", "r.json")]
    words = ["grade", bundle_folder, named, named / "none.jpg", "--csv", files[0], "--json", files[1]]
    done = run_without_reader(words, errors_too)
    assert done.returncode == 1
    assert errors_too or done.stderr.count("\n") == 1  # of none.jpg
    assert all(file.exists() for file in files)
    assert [bool(row["error"]) for row in rows_of(files[0])] == [False, True]


def test_a_reader_that_is_gone_ends_a_grading_that_writes_no_file(bundle_folder: Path, named: Path) -> None:
    done = run_without_reader(["grade", bundle_folder, named, named / "none.jpg"])
    assert (done.returncode, done.stderr) == (1, "")


def test_a_reader_that_is_gone_costs_no_profile(bundle_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    words = ["profile", bundle_folder, "--variants", "int8", "--threads", "1", "--repeats", "2", "--json", file]
    done = run_without_reader(words)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(file.read_text())["measurements"]


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors before the program starts")
@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_streams_that_are_closed_cost_no_result(
    closed: tuple[int, ...], bundle_folder: Path, named: Path, tmp_path: Path
) -> None:
    table = tmp_path / "r.csv"
    words = ["-m", "edge_demo", "grade", bundle_folder, named, named / "none.jpg", "--csv", table]
    done = run(words, preexec_fn=lambda: [os.close(number) for number in closed])
    assert done.returncode == 1
    assert [bool(row["error"]) for row in rows_of(table)] == [False, True]
    assert ("proliferative" in done.stdout) == (1 not in closed)
    assert ("none.jpg" in done.stderr) == (2 not in closed) and "none.jpg" not in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors before the program starts")
def test_a_library_call_with_closed_streams_grades(bundle_folder: Path, named: Path, tmp_path: Path) -> None:
    model = str(bundle_folder / "int8.tflite")
    code = f"""
from pathlib import Path
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.trial import try_model
try_model(Path({model!r}))
grade = Grader(Bundle.load({str(bundle_folder)!r})).grade({str(named / NAME)!r}).grade
Path({str(tmp_path / "grade.txt")!r}).write_text(grade)
"""
    assert run(["-c", code], preexec_fn=lambda: [os.close(number) for number in (1, 2)]).returncode == 0
    assert (tmp_path / "grade.txt").read_text() == "proliferative"


@pytest.mark.parametrize("program", [["cli.py"], ["-m", "keras_dr"]])
def test_the_workstation_escapes_it_too(program: list[object], tmp_path: Path) -> None:
    recipe = tmp_path / "患者.yaml"
    recipe.write_bytes((ROOT / "recipes" / "idrid.yaml").read_bytes())
    done = run([*program, "recipe", "check", recipe], env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert r"\u60a3\u8005.yaml: ok" in done.stdout


def test_the_users_choice_of_replacement_stays() -> None:
    code = "from keras_dr.core.streams import prepare_streams as prepare; prepare(); print('\\u60a3')"
    assert run(["-c", code], env=os.environ | {"PYTHONIOENCODING": "cp1252:replace"}).stdout == "?\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_reported_once_and_is_a_failure(bundle_folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = run(["-m", "edge_demo", "points", bundle_folder], stdout=full, env=environment)
    assert done.returncode == 1
    assert done.stderr == (
        "error: [Errno 28] No space left on device. Check the name, the permissions and the free space.\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_of_messages_costs_no_file(bundle_folder: Path, named: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = ["-m", "edge_demo", "grade", bundle_folder, named, "--csv", tmp_path / "r.csv"]
        done = run(words, stdout=full)
    assert done.returncode == 1
    assert "Not all messages could be written: No space left on device." in done.stderr
    assert len(rows_of(tmp_path / "r.csv")) == 1
