"""A device's command line whose standard output or standard error is closed, full or of another encoding."""

import csv
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


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_a_name_that_the_output_cannot_encode_is_escaped(bundle_folder: Path, named: Path, tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = run(["-m", "edge_demo", "grade", bundle_folder, named, "--csv", table], env=environment)
    assert done.returncode == 0, done.stderr
    assert f"{ESCAPED}: proliferative" in done.stdout
    assert [Path(row["path"]).name for row in rows_of(table)] == [NAME]


@pytest.mark.parametrize("program", [["cli.py"], ["-m", "keras_dr"]])
def test_the_workstation_escapes_it_too(program: list[object], tmp_path: Path) -> None:
    recipe = tmp_path / "患者.yaml"
    recipe.write_bytes((ROOT / "recipes" / "idrid.yaml").read_bytes())
    done = run([*program, "recipe", "check", recipe], env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert r"\u60a3\u8005.yaml: ok" in done.stdout


def test_the_users_choice_of_replacement_stays() -> None:
    code = "from keras_dr.core.streams import escape_unencodable as prepare; prepare(); print('\\u60a3')"
    assert run(["-c", code], env=os.environ | {"PYTHONIOENCODING": "cp1252:replace"}).stdout == "?\n"
