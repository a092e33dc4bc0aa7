"""Makes the file that MediaPipe's Image Classifier reads, on Android, iOS and in Python, from a TFLite file.

It has one output, the probabilities, and TFLite metadata: the names of the classes, and that the input is an RGB image.
The input stays uint8, so that the client must not normalise it: scaling lies inside the model. The metadata are a
flatbuffer of their own (tensorflow/tflite-support, metadata_schema.fbs), and the labels are a zip archive behind the
model (www.tensorflow.org/lite/models/convert/metadata).

MediaPipe reduces any picture to the input's size and does not look for the fundus. So this file takes prepared
photographs: cropped to the circle, square, and black outside it, as `prepare_image` returns them.
"""

import copy
import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert.schema_py_generated import BufferT, MetadataT
from ai_edge_litert.tools import flatbuffer_utils

LABELS = "labels.txt"
_IDENTIFIER = b"M001"
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_IMAGE_PROPERTIES = 2  # the union ContentProperties
_FEATURE_PROPERTIES = 1
_RGB = 1  # ColorSpaceType
_DESCRIPTION = "Grades diabetic retinopathy. For research: not a medical device, not for decisions about patients."
_INPUT = "A fundus photograph, cropped to the circle of the fundus and black outside it, uint8 RGB, not normalised."


def to_mediapipe(content: bytes, classes: Sequence[str], description: str = _DESCRIPTION) -> bytes:
    """Return a TFLite file with one output, metadata and labels.

    Args:
        content: a TFLite file with the outputs `probabilities` and `heatmaps`, see `variants`.
        classes: names of the classes in the order of the model's outputs.
        description: what the model does, in words.

    Example:
        >>> file = to_mediapipe(Path("bundle/int8.tflite").read_bytes(), ("no_dr", "mild"))
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    definition = model.signatureDefs[0]
    definition.outputs = [output for output in definition.outputs if output.name == b"probabilities"]
    model.subgraphs[0].outputs = np.array([definition.outputs[0].tensorIndex], np.int32)
    buffer: BufferT = copy.copy(model.buffers[0])
    buffer.data = np.frombuffer(_metadata(description), np.uint8)
    entry = MetadataT()
    entry.name = b"TFLITE_METADATA"
    entry.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    file = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:  # behind the model
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{name}\n" for name in classes))
    return file.getvalue()


def _metadata(description: str) -> bytes:
    """Return the table ModelMetadata; the numbers are the places of the fields in the schema."""
    builder = flatbuffers.Builder(1024)
    labels = _table(builder, 5, {0: builder.CreateString(LABELS)}, {2: _TENSOR_AXIS_LABELS})
    image = _table(builder, 2, {}, {0: _RGB})
    given = _tensor(builder, "image", _INPUT, _table(builder, 3, {1: image}, {0: _IMAGE_PROPERTIES}), [])
    feature = _table(builder, 0, {}, {})
    content = _table(builder, 3, {1: feature}, {0: _FEATURE_PROPERTIES})
    answer = _tensor(builder, "probabilities", "The probability of each class.", content, [labels])
    inputs = _vector(builder, [given])
    outputs = _vector(builder, [answer])
    graph = _table(builder, 5, {2: inputs, 3: outputs}, {})
    graphs = _vector(builder, [graph])
    name = builder.CreateString("keras_dr")
    words = builder.CreateString(description)
    licence = builder.CreateString("Apache-2.0")
    parser = builder.CreateString("1.0.0")
    model = _table(builder, 8, {0: name, 1: words, 3: graphs, 5: licence, 7: parser}, {})
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: flatbuffers.Builder, name: str, description: str, content: int, files: Sequence[int]) -> int:
    """Add a table TensorMetadata and return its place."""
    fields = {0: builder.CreateString(name), 1: builder.CreateString(description), 3: content}
    if files:
        fields[6] = _vector(builder, files)
    return _table(builder, 7, fields, {})


def _table(builder: flatbuffers.Builder, count: int, places: dict[int, int], numbers: dict[int, int]) -> int:
    """Add a table and return its place.

    Args:
        builder: gets the table.
        count: number of fields in the schema.
        places: number of a field -> the place of its text, vector or table.
        numbers: number of a field -> its byte.
    """
    builder.StartObject(count)
    for field, place in places.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    for field, value in numbers.items():
        builder.PrependUint8Slot(field, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, places: Sequence[int]) -> int:
    """Add a vector of tables and return its place."""
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()
