"""A short fuzzing of each kind of file that is read; `make fuzz` tries ten thousand cases of each."""

import os
import sys
from pathlib import Path

import pytest
from hunt import hunt
from targets import TARGETS

CASES = int(os.environ.get("KERAS_DR_FUZZ_CASES", "200"))
_SLOW = ("keras", "tflite", "run.json")  # import TensorFlow or Keras first


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name for name in TARGETS]
)
def test_no_case_does_more_than_be_refused(name: str, tmp_path: Path) -> None:
    cases = min(CASES, 30) if name == "keras" else CASES
    tally = hunt(name, cases, seed=1, folder=tmp_path)
    findings = tmp_path / "findings.jsonl"
    assert tally.sound, f"{tally}\n{findings.read_text() if findings.exists() else ''}"
    assert tally.refused and tally.accepted
    assert tally.refused + tally.accepted == tally.cases >= cases
