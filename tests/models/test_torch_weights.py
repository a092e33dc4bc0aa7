"""ResNet-18 and -34 compared with the outputs of torchvision, see tests/data/make_resnet_reference.py."""

import json
import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from make_resnet_reference import FILE, random_photographs, random_tensors
from safetensors.numpy import save_file

from keras_dr.core.errors import KerasDrError
from keras_dr.models.backbones import BACKBONES
from keras_dr.models.features import build_features
from keras_dr.models.grader import build_model
from keras_dr.models.torch_weights import read_resnet

REFERENCE = json.loads(FILE.read_text("utf-8"))
LAYERS = {"conv1_conv": [(7, 7, 3, 64)], "conv1_bn": [(64,)] * 4}
TENSORS = {
    "conv1.weight": np.ones((64, 3, 7, 7), np.float32),
    **{f"bn1.{name}": np.full(64, 9, np.float32) for name in ("weight", "bias", "running_mean", "running_var")},
}


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['depth']}-{case['stem']}-{case['grey']}")
def test_logits_are_torchvisions(case: dict[str, Any], tmp_path: Path) -> None:
    tensors = random_tensors(REFERENCE["shapes"][str(case["depth"])])
    save_file(tensors, tmp_path / "resnet.safetensors")
    images = random_photographs(case["size"], case["grey"])
    image = keras.Input((case["size"], case["size"], 3))
    weights = str(tmp_path / "resnet.safetensors")
    network = build_features(f"resnet{case['depth']}", image, weights, case["stem"], case["grey"])
    features = np.asarray(network(images.astype(np.float32), training=False))
    logits = features.mean(axis=(1, 2)) @ tensors["fc.weight"].T + tensors["fc.bias"]
    assert logits == pytest.approx(np.array(case["logits"]), abs=1e-4)


def test_sides_of_the_maps() -> None:
    def side(size: int, stem: str) -> int:
        return BACKBONES["resnet18"].build(False, None, keras.Input((size, size, 5)), stem=stem).output.shape[1]

    assert [side(224, "imagenet"), side(28, "small"), side(33, "imagenet")] == [7, 4, 2]


def read(tmp_path: Path, changes: dict[str, np.ndarray | None], layers: Any = LAYERS) -> dict[str, list[np.ndarray]]:
    tensors = {name: values for name, values in (TENSORS | changes).items() if values is not None}
    save_file(tensors, tmp_path / "some.safetensors")
    return read_resnet(tmp_path / "some.safetensors", layers)


def test_kernel_is_averaged_over_rgb_and_resized_bilinearly(tmp_path: Path) -> None:
    kernel = np.zeros((64, 3, 7, 7), np.float32)
    kernel[:, 0, :, 0] = 9  # columns 0 and 3 have weights, in red only; the new centres are at 2/3, 3 and 5 1/3
    kernel[:, 0, :, 3] = 6
    arrays = read(tmp_path, {"conv1.weight": kernel}, LAYERS | {"conv1_conv": [(3, 3, 1, 64)]})
    assert arrays["conv1_conv"][0][:, :, 0, 5] == pytest.approx(np.tile([1.0, 2.0, 0.0], (3, 1)))
    assert [values[0] for values in arrays["conv1_bn"]] == [9, 9, 3, 1]


def test_head_and_counters_are_ignored_and_half_precision_read(tmp_path: Path) -> None:
    extra = {"fc.weight": np.ones((9, 512), np.float32), "bn1.num_batches_tracked": np.array(3)}
    arrays = read(tmp_path, extra | {"bn1.bias": np.full(64, 0.5, np.float16)})
    assert arrays["conv1_bn"][1].dtype == np.float32 and arrays["conv1_bn"][1][0] == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1.bias": None}, r"5 tensors of this network: 1 is missing \(bn1.bias"),
        ({"layer1.2.conv1.weight": np.ones(1)}, r"1 is unknown \(layer1.2.conv1.weight"),
        (
            {"bn1.bias": np.ones(3, np.float32)},
            r"bn1.bias has shape \(3,\) and type F32; the network needs shape \(64,\)",
        ),
        ({"bn1.bias": np.ones(64, np.int64)}, r"shape \(64,\) and type I64"),
        ({"bn1.bias": np.full(64, np.nan, np.float32)}, "bn1.bias holds NaN"),
        ({"bn1.running_var": np.full(64, -1, np.float32)}, "variances below 0"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KerasDrError, match=message):
        read(tmp_path, changes)


def header(shape: list[int], offsets: list[int], dtype: str = "F32") -> bytes:
    text = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63) + b"{}",
        header([20], [0, 80]),  # data that is not there
        header([2**62, 2**62], [0, 4]) + bytes(4),
        header([1], [0, 4], "BF17") + bytes(4),
        struct.pack("<Q", 4) + b"what",
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.safetensors").write_bytes(content)
    with pytest.raises(KerasDrError, match=r"some.safetensors is not in the safetensors format: .* Save torchvision's"):
        read_resnet(tmp_path / "some.safetensors", LAYERS)


def test_weights_that_cannot_be_had_are_explained(tmp_path: Path) -> None:
    with pytest.raises(
        KerasDrError, match=r"no ImageNet weights for resnet34; .*torchvision\.models\.resnet34\(weights=\"DEFAULT\"\)"
    ):
        build_model("resnet34", 32, 2, "imagenet")
    with pytest.raises(KerasDrError, match="There is no file"):
        build_model("resnet18", 32, 2, str(tmp_path / "none.safetensors"))
    save_file(random_tensors(REFERENCE["shapes"]["34"]), tmp_path / "34.safetensors")
    with pytest.raises(KerasDrError, match="80 are unknown"):
        build_model("resnet18", 32, 2, str(tmp_path / "34.safetensors"))
    with pytest.raises(KerasDrError, match=r"34.safetensors does not hold the weights of mobilenetv2"):
        build_model("mobilenetv2", 32, 2, str(tmp_path / "34.safetensors"))
