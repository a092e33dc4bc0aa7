"""Variants of this project (ai-edge-quantizer on rounded weights) compared with those of TensorFlow's own converter.

    python benchmarks/quantisers.py RUN [PREPARED] [--variants float16,dynamic,int8] [--photographs 83] [--repeats 30]

Both start from the same graph and calibrate on the same training photographs. Both are compared with the float32 file
on the same validation photographs, and their invokes take turns. int16x8 runs on slow kernels: measure it separately,
with few photographs.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import common
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_dr as dr
from edge_demo import interpreter
from export import parity, variants
from export.activation_statistics import observe, pick_calibration
from export.float_layers import quantise_within
from export.graph import build_graph
from keras_dr.core.machine import usable_cores
from keras_dr.quiet import quiet

TAIL = ["SUM", "FULLY_CONNECTED", "SOFTMAX"]  # stay in float; otherwise probabilities would have only 256 steps


def by_tensorflow(graph: keras.Model, variant: str, calibration: np.ndarray) -> bytes:
    """Convert a variant with tf.lite.TFLiteConverter; the tail of int8 stays in float."""
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
    """Return the result of a call, and its seconds."""
    start = perf_counter()
    result = make()
    return result, perf_counter() - start


def invoke_ms(files: list[bytes], images: np.ndarray, repeats: int) -> np.ndarray:
    """Return milliseconds per invoke, float (repeats, files), on all cores; three rounds before are not counted.

    The files take turns.
    """
    threads = usable_cores()
    runners = [Interpreter(model_content=file, num_threads=threads).get_signature_runner() for file in files]
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
    arguments = parser.parse_args()
    run = dr.Run.load(arguments.run)
    data = run.own_set(arguments.prepared)
    train = data.split("train")
    validation = data.split("val")
    calibration = train.images(pick_calibration(train.labels()))
    images = validation.images(pick_calibration(validation.labels(), arguments.photographs))
    graph = build_graph(run.model(), run.temperature)
    content, trace_s = timed(lambda: variants.convert(graph))
    statistics, calibration_s = timed(lambda: observe(content, calibration))
    print(f"trace {trace_s:.1f} s, calibration {calibration_s:.1f} s, {len(images)} validation photographs")
    reference = interpreter.outputs_of_file(content, images)
    for name in arguments.variants.split(","):
        limits = parity.limits_of(run.recipe.parity)[name]
        ours, kept = quantise_within(content, name, statistics, calibration, limits)
        _, our_seconds = timed(partial(variants.quantise, content, name, statistics))
        with quiet():
            theirs, their_seconds = timed(partial(by_tensorflow, graph, name, calibration))
        rounds = invoke_ms([content, ours, theirs], images, arguments.repeats)
        float_ms, our_ms, their_ms = np.median(rounds, axis=0)
        print(f"{name}: float32 {float_ms:.1f} ms; kept in float: {len(kept)} operators")
        rows = (("ours", ours, our_seconds, our_ms), ("TensorFlow", theirs, their_seconds, their_ms))
        for label, file, seconds, ms in rows:
            figures = parity.agreement(reference, interpreter.outputs_of_file(file, images))
            words = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())
            cost = f"{len(file) / 2**20:.2f} MiB, {ms:.1f} ms ({ms / float_ms:.2f} of float32), made in {seconds:.0f} s"
            print(f"  {label:10} {cost}: {words}", flush=True)
        common.report(f"invoke of {name}, TensorFlow's / ours", "tf.lite.TFLiteConverter", rounds[:, 2] / rounds[:, 1])


if __name__ == "__main__":
    main()
