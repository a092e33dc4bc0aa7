"""Decodes lossless JPEG, JPEG of twelve bits, JPEG-LS and JPEG 2000 in a process of its own, with limits.

GDCM throws exceptions through C code when it meets certain broken pictures, which no caller can catch; and it fills up
truncated ones, which only a line on the standard error says. CharLS takes 7 s for a broken picture of 48 x 32 pixels.
So each decoder may end or fail its own process, which has limits on memory and processor time.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

_START_SECONDS = 6  # of processor time, to start Python and to import the decoder on a small device
_BYTES_PER_SECOND = 1_000_000  # of samples; a tenth of what the slowest decoder does on a workstation
_MEMORY_MIB = 2048
_COPY = "Copy the file again from its source."
_KEYWORDS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def decode_apart(stream: bytes, dataset: Any, syntax: str, plugin: str) -> tuple[NDArray[Any], str]:
    """Return the samples of a compressed frame, and their photometric interpretation.

    Args:
        stream: the compressed picture.
        dataset: the pydicom data set that describes it.
        syntax: the transfer syntax.
        plugin: the plug-in of pydicom that decodes it.

    Returns:
        uint8 or uint16, (H, W) or (H, W, 3), as the picture holds them; and, for example, "RGB".

    Raises:
        KerasDrError: the picture is damaged or truncated, or its decoder does not end.
    """
    about: dict[str, Any] = {keyword: int(dataset.get(keyword) or 0) for keyword in _KEYWORDS}
    shape = (about["Rows"], about["Columns"], about["SamplesPerPixel"])[: 2 if about["SamplesPerPixel"] == 1 else 3]
    size = int(np.prod(shape)) * about["BitsAllocated"] // 8
    seconds = _START_SECONDS + size // _BYTES_PER_SECOND
    about["PhotometricInterpretation"] = str(dataset.PhotometricInterpretation)
    about |= {"syntax": syntax, "plugin": plugin, "seconds": seconds}
    done = _run(stream, about)
    heading, _, content = done.stdout.partition(b"\n")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0 and not said:
        said = [f"its decoder failed, or needed more than {seconds} s or {_MEMORY_MIB} MiB"]
    if done.returncode or said:
        raise _damaged(stream, (said or ["its decoder failed"])[-1].strip().rstrip("."))
    decoded = json.loads(heading)
    kind = np.dtype(decoded["kind"])
    if 8 * kind.itemsize > about["BitsAllocated"]:
        raise _damaged(stream, f"its samples have more than {about['BitsAllocated']} bits")
    if len(content) != np.prod(shape) * kind.itemsize:
        raise _damaged(stream, "its pixels are not complete")
    return np.frombuffer(content, kind).reshape(shape), decoded["colours"]


def _run(stream: bytes, about: dict[str, Any]) -> "subprocess.CompletedProcess[bytes]":
    root = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from keras_dr.core import dicom_decoder; dicom_decoder.answer()"
    command = [sys.executable, "-c", code, json.dumps(about)]
    longest = 60 + 5 * about["seconds"]  # other work may hold the processor
    try:
        return subprocess.run(command, input=stream, capture_output=True, timeout=longest)
    except subprocess.TimeoutExpired as error:
        raise KerasDrError(f"The picture in the DICOM file is not decoded within {longest} s.", _COPY) from error


def _damaged(stream: bytes, reason: str) -> KerasDrError:
    message = f"The picture in the DICOM file of {len(stream)} bytes is truncated or damaged: {reason}."
    return KerasDrError(message, _COPY)


def answer() -> None:
    """In the other process: decode the picture on the standard input, and write its samples to the standard output.

    A line of JSON comes first, with the kind of the samples and their photometric interpretation.
    """
    from pydicom import config
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    from keras_dr.core.limits import limit_process

    about = json.loads(sys.argv[1])
    limit_process(_MEMORY_MIB * 2**20, about.pop("seconds"))
    config.settings.reading_validation_mode = config.IGNORE
    syntax = about.pop("syntax")
    plugin = about.pop("plugin")
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    for keyword, value in about.items():
        setattr(dataset, keyword, value)
    if about["SamplesPerPixel"] > 1:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = encapsulate([sys.stdin.buffer.read()])
    dataset["PixelData"].VR = "OB"
    pixels, decoded = get_decoder(UID(syntax)).as_array(dataset, index=0, raw=True, decoding_plugin=plugin)
    heading = {"kind": pixels.dtype.name, "colours": str(decoded["photometric_interpretation"])}
    sys.stdout.buffer.write(json.dumps(heading).encode() + b"\n" + np.ascontiguousarray(pixels).tobytes())
