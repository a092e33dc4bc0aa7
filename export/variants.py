"""VARIANTS: name -> in how many bits the backbone's weights and activations are kept.

One trace of the model, float32, serves all; the others are made from that file. Every variant has the signature
serving_default: `image` uint8 (1, S, S, 3) -> `probabilities` float32 (1, C), `heatmaps` float32 (1, h, w, C).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from export.activation_statistics import Statistics
from export.onnx_file import check_packages
from export.rounding import round_weights
from export.tflite_graph import FloatModel
from keras_dr.core.errors import KerasDrError
from keras_dr.quiet import quiet


@dataclass(frozen=True)
class Variant:
    """A kind of TFLite file.

    Attributes:
        weight_bits: 32 and 16 are floats; 8 integers with a scale a channel.
        activation_bits: of integers with ranges from calibration; None for floats. With 8-bit weights and None the
            runtime quantises activations itself, anew for every photograph.
    """

    weight_bits: int
    activation_bits: int | None = None


# MobileNetV2 at 512 pixels fine-tuned on IDRiD, 83 validation photographs (int16x8: 12): agreement of grades, mean
# difference of probabilities, heat-map correlation, ms an invoke on 2 cores with VNNI and AMX (float32: 12.5), MiB.
#              ai-edge-quantizer alone      TensorFlow's converter    with weights as `rounding` leaves them
#     float16   .988  .0027  .999  12.9                               1.000  .0005  1.000   11.7  4.3
#     dynamic   .831  .0413  .900  39.9                               1.000  .0067   .994   37    2.4
#     int8      .819  .0449  .890   8.4      .819  .0428  .892         .976  .0084   .988    8.4  2.6
#     int16x8                                                         1.000  .0058   .998  711    2.7
# With int8 the two tools differ by less than their rounding costs; ai-edge-quantizer needs no second trace, and a tenth
# of a second where TensorFlow takes 15. `benchmarks/quantisers.py` compares them on any run.
VARIANTS: dict[str, Variant] = {
    "float32": Variant(32),
    "float16": Variant(16),
    "dynamic": Variant(8),
    "int8": Variant(8, 8),
    "int16x8": Variant(8, 16),
}


ONNX = "onnx"  # not among them: the float32 file for other engines than LiteRT, which a device does not need


def check_variants(names: Sequence[str]) -> list[str]:
    """The variants to write: each name once, and float32, which onnx is measured beside, where onnx is.

    Raises:
        KerasDrError: no name, one that is neither in `VARIANTS` nor `ONNX`, or ONNX without its packages.
    """
    unknown = [name for name in names if name not in (*VARIANTS, ONNX)]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "none"
        raise KerasDrError(f"variants among {', '.join((*VARIANTS, ONNX))}", found, "Correct --variants.")
    if ONNX in names:
        check_packages()
    once = list(dict.fromkeys(names))
    if ONNX in once and "float32" not in once:
        once.insert(once.index(ONNX), "float32")
    return once


def file_name(variant: str) -> str:
    """Of a variant's file in the bundle."""
    return "float32.onnx" if variant == ONNX else f"{variant}.tflite"


def convert(graph: keras.Model) -> bytes:
    """The float32 file of an inference graph; the same graph gives the same bytes.

    Args:
        graph: what `graph.build_graph` returns.

    Raises:
        KerasDrError: another Keras backend than TensorFlow.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise KerasDrError("Keras's TensorFlow backend", keras.backend.backend(), "Set KERAS_BACKEND=tensorflow.")
    with quiet():
        return tf.lite.TFLiteConverter.from_keras_model(graph).convert()


def quantise(content: bytes, variant: str, statistics: Statistics, kept: Collection[str] = ()) -> bytes:
    """A variant's file from the float32 file.

    Args:
        content: of float32, as `convert` makes it.
        variant: key of `VARIANTS`.
        statistics: of that file, from `calibration.observe`.
        kept: names of operators to keep in float.

    Returns:
        The TFLite file; for float32 `content` itself.
    """
    kind = VARIANTS[variant]
    if kind.weight_bits == 32:
        return content
    from ai_edge_quantizer import quantizer

    with quiet():
        rounded = round_weights(content, kind.weight_bits, statistics, kept)
        worker = quantizer.Quantizer(rounded, _recipe(rounded, kind, kept))
        ranges = {
            n: {"min": np.array([a], np.float32), "max": np.array([b], np.float32)}
            for n, (a, b) in statistics.ranges.items()
        }
        result = worker.quantize(ranges if kind.activation_bits else None, enable_progress_report=False)
        return bytes(result.quantized_model)


def _recipe(content: bytes, kind: Variant, kept: Collection[str]) -> list[dict]:
    """ai-edge-quantizer's rules: the variant's for all operators, then none for those outside the backbone and kept."""
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    rules, all_operators = RecipeManager(), TFLOperationName.ALL_SUPPORTED
    if kind.activation_bits:
        rules.add_static_config(".*", all_operators, kind.activation_bits, kind.weight_bits)
    elif kind.weight_bits == 8:
        rules.add_dynamic_config(".*", all_operators, kind.weight_bits)
    else:
        rules.add_weight_only_config(".*", all_operators, kind.weight_bits, algorithm_key="float_casting")
    model = FloatModel(content)
    quantised = {operator.name for operator in model.body()} - set(kept)
    for operator in model.operators:
        if operator.name not in quantised:
            # The name of an operator is matched with a semicolon behind it.
            rules.add_quantization_config(f"^{re.escape(operator.name)};", all_operators, None, "no_quantize")
    for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        rules.add_quantization_config(".*", edge, None, "no_quantize")
    return rules.get_quantization_recipe()
