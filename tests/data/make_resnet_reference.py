"""Write resnet_reference.json: the outputs of torchvision's ResNet-18 and ResNet-34 with seeded random weights.

    pip install torch torchvision && python tests/data/make_resnet_reference.py

Written with torch 2.15.0 and torchvision 0.29.2. PyTorch is needed for nothing else: weights and photographs are
drawn anew by the tests from their seed, so that the file holds names, shapes and logits only.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("resnet_reference.json")
CLASSES, SEED = 4, 18


def random_tensors(shapes: Iterable[tuple[str, list[int]]]) -> dict[str, NDArray[np.float32]]:
    """Return seeded weights by name, none of them with its initial value; variances are positive."""
    random = np.random.RandomState(
        SEED
    )  # unlike those of default_rng, its numbers are the same in every version of NumPy
    tensors = {}
    for name, shape in shapes:
        if len(shape) > 1:
            values = random.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
        elif name.endswith(("running_var", "weight")):
            values = random.uniform(0.5, 1.0, shape)
        else:
            values = random.uniform(-0.3, 0.3, shape)
        tensors[name] = values.astype(np.float32)
    return tensors


def random_photographs(size: int, grey: bool) -> NDArray[np.uint8]:
    """Return two seeded pictures of coloured squares, uint8 RGB (2, size, size, 3); grey ones have equal channels."""
    squares = np.random.RandomState(SEED).randint(0, 256, (2, 9, 9, 3)).astype(np.uint8)
    images = squares.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]
    return images[..., :1].repeat(3, axis=3) if grey else images


def _logits(depth: int, stem: str, grey: bool, size: int) -> list[list[float]]:
    """Return the output of the torchvision network, with its first layer changed for small or grey images if asked."""
    import torch
    import torchvision

    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES).eval()
    tensors = random_tensors(_shapes(depth))
    network.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()}, strict=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = torch.from_numpy(random_photographs(size, grey)).permute(0, 3, 1, 2) / 255
    kernel = network.conv1.weight.data
    if stem == "small":
        kernel = torch.nn.functional.interpolate(kernel, size=(3, 3), mode="bilinear", align_corners=False)
        network.conv1.stride, network.conv1.padding, network.maxpool = (1, 1), (1, 1), torch.nn.Identity()
    if grey:
        kernel = kernel.mean(dim=1, keepdim=True)
        network.bn1.running_mean /= 3
        network.bn1.running_var /= 9
        mean, std, images = mean.mean(), std.mean(), images[:, :1]
    network.conv1.weight = torch.nn.Parameter(kernel)
    with torch.no_grad():
        return network((images - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)).tolist()


def _shapes(depth: int) -> list[tuple[str, list[int]]]:
    import torchvision

    state = getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES).state_dict()
    return [(name, list(values.shape)) for name, values in state.items() if not name.endswith("num_batches_tracked")]


def main() -> None:
    """Write the outputs of torchvision."""
    cases = [(18, "imagenet", False, 64), (18, "small", True, 28), (18, "imagenet", True, 64), (34, "small", False, 28)]
    cases.append((34, "imagenet", False, 65))  # an odd side, which reveals other padding than an even one
    reference = {
        "shapes": {depth: _shapes(depth) for depth in (18, 34)},
        "cases": [
            {"depth": depth, "stem": stem, "grey": grey, "size": size, "logits": _logits(depth, stem, grey, size)}
            for depth, stem, grey, size in cases
        ],
    }
    FILE.write_text(json.dumps(reference, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
