"""Bundles with mutated models, their hashes made to fit, graded as `edge_demo grade` would; a line each.

    python tests/helpers/mutants.py BUNDLE PHOTOGRAPH FIRST COUNT

Prints "SEED graded", "SEED refused: MESSAGE" or, where a message is missing, "SEED not told of: EXCEPTION". If this
process ends early, the seed after the last line is to blame.
"""

import hashlib
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ai_edge_litert import interpreter  # noqa: F401  here, so that no child has to

from edge_demo.bundle import Bundle
from edge_demo.grader import Grader
from edge_demo.trial import try_model
from keras_dr.core.errors import KerasDrError

SECONDS = 10


def mutate(content: bytes, seed: int) -> bytes:
    """Cut off somewhere, or 1 to 64 bytes changed: most of many changes the runtime finds by itself."""
    rng, mutant = random.Random(seed), bytearray(content)
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content))]
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        mutant[rng.randrange(len(mutant))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
    return bytes(mutant)


def grade(folder: Path, content: bytes, photograph: bytes) -> str:
    """What becomes of a model file."""
    (folder / "float32.tflite").write_bytes(content)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["models"]["float32"] |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    try:
        bundle = Bundle.load(folder)
        try_model(bundle.model_path("float32"), SECONDS)
        Grader(bundle, "float32", threads=1).grade(photograph, "eye").overlay()
    except KerasDrError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"not told of: {error!r}"
    return "graded"


def main(folder: Path, photograph: Path, first: int, count: int) -> None:
    """Grade with mutants `first` to `first + count - 1` of the int8 model, which take the float32 one's place."""
    content, eye = (folder / "int8.tflite").read_bytes(), photograph.read_bytes()
    for seed in range(first, first + count):
        print(seed, grade(folder, mutate(content, seed), eye), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
