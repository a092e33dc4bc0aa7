"""Converts the float32 TFLite file to an ONNX file, for engines other than LiteRT.

The source is the TFLite file, not the Keras model, so that the ONNX file has the same weights, with the batch norms
folded in, and the same names: `image` uint8 (1, S, S, 3) -> `probabilities` float32 (1, C), `heatmaps` float32
(1, h, w, C). The packages of requirements-onnx.txt are needed. tf2onnx numbers the names inside the file and never
restarts the count: the first file of a process always has the same bytes, a second file has others.
"""

import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_demo.interpreter import Outputs
from export.tflite_graph import FloatModel
from keras_dr.core.errors import KerasDrError
from keras_dr.quiet import quiet

OPSET = 18  # from 2022: all recent engines read it, and the operators used here have not changed since
PACKAGES = ("onnx", "tf2onnx", "onnxruntime")


def check_packages() -> None:
    """Check that the packages that write and run ONNX files are installed.

    Raises:
        KerasDrError: a package is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise KerasDrError(
            f"An ONNX file needs the packages {', '.join(PACKAGES)}. Not installed: {', '.join(missing)}.",
            "Install them with pip install -r requirements-onnx.txt, or leave onnx out.",
        )


def to_onnx(content: bytes) -> bytes:
    """Convert a float32 TFLite file to an ONNX file.

    Args:
        content: content of the TFLite file, from `variants.convert`.
    """
    with quiet(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # tf2onnx uses an interpreter that TensorFlow has deprecated
        import tf2onnx

        file = Path(folder) / "float32.tflite"
        file.write_bytes(content)
        model, _ = tf2onnx.convert.from_tflite(str(file), opset=OPSET)
    names = FloatModel(content).signature()
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    return model.SerializeToString()


def onnx_outputs(content: bytes, images: NDArray[np.uint8]) -> Outputs:
    """Return the outputs of an ONNX file for photographs, computed by ONNX Runtime.

    Args:
        content: content of the file, from `to_onnx`.
        images: uint8 RGB (n, S, S, 3).
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    probabilities = []
    heatmaps = []
    for image in images:
        image_probabilities, image_heatmaps = session.run(["probabilities", "heatmaps"], {"image": image[None]})
        probabilities.append(image_probabilities)
        heatmaps.append(image_heatmaps)
    return Outputs(np.concatenate(probabilities), np.concatenate(heatmaps))
