"""One engine in a process of its own: `engines.compare_engines` starts `python -m export.engine_process REQUEST`.

REQUEST is JSON (engine, file, size, threads, repeats). The photograph, uint8 RGB (S, S, 3), is read from the standard
input.
"""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_demo.fresh_process import answer
from edge_demo.interpreter import load_runner
from edge_demo.measurement import WARM_UP, peak_rss_mib, timing

Invoke = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # uint8 RGB (1, S, S, 3) -> probabilities (1, C)


def _litert(file: str, threads: int) -> Invoke:
    runner = load_runner(Path(file), threads)
    return lambda image: runner(image=image)["probabilities"]


def _onnxruntime(file: str, threads: int) -> Invoke:
    """Load a file into ONNX Runtime with its default settings: all optimisations, one operator after the other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["probabilities", "heatmaps"], {"image": image})[0]


def _openvino(file: str, threads: int) -> Invoke:
    """Load a file into OpenVINO for one photograph at a time, in float32; its default may be bfloat16."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(file, "CPU", settings)
    output = model.output("probabilities")
    return lambda image: model({"image": image})[output]


LITERT = "litert"
# Name -> its package, and the function that loads a file for a number of threads.
ENGINES: dict[str, tuple[str, Callable[[str, int], Invoke]]] = {
    LITERT: ("ai-edge-litert", _litert),
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "openvino": ("openvino", _openvino),
}


def _measure(request: dict[str, Any], pixels: bytes) -> dict[str, Any]:
    """Return the measured fields of `engines.EngineTime`, and the probabilities."""
    package, load = ENGINES[request["engine"]]
    image = np.frombuffer(pixels, np.uint8).reshape(1, request["size"], request["size"], 3)
    start = perf_counter()
    invoke = load(request["file"], request["threads"])
    load_ms = (perf_counter() - start) * 1000
    for _ in range(WARM_UP):
        probabilities = invoke(image)
    times_ms = []
    for _ in range(request["repeats"]):
        start = perf_counter()
        invoke(image)
        times_ms.append((perf_counter() - start) * 1000)
    return {
        "version": version(package),
        "load_ms": load_ms,
        "invoke": timing(np.array(times_ms)),
        "peak_rss_mib": peak_rss_mib(),
        "probabilities": np.asarray(probabilities)[0].tolist(),
    }


if __name__ == "__main__":
    answer(_measure)
