"""The bare invoke of a grader: int8 compared with float32, and LiteRT with OpenVINO.

    python benchmarks/invoke.py [BUNDLE] [--repeats 200]

All ways run in one process and take turns, an invoke at a time: float32 and int8 on two threads, and float32 on one
thread by LiteRT and by OpenVINO (the extra `[onnx]`), which reads the bundle's ONNX file if it has one, otherwise its
TFLite file. Without BUNDLE, the shipped grader is measured.
"""

from collections.abc import Callable
from typing import Any

import common
import numpy as np

import keras_dr as dr
from edge_demo.interpreter import load_runner
from edge_demo.profiler import synthetic_photograph
from keras_dr.core.preprocessing import prepare_image

INT8_GOAL = 1.0
OPENVINO_GOAL = 1.05


def litert(bundle: dr.Bundle, variant: str, threads: int, image: np.ndarray) -> Callable[[], Any]:
    """Return the invoke of a variant in LiteRT's Interpreter."""
    runner = load_runner(bundle.model_path(variant), threads)
    return lambda: runner(image=image)


def openvino(bundle: dr.Bundle, image: np.ndarray) -> Callable[[], Any]:
    """Return the invoke of the float32 model in OpenVINO, on one thread."""
    import openvino as ov

    file = bundle.model_path("onnx" if "onnx" in bundle.models else "float32")
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(file, "CPU", settings | {"INFERENCE_PRECISION_HINT": "f32"})
    print(f"OpenVINO {ov.__version__.split('-')[0]} reads {file.name}")
    return lambda: model([image])


def main() -> None:
    """Parse, measure, print."""
    parser = common.parser(__doc__, repeats=200)
    parser.add_argument("bundle", nargs="?", default="idrid-lite")
    arguments = parser.parse_args()
    bundle = dr.Bundle.load(arguments.bundle)
    image = prepare_image(synthetic_photograph(), bundle.preprocessing)[None]
    two_threads = {variant: litert(bundle, variant, 2, image) for variant in ("float32", "int8")}
    one_thread = {"LiteRT": litert(bundle, "float32", 1, image), "OpenVINO": openvino(bundle, image)}
    for threads, ways in ((2, two_threads), (1, one_thread)):
        times = common.take_turns(ways, arguments.repeats)
        for name, seconds in times.items():
            low, median = 1000 * np.quantile(seconds[:, 0], (0, 0.5))
            print(f"{threads} threads, {name:8} median {median:6.1f} ms, least {low:6.1f} ms")
        base, other = (times[name][:, 0] for name in ways)
        if threads == 2:
            common.report("invoke of int8 / float32, 2 threads", "float32", other / base, at_most=INT8_GOAL)
        else:
            common.report("invoke of LiteRT / OpenVINO, 1 thread", "OpenVINO", base / other, at_most=OPENVINO_GOAL)


if __name__ == "__main__":
    main()
