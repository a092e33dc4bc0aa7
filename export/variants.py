"""VARIANTS: name -> how the inference graph becomes a TFLite file.

Every variant has the signature serving_default: `image` uint8 (1, S, S, 3) -> `probabilities` float32 (1, C),
`heatmaps` float32 (1, h, w, C).
"""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from export.graph import TAIL
from keras_dr.errors import KerasDrError

Photographs = NDArray[np.uint8]


def pick_calibration(labels: NDArray[np.integer], count: int = 100, seed: int = 42) -> NDArray[np.int64]:
    """Photographs to calibrate with, classes in proportion.

    Args:
        labels: int (n,), class indices of the training photographs.
        count: how many to take; all of them where there are fewer.
        seed: of the choice within a class.

    Returns:
        int64 (min(count, n),), indices into `labels`, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))  # of a photograph in its class, 0..1: the lowest `count` hold classes in proportion
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(order[np.argsort(place[order], kind="stable")][:count]).astype(np.int64)


def convert(variant: str, graph: keras.Model, calibration: Photographs) -> bytes:
    """Convert an inference graph; the same graph and photographs give the same bytes.

    Args:
        variant: key of `VARIANTS`.
        graph: what `graph.build_graph` returns.
        calibration: uint8 RGB (n, S, S, 3), n >= 1, training photographs; int8 takes its ranges from them.

    Returns:
        The TFLite file.

    Raises:
        KerasDrError: unknown variant, or another Keras backend than TensorFlow.
    """
    check_variants([variant])
    if keras.backend.backend() != "tensorflow":
        raise KerasDrError("Keras's TensorFlow backend", keras.backend.backend(), "Set KERAS_BACKEND=tensorflow.")
    with _quiet():
        return VARIANTS[variant](graph, calibration)


def check_variants(names: list[str]) -> None:
    """Refuse an empty list and names that are not in `VARIANTS`.

    Raises:
        KerasDrError: so it is.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "none"
        raise KerasDrError(f"variants among {', '.join(VARIANTS)}", found, "Correct --variants.")


def _float32(graph: keras.Model, calibration: Photographs) -> bytes:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(graph).convert()


def _int8(graph: keras.Model, calibration: Photographs) -> bytes:
    """Weights (a scale a channel) and activations int8 from the input to the heat maps; `TAIL` in float.

    MobileNetV2 at 224 pixels, ImageNet weights, head fitted to IDRiD, 100 calibration and 150 other photographs;
    difference of probabilities from the float model, agreement of grades, heat-map correlation, seconds:

        TFLiteConverter, this function       largest .106  mean .0170  .933  .985  15
        TFLiteConverter, all int8            largest .103  mean .0171  .933  .985  14
        ai-edge-quantizer 0.10, softmax float          no probabilities  .913  .965  10

    The last (static int8, defaults) gave outputs outside 0..1, and with the mean in float as well tensors without data;
    its all-int8 recipe was not measured, as its softmax has 256 steps.
    `QuantizationDebugger` is TensorFlow's public way to except operations from quantisation.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(graph)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # The two flat images make the input's range 0..255, so its scale 1: no rounding of the photograph.
    flat = [np.full_like(calibration[0], value) for value in (0, 255)]
    converter.representative_dataset = lambda: ([image[None]] for image in (*flat, *calibration))
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(TAIL)),
    )
    return debugger.get_nondebug_quantized_model()


VARIANTS: dict[str, Callable[[keras.Model, Photographs], bytes]] = {"float32": _float32, "int8": _int8}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the converter prints, also from C++; if it fails, print it to stderr after all."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*tf\.lite\.Interpreter is deprecated")
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
        kept = [(number, os.dup(number)) for number in (1, 2)]
        failed = True
        try:
            for number, _ in kept:
                os.dup2(log.fileno(), number)
            with contextlib.redirect_stdout(open(os.devnull, "w")) as nowhere, nowhere:  # noqa: PTH123
                yield
            failed = False
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))
