"""Each variant by this project (ai-edge-quantizer on weights rounded beforehand) against TensorFlow's own converter.

    python benchmarks/quantisers.py RUN [PREPARED] [--variants float16,dynamic,int8] [--photographs 83] [--repeats 30]

Both start from one graph and calibrate on the same training photographs; both are compared with the float32 file on the
same validation photographs, and their invokes take turns. int16x8 runs on slow kernels: name it alone, and few
photographs.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import common
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from edge_demo import interpreter
from export import parity, variants
from export.activation_statistics import observe, pick_calibration
from export.float_layers import quantise_within
from export.graph import build_graph
from keras_dr.core.machine import usable_cores
from keras_dr.training.run import Run

TAIL = ["SUM", "FULLY_CONNECTED", "SOFTMAX"]  # in float, or probabilities have 256 steps


def by_tensorflow(graph: keras.Model, variant: str, calibration: np.ndarray) -> bytes:
    """A variant by tf.lite.TFLiteConverter, the tail of int8 in float."""
    converter = tf.lite.TFLiteConverter.from_keras_model(graph)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant in ("int8", "int16x8"):
        flat = [np.full_like(calibration[0], value) for value in (0, 255)]
        converter.representative_dataset = lambda: ([image[None]] for image in (*flat, *calibration))
    if variant == "int16x8":
        kinds = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
            kinds.TFLITE_BUILTINS,
        ]
    if variant == "int8":
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=TAIL)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()
    return converter.convert()


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a call makes, and in how many seconds."""
    start = perf_counter()
    content = make()
    return content, perf_counter() - start


def invoke_ms(files: list[bytes], images: np.ndarray, repeats: int) -> np.ndarray:
    """Milliseconds an invoke, float (repeats, files), all cores; the files take turns, three rounds are not counted."""
    runners = [Interpreter(model_content=f, num_threads=usable_cores()).get_signature_runner() for f in files]
    times = np.empty((repeats + 3, len(files)))
    for row in range(repeats + 3):
        for column, runner in enumerate(runners):
            start = perf_counter()
            runner(image=images[row % len(images)][None])
            times[row, column] = 1000 * (perf_counter() - start)
    return times[3:]


def main() -> None:
    """Parse, convert, compare, print."""
    parser = common.parser(__doc__, photographs=83, repeats=30)
    parser.add_argument("run", type=Path)
    parser.add_argument("prepared", nargs="?", type=Path)
    parser.add_argument("--variants", default="float16,dynamic,int8")
    given = parser.parse_args()
    run = Run.load(given.run)
    data = run.own_set(given.prepared)
    train, val = data.split("train"), data.split("val")
    calibration = train.images(pick_calibration(train.labels()))
    images = val.images(pick_calibration(val.labels(), given.photographs))
    graph = build_graph(run.model(), run.temperature)
    content, seconds = timed(lambda: variants.convert(graph))
    statistics, observed = timed(lambda: observe(content, calibration))
    print(f"trace {seconds:.1f} s, calibration {observed:.1f} s, {len(images)} validation photographs")
    reference = interpreter.outputs_of_file(content, images)
    for name in given.variants.split(","):
        limits = parity.limits_of(run.recipe.parity)[name]
        ours, kept = quantise_within(content, name, statistics, calibration, limits)
        seconds = timed(lambda name=name: variants.quantise(content, name, statistics))[1]
        with variants.quiet():
            theirs, their_seconds = timed(lambda name=name: by_tensorflow(graph, name, calibration))
        rounds = invoke_ms([content, ours, theirs], images, given.repeats)
        times = np.median(rounds, axis=0)
        print(f"{name}: float32 {times[0]:.1f} ms; kept in float: {len(kept)} operators")
        rows = (("ours", ours, seconds, times[1]), ("TensorFlow", theirs, their_seconds, times[2]))
        for label, file, spent, ms in rows:
            f = parity.agreement(reference, interpreter.outputs_of_file(file, images))
            figures = (f"{key.replace('_', ' ')} {value:.4f}" for key, value in f.items())
            cost = f"{len(file) / 2**20:.2f} MiB, {ms:.1f} ms ({ms / times[0]:.2f} of float32), made in {spent:.0f} s"
            print(f"  {label:10} {cost}: {', '.join(figures)}", flush=True)
        common.report(f"invoke of {name}, TensorFlow's / ours", "tf.lite.TFLiteConverter", rounds[:, 2] / rounds[:, 1])


if __name__ == "__main__":
    main()
