"""VARIANTS: name -> the number of bits of the backbone's weights and activations.

The model is traced once, to float32; the other variants are made from that file. Every variant has the signature
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
        weight_bits: 32 or 16 for floats, 8 for integers with one scale per channel.
        activation_bits: bits of integers with ranges from calibration; None for floats. With 8-bit weights and None
            the runtime itself quantises the activations of every photograph.
    """

    weight_bits: int
    activation_bits: int | None = None


# MobileNetV2 at 512 pixels fine-tuned on IDRiD, 83 validation photographs (int16x8: 12): agreement of grades, mean
# difference of probabilities, heat-map correlation, ms per invoke on 2 cores with VNNI and AMX (float32: 12.5), MiB.
#              ai-edge-quantizer alone      TensorFlow's converter    with weights rounded by `rounding`
#     float16   .988  .0027  .999  12.9                               1.000  .0005  1.000   11.7  4.3
#     dynamic   .831  .0413  .900  39.9                               1.000  .0067   .994   37    2.4
#     int8      .819  .0449  .890   8.4      .819  .0428  .892         .976  .0084   .988    8.4  2.6
#     int16x8                                                         1.000  .0058   .998  711    2.7
# For int8, the two tools differ by less than the loss from rounding to nearest. ai-edge-quantizer needs no second
# trace, and takes a tenth of a second instead of TensorFlow's 15 seconds. `benchmarks/quantisers.py` compares them on
# any run.
VARIANTS: dict[str, Variant] = {
    "float32": Variant(32),
    "float16": Variant(16),
    "dynamic": Variant(8),
    "int8": Variant(8, 8),
    "int16x8": Variant(8, 16),
}

ONNX = "onnx"  # not a key of VARIANTS: the float32 file for engines other than LiteRT, which devices do not need

MEDIAPIPE = "mediapipe"  # nor this: int8, or else float32, for MediaPipe's Image Classifier, with one output


def check_variants(names: Sequence[str]) -> list[str]:
    """Return the variants to write: each name once, and float32 before onnx and mediapipe, which are made from it.

    The file for MediaPipe is made from int8 instead if int8 is written and passes its gate.

    Raises:
        KerasDrError: there is no name, a name is unknown, or the packages for ONNX are missing.
    """
    known = (*VARIANTS, ONNX, MEDIAPIPE)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        message = f"There is no variant {unknown[0]!r}." if unknown else "No variant is given."
        raise KerasDrError(message, f"Name one or more with --variants: {', '.join(known)}.")
    if ONNX in names:
        check_packages()
    distinct = list(dict.fromkeys(names))
    if ONNX in distinct and "float32" not in distinct:
        distinct.insert(distinct.index(ONNX), "float32")
    if MEDIAPIPE in distinct and not {"float32", "int8"} & set(distinct):
        distinct.insert(0, "float32")
    return distinct


def file_name(variant: str) -> str:
    """Return the name of a variant's file in the bundle."""
    return "float32.onnx" if variant == ONNX else f"{variant}.tflite"


def convert(graph: keras.Model) -> bytes:
    """Convert an inference graph to the float32 file; the same graph gives the same bytes.

    Args:
        graph: from `graph.build_graph`.

    Raises:
        KerasDrError: Keras runs on a backend other than TensorFlow.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise KerasDrError(
            f"The conversion to TFLite needs Keras on TensorFlow, but Keras runs on {keras.backend.backend()}.",
            "Set the environment variable KERAS_BACKEND=tensorflow.",
        )
    with quiet():
        return tf.lite.TFLiteConverter.from_keras_model(graph).convert()


def quantise(content: bytes, variant: str, statistics: Statistics, kept: Collection[str] = ()) -> bytes:
    """Make a variant's file from the float32 file.

    Args:
        content: the float32 file, from `convert`.
        variant: key of `VARIANTS`.
        statistics: statistics of that file, from `activation_statistics.observe`.
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
        edge_quantizer = quantizer.Quantizer(rounded, _recipe(rounded, kind, kept))
        ranges = {
            name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
            for name, (low, high) in statistics.ranges.items()
        }
        result = edge_quantizer.quantize(ranges if kind.activation_bits else None, enable_progress_report=False)
        return bytes(result.quantized_model)


def _recipe(content: bytes, kind: Variant, kept: Collection[str]) -> list[dict]:
    """Return rules for ai-edge-quantizer: quantise the backbone's operators except those that are kept in float."""
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    all_operators = TFLOperationName.ALL_SUPPORTED
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
            # The quantizer matches the name of an operator followed by a semicolon.
            rules.add_quantization_config(f"^{re.escape(operator.name)};", all_operators, None, "no_quantize")
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        rules.add_quantization_config(".*", end, None, "no_quantize")
    return rules.get_quantization_recipe()
