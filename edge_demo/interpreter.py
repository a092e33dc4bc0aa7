"""Loads TFLite files; no other module does."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.silence import discarded_stderr


@dataclass(frozen=True, eq=False)
class Outputs:
    """A model's outputs for n photographs.

    Attributes:
        probabilities: float (n, C), 0..1, rows summing to 1.
        heatmaps: float32 (n, h, w, C), class evidence, unnormalised.
    """

    probabilities: NDArray[np.floating]
    heatmaps: NDArray[np.float32]


def load_interpreter(model: Path | bytes, threads: int | None = None, keep_all_tensors: bool = False) -> Any:
    """Return LiteRT's interpreter of a model.

    Args:
        model: the file, or its content.
        threads: number of processor threads, 1 or more; by default LiteRT chooses.
        keep_all_tensors: whether the tensors between operators can be read after an invoke.

    Raises:
        ValueError, RuntimeError: LiteRT cannot read the model.
    """
    from ai_edge_litert.interpreter import Interpreter

    source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    with discarded_stderr(), warnings.catch_warnings():  # XNNPACK prints a line when it is created
        warnings.filterwarnings("ignore", "(?s).*experimental_preserve_all_tensors.*debugging")
        interpreter = Interpreter(**source, num_threads=threads, experimental_preserve_all_tensors=keep_all_tensors)
        interpreter.allocate_tensors()
        return interpreter


def load_runner(model: Path | bytes, threads: int | None = None) -> Any:
    """Return a function that runs the model's only signature; arguments and errors as for `load_interpreter`."""
    return load_interpreter(model, threads).get_signature_runner()


def outputs_of_file(content: bytes, images: NDArray[np.uint8]) -> Outputs:
    """Return the outputs of a bundle's TFLite file for photographs.

    Args:
        content: the file's content.
        images: uint8 RGB (n, S, S, 3).
    """
    runner = load_runner(content)
    answers = [runner(image=image[None]) for image in images]
    return Outputs(
        np.concatenate([answer["probabilities"] for answer in answers]),
        np.concatenate([answer["heatmaps"] for answer in answers]),
    )
