"""Weights of torchvision's ResNet-18 and ResNet-34 in a .safetensors file, for `keras_dr.models.resnet`."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from keras_dr.core.errors import KerasDrError

Shape = tuple[int, ...]
# Tensors of a batch norm in the order in which Keras keeps gamma, beta, moving mean and moving variance.
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
IGNORED = re.compile(r"fc\.(weight|bias)|.*\.num_batches_tracked")
DTYPES = ("F16", "F32", "F64")


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
    wanted = {name: _tensors(name, shapes[0]) for name, shapes in layers.items()}
    tensors = _read(file, {tensor: shape for part in wanted.values() for tensor, shape in part.items()})
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


def _tensors(layer: str, shape: Shape) -> dict[str, Shape]:
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


def _read(file: Path, wanted: Mapping[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """The tensors wanted, after all names and shapes in the file's header have been found right."""
    try:
        with safe_open(file, framework="np") as content:
            _check_names(file, set(content.keys()), set(wanted))
            for name, shape in wanted.items():
                piece = content.get_slice(name)
                found, dtype = tuple(piece.get_shape()), piece.get_dtype()
                if found != shape or dtype not in DTYPES:
                    raise _misfit(file, f"{name} {shape}, {', '.join(DTYPES)}", f"{found}, {dtype}")
            tensors = {name: content.get_tensor(name).astype(np.float32) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise _misfit(file, "the safetensors format", str(error)) from error
    for name, values in tensors.items():
        if not np.isfinite(values).all() or (name.endswith("running_var") and values.min() < 0):
            raise _misfit(file, f"finite numbers in {name}, variances of at least 0", "others")
    return tensors


def _check_names(file: Path, found: set[str], wanted: set[str]) -> None:
    surplus = {name for name in found - wanted if not IGNORED.fullmatch(name)}
    faults = {"missing": wanted - found, "unknown": surplus}
    told = [f"{len(names)} {fault} ({min(names)}, ...)" for fault, names in faults.items() if names]
    if told:
        raise _misfit(file, f"{len(wanted)} tensors with torchvision's names", " and ".join(told))


def _misfit(file: Path, expected: str, found: str) -> KerasDrError:
    remedy = "Save torchvision's network of the same depth with safetensors.torch.save_file(model.state_dict(), FILE)."
    return KerasDrError(f"in {file}: {expected}", found, remedy)


def _resized(kernel: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Bilinear resizing of float32 (h, h, in, out) to (side, side, in, out), side <= h, pixel centres at halves."""
    centres = (np.arange(side) + 0.5) * len(kernel) / side - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(len(kernel))))
    return np.einsum("ah,bw,hwio->abio", weights, weights, kernel).astype(np.float32)
