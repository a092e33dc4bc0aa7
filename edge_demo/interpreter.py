"""The one place that loads a TFLite file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model says of n photographs.

    Attributes:
        probabilities: float (n, C), 0..1, rows summing to 1.
        heatmaps: float32 (n, h, w, C), class evidence, unnormalised.
    """

    probabilities: NDArray[np.floating]
    heatmaps: NDArray[np.float32]


def outputs_of_file(content: bytes, images: NDArray[np.uint8]) -> Outputs:
    """What a TFLite file says, by ai-edge-litert.

    Args:
        content: the file, as `variants.convert` makes it.
        images: uint8 RGB (n, S, S, 3).
    """
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    answers = [runner(image=image[None]) for image in images]
    return Outputs(*(np.concatenate([a[name] for a in answers]) for name in ("probabilities", "heatmaps")))
