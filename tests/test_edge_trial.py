"""edge_demo.trial: hostile and broken model files end another process, not this one."""

import os
import random
from pathlib import Path

import pytest

from edge_demo.trial import try_model
from keras_dr.errors import KerasDrError

MUTANTS = int(os.environ.get("KERAS_DR_MUTANTS", "12"))  # more for a longer hunt


def mutate(content: bytes, seed: int) -> bytes:
    """Cut off somewhere, or 1 to 64 bytes changed."""
    rng, mutant = random.Random(seed), bytearray(content)
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content))]
    for _ in range(rng.choice((1, 4, 16, 64))):
        mutant[rng.randrange(len(mutant))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
    return bytes(mutant)


def test_a_sound_model_passes(bundle_folder: Path) -> None:
    try_model(bundle_folder / "int8.tflite")


def test_mutated_models_get_a_message_or_pass(bundle_folder: Path, models: dict[str, bytes], tmp_path: Path) -> None:
    file, refused = tmp_path / "mutant.tflite", 0
    for seed in range(MUTANTS):
        file.write_bytes(mutate(models["float32"], seed))
        try:
            try_model(file, seconds=20)
        except KerasDrError as error:
            refused += 1
            assert str(error).startswith(f"Expected a TFLite model that runs in {file}; found ")
    assert refused > MUTANTS // 4


@pytest.mark.parametrize("content", [b"", b"junk" * 20, b"\x1c\0\0\0TFL3" + b"\xff" * 60])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(KerasDrError, match="a TFLite model that runs"):
        try_model(tmp_path / "x.tflite")
