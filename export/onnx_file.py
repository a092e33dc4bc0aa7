"""The float32 TFLite file as an ONNX file, for engines other than LiteRT.

It is made from the TFLite file itself, not from the model again: the same weights with the batch norms already in them,
and the same names: `image` uint8 (1, S, S, 3) -> `probabilities` float32 (1, C), `heatmaps` float32 (1, h, w, C).
Needs the packages of requirements-onnx.txt. tf2onnx counts the names inside the file on and on: the first one of a
process has the same bytes each time, a second one not.
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

OPSET = 18  # of 2022: read by every engine of the last years; the operators here have not changed since
PACKAGES = ("onnx", "tf2onnx", "onnxruntime")


def check_packages() -> None:
    """See that ONNX files can be written and checked here.

    Raises:
        KerasDrError: they cannot.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        remedy = "Install them with pip install -r requirements-onnx.txt, or leave onnx out."
        raise KerasDrError(f"the packages {', '.join(PACKAGES)} for an ONNX file", f"no {', '.join(missing)}", remedy)


def to_onnx(content: bytes) -> bytes:
    """The ONNX file of a float32 TFLite file.

    Args:
        content: as `variants.convert` makes it.
    """
    with quiet(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # tf2onnx reads the file with an interpreter that TensorFlow has deprecated
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
    """What an ONNX file says, by ONNX Runtime.

    Args:
        content: the file, as `to_onnx` makes it.
        images: uint8 RGB (n, S, S, 3).
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = [session.run(["probabilities", "heatmaps"], {"image": image[None]}) for image in images]
    return Outputs(*(np.concatenate(part) for part in zip(*answers, strict=True)))
