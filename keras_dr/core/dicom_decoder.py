"""Decodes lossless JPEG, and JPEG of twelve bits, in a process of its own, which the decoder may end.

The decoder, GDCM, throws exceptions through C code when it meets certain broken pictures, which no caller can catch;
and it fills up truncated ones, which only a line on the standard error says. So both are refused here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError

_SECONDS = 60
_MEMORY_MIB = 2048
_COPY = "Copy the file again from its source."
_KEYWORDS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def decode_apart(stream: bytes, dataset: Any, syntax: str) -> NDArray[Any]:
    """Return the samples of a compressed frame.

    Args:
        stream: the compressed picture.
        dataset: the pydicom data set that describes it.
        syntax: the transfer syntax.

    Returns:
        uint8 or uint16, (H, W) or (H, W, 3), as the picture holds them.

    Raises:
        KerasDrError: the picture is damaged or truncated, or its decoder does not end.
    """
    about: dict[str, Any] = {keyword: int(dataset.get(keyword) or 0) for keyword in _KEYWORDS}
    about |= {"PhotometricInterpretation": str(dataset.PhotometricInterpretation), "syntax": syntax}
    root = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from keras_dr.core import dicom_decoder; dicom_decoder.answer()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(about)], input=stream, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise KerasDrError(f"The picture in the DICOM file is not decoded within {_SECONDS} s.", _COPY) from error
    kind = np.dtype(np.uint16 if about["BitsAllocated"] == 16 else np.uint8)
    shape = (about["Rows"], about["Columns"], about["SamplesPerPixel"])[: 2 if about["SamplesPerPixel"] == 1 else 3]
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode or said or len(done.stdout) != np.prod(shape) * kind.itemsize:
        reason = (said or ["its pixels are not complete"])[-1].strip().rstrip(".")
        message = f"The picture in the DICOM file of {len(stream)} bytes is truncated or damaged: {reason}."
        raise KerasDrError(message, _COPY)
    return np.frombuffer(done.stdout, kind).reshape(shape)


def answer() -> None:
    """In the other process: decode the picture on the standard input, and write its samples to the standard output."""
    from pydicom import config
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    from keras_dr.core.limits import limit_process

    limit_process(_MEMORY_MIB * 2**20, _SECONDS)
    config.settings.reading_validation_mode = config.IGNORE
    about = json.loads(sys.argv[1])
    syntax = about.pop("syntax")
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    for keyword, value in about.items():
        setattr(dataset, keyword, value)
    if about["SamplesPerPixel"] > 1:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = encapsulate([sys.stdin.buffer.read()])
    dataset["PixelData"].VR = "OB"
    pixels, _ = get_decoder(UID(syntax)).as_array(dataset, index=0, raw=True, decoding_plugin="gdcm")
    sys.stdout.buffer.write(np.ascontiguousarray(pixels).tobytes())
