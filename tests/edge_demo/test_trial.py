"""edge_demo.trial: hostile and broken model files crash another process, not this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from edge_demo import trial
from edge_demo.trial import try_model
from keras_dr.core.errors import KerasDrError

MUTANTS = int(os.environ.get("KERAS_DR_MUTANTS", "12"))  # set it higher to try more
FIRST = int(os.environ.get("KERAS_DR_FIRST_MUTANT", "0"))


def test_a_sound_model_passes(bundle_folder: Path) -> None:
    try_model(bundle_folder / "int8.tflite")


def test_mutated_models_get_a_message_or_a_grade(bundle_folder: Path, tmp_path: Path, photograph: bytes) -> None:
    (tmp_path / "eye.jpg").write_bytes(photograph)
    script = ROOT / "tests" / "helpers" / "mutants.py"
    words = [sys.executable, script, bundle_folder, tmp_path / "eye.jpg", str(FIRST), str(MUTANTS)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60 + 10 * MUTANTS)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-2000:]}"
    assert len(lines) == MUTANTS
    assert all(line.endswith(" graded") or " refused: The " in line for line in lines)
    assert sum(" refused: " in line for line in lines) > MUTANTS // 4


@pytest.mark.parametrize("content", [b"", b"junk" * 20, b"\x1c\0\0\0TFL3" + b"\xff" * 60])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(KerasDrError, match=r"The TFLite model .* does not run: "):
        try_model(tmp_path / "x.tflite")


def test_a_trial_that_never_ends_is_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tflite")  # nothing writes to it
    with pytest.raises(KerasDrError, match="did not end within 1 s"):
        try_model(tmp_path / "x.tflite", seconds=1)


def test_where_there_is_no_fork_a_new_process_tries(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "METHOD", "spawn")
    try_model(bundle_folder / "float32.tflite")
