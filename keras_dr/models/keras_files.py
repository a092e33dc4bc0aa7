"""Reads a grader's .keras file, which is a program for Keras: only what `train` and `ensemble` write is let through.

Keras's safe mode refuses code. That leaves layers that read files or fetch models, archives and layers that fill the
memory, and whatever exception a broken file ends in. So the file's own description is looked at before Keras sees it.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import keras

from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.limits import limited_memory

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_LAYERS = (
    *("Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense"),
    *("DepthwiseConv2D", "Dropout", "GlobalAveragePooling2D", "InputLayer", "MaxPooling2D", "Multiply"),
    *("Normalization", "ReLU", "Rescaling", "Reshape", "ZeroPadding2D"),
)
# (module, class): what the graders of `BACKBONES`, their heads and their ensembles consist of
KINDS = {
    *(("keras.layers", name) for name in _LAYERS),
    *(("keras.initializers", name) for name in ("GlorotUniform", "Ones", "VarianceScaling", "Zeros")),
    *(("keras.src.ops.numpy", name) for name in ("Add", "Mean", "Multiply")),
    *(("keras", "DTypePolicy"), (None, "__keras_tensor__")),
    *(("keras.src.models.functional", "Functional"), ("keras_dr.models.heads", "OrdinalHead")),
    ("keras_dr.heads", "OrdinalHead"),  # as version 0.1 wrote it
}
_REGISTERED = {None, "keras_dr>OrdinalHead"}  # or the class itself
_CONFIG_BYTES = 16 << 20  # a hundred times MobileNetV2's
_ROOM = 768 << 20  # bytes beside copies of the weights: what TensorFlow takes while it builds a grader
_REMEDY = "Copy the run again from where you trust it, or train again."


def load_grader(file: Path) -> keras.Model:
    """A grader as `train` keeps it.

    Raises:
        KerasDrError: no .keras file, one that holds more than a grader consists of, or one that Keras cannot build.
    """
    import keras_dr.models.heads  # noqa: F401 # registers the ordinal head

    try:
        check_contents(file)
        with _room_for(file), warnings.catch_warnings():
            # weights that the file lacks stay random otherwise
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # whatever a broken file makes of zipfile, Keras, HDF5 and the backend
        found = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise KerasDrError(f"a grader in {file}", found, _REMEDY) from error
    if not isinstance(model, keras.Model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise KerasDrError(f"a grader in {file}", f"a {type(model).__name__} of other inputs or outputs", _REMEDY)
    return model


def check_contents(file: Path) -> None:
    """Refuse an archive of other members, a compressed one (Keras stores), and a model of other kinds of layers.

    Raises:
        ValueError: one of these.
        OSError, BadZipFile, RecursionError: no archive, or no JSON in it.
    """
    with ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if sorted(names) != sorted(MEMBERS):
            raise ValueError(f"other members than {', '.join(sorted(MEMBERS))}: {brief(names)}")
        if any(member.compress_type != ZIP_STORED for member in members):
            raise ValueError("a compressed member")
        if archive.getinfo("config.json").file_size > _CONFIG_BYTES:
            raise ValueError(f"a config.json of more than {_CONFIG_BYTES} bytes")
        config = json.loads(archive.read("config.json"))
    for part in _described(config):
        kind, name = (part.get("module"), part["class_name"]), part.get("registered_name")
        if not all(one is None or isinstance(one, str) for one in (*kind, name)):
            raise ValueError(f"a layer of no name: {brief(kind)}")
        if kind not in KINDS or name not in _REGISTERED | {kind[1]}:
            raise ValueError(f"a layer that no grader has: {brief(kind)}")


def _described(value: Any) -> Iterator[dict[str, Any]]:
    """Every description of an object in a Keras configuration."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _room_for(file: Path) -> AbstractContextManager[None]:
    """A limit on the memory that loading a file may take.

    None beside a GPU: its driver reserves address space by the terabyte, and its memory ends by itself.
    """
    if any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices()):
        return nullcontext()
    return limited_memory(4 * file.stat().st_size + _ROOM)
