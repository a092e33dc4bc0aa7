"""Read the .keras file of a grader. Keras runs it like a program, so only files of `train` and `ensemble` are accepted.

Keras's safe mode refuses code. It does not refuse layers that read files or fetch models, nor archives and layers that
fill the memory, and a broken file can raise any exception. So the content of the file is checked before Keras loads it.
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
# module -> its classes that occur in the graders of `BACKBONES`, their heads and their ensembles
_CLASSES: dict[str | None, tuple[str, ...]] = {
    "keras.layers": (
        "Activation",
        "Add",
        "AveragePooling2D",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "GlobalAveragePooling2D",
        "InputLayer",
        "MaxPooling2D",
        "Multiply",
        "Normalization",
        "ReLU",
        "Rescaling",
        "Reshape",
        "ZeroPadding2D",
    ),
    "keras.initializers": ("GlorotUniform", "Ones", "VarianceScaling", "Zeros"),
    "keras.src.ops.numpy": ("Add", "Mean", "Multiply"),
    "keras": ("DTypePolicy",),
    None: ("__keras_tensor__",),
    "keras.src.models.functional": ("Functional",),
    "keras_dr.models.heads": ("OrdinalHead",),
    "keras_dr.heads": ("OrdinalHead",),  # as version 0.1 wrote it
}
KINDS = {(module, name) for module, names in _CLASSES.items() for name in names}
_REGISTERED = {None, "keras_dr>OrdinalHead"}  # the name of the class itself is accepted as well
_CONFIG_BYTES = 16 << 20  # a hundred times the size of MobileNetV2's
_ROOM = 768 << 20  # bytes that TensorFlow needs to build a grader, in addition to copies of the weights
_REMEDY = "Copy the run again from a source that you trust, or train again."


def load_grader(file: Path) -> keras.Model:
    """Load a grader as `train` writes it.

    Raises:
        KerasDrError: the file is not a .keras file, holds parts that no grader has, or cannot be built by Keras.
    """
    import keras_dr.models.heads  # noqa: F401 # registers the ordinal head

    try:
        check_contents(file)
        with _room_for(file), warnings.catch_warnings():
            # without this, weights that the file lacks would stay random
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, Keras, HDF5 and the backend raise many kinds for a broken file
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise KerasDrError(f"{file} cannot be loaded as a grader ({reason}).", _REMEDY) from error
    if not isinstance(model, keras.Model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        kind = type(model).__name__
        raise KerasDrError(f"{file} is not a grader: it holds a {kind} with other inputs or outputs.", _REMEDY)
    return model


def check_contents(file: Path) -> None:
    """Refuse an archive with other members or compressed ones (Keras does not compress), or with other kinds of layers.

    Raises:
        ValueError: the archive is refused.
        OSError, BadZipFile, RecursionError: the file is not an archive, or has no valid JSON.
    """
    with ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if sorted(names) != sorted(MEMBERS):
            raise ValueError(f"it has other members than {', '.join(sorted(MEMBERS))}: {brief(names)}")
        if any(member.compress_type != ZIP_STORED for member in members):
            raise ValueError("it has a compressed member")
        if archive.getinfo("config.json").file_size > _CONFIG_BYTES:
            raise ValueError(f"its config.json has more than {_CONFIG_BYTES} bytes")
        config = json.loads(archive.read("config.json"))
    for part in _described(config):
        module = part.get("module")
        class_name = part["class_name"]
        registered_name = part.get("registered_name")
        kind = (module, class_name)
        if not all(name is None or isinstance(name, str) for name in (module, class_name, registered_name)):
            raise ValueError(f"it has a layer without a name: {brief(kind)}")
        if kind not in KINDS or registered_name not in _REGISTERED | {class_name}:
            raise ValueError(f"it has a layer that no grader has: {brief(kind)}")


def _described(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every description of an object in a Keras configuration."""
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
    """Return a limit on the memory that loading a file may take.

    With a GPU there is no limit: its driver reserves terabytes of address space, and its own memory is limited anyway.
    """
    if any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices()):
        return nullcontext()
    return limited_memory(4 * file.stat().st_size + _ROOM)
