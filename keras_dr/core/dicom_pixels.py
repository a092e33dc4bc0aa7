"""Decodes a frame of a DICOM data set, and returns it as the bytes of a photograph's file."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.dicom_decoder import decode_apart
from keras_dr.core.errors import KerasDrError, MissingPackageError, brief

_MAX_BYTES = 300_000_000  # as for other photographs: 100 megapixels of three bytes
_EXPORT = "Export the photograph uncompressed, or as PNG, from the viewer or the archive that it came from."
_JPEG = "1.2.840.10008.1.2.4."
_BASELINE = (_JPEG + "50", _JPEG + "51")  # JPEG of eight bits, and of eight or twelve
_JPEG_LS = (_JPEG + "80", _JPEG + "81")
_END = b"\xff\xd9"  # ends a JPEG picture (T.81, B.1.1.3), and does not occur in compressed samples
_J2K = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 code stream
_JP2 = b"\0\0\0\x0cjP  "  # begins a file that holds one
_TILE_PART = b"\xff\x90"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
# transfer syntax -> the plug-in of pydicom that decodes it
_PLUGINS = {
    **dict.fromkeys(_NATIVE, ""),
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    _JPEG + "51": "gdcm",  # twelve bits
    _JPEG + "57": "gdcm",  # JPEG lossless
    _JPEG + "70": "gdcm",
    _JPEG + "80": "pyjpegls",  # JPEG-LS
    _JPEG + "81": "pyjpegls",
    _JPEG + "90": "pylibjpeg",  # JPEG 2000
    _JPEG + "91": "pylibjpeg",
}
_PACKAGES = {"gdcm": "python-gdcm", "pyjpegls": "pyjpegls", "pylibjpeg": "pylibjpeg-openjpeg"}
_COLOURS = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # says that the components are RGB (T.872, 6.5.3)


def frame_bytes(dataset: Any, index: int, frames: int) -> bytes:
    """Return a frame as the bytes of a JPEG, PGM, PPM or TIFF file.

    Args:
        dataset: a pydicom data set with pixels.
        index: the index of the frame, from 0.
        frames: how many frames there are.

    Raises:
        KerasDrError: the pixels are of a kind that is not read, or the data for them are missing.
    """
    syntax = _syntax(dataset)
    _check_kind(dataset, syntax)
    if not dataset.get("PixelData"):
        raise KerasDrError("The DICOM file has no pixel data.", _EXPORT)
    stream = b""
    if syntax not in _NATIVE:
        stream = _stream(dataset, index, frames)
        precision = _check_stream(stream, dataset)
        if syntax in _BASELINE and precision == 8:
            return _as_jpeg(stream, dataset.PhotometricInterpretation)
    return _encode(*_samples(dataset, index, syntax, stream))


def _syntax(dataset: Any) -> str:
    """Return the transfer syntax; a file without meta information is not compressed."""
    meta = getattr(dataset, "file_meta", None)
    named = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if named:
        return named
    implicit, little_endian = dataset.original_encoding
    syntax = _NATIVE[0] if implicit else _NATIVE[1] if little_endian else _NATIVE[3]
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    dataset.file_meta = FileMetaDataset()  # where the decoder looks for it
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return syntax


def _check_kind(dataset: Any, syntax: str) -> None:
    """Refuse pixels that would be misread, before they are decoded."""
    colours = str(dataset.get("PhotometricInterpretation", ""))
    samples = int(dataset.get("SamplesPerPixel") or 1)
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    allocated = int(dataset.get("BitsAllocated") or 0)
    stored = int(dataset.get("BitsStored") or allocated)
    fault = ""
    if syntax not in _PLUGINS and syntax not in _BASELINE:
        from pydicom.uid import UID

        fault = f"is stored as {brief(UID(syntax).name)}, which is not read"
    elif _COLOURS.get(colours) != samples:
        fault = f"has {brief(samples)} samples per pixel of the kind {brief(colours)}, which are not read"
    elif allocated not in (8, 16) or not 1 <= stored <= allocated:
        fault = f"has samples of {stored} bits in {allocated}, which are not read"
    elif int(dataset.get("HighBit") or stored - 1) != stored - 1:
        fault = f"has samples of {stored} bits whose highest bit is {dataset.HighBit}, which are not read"
    elif int(dataset.get("PixelRepresentation") or 0) != 0:
        fault = "has samples with a sign, which no photograph has"
    elif "ModalityLUTSequence" in dataset or float(dataset.get("RescaleSlope") or 1) <= 0:
        fault = "has samples whose meaning depends on a table (modality LUT), which is not read"
    if fault:
        raise KerasDrError(f"The picture in the DICOM file {fault}.", _EXPORT)
    if rows < 1 or columns < 1:
        raise KerasDrError(f"The DICOM file's picture has {columns} x {rows} pixels.", "Copy the file again.")
    if rows * columns * max(3, samples * allocated // 8) > _MAX_BYTES:
        message = f"The DICOM file's picture has {columns} x {rows} pixels; it may have at most 100 megapixels."
        raise KerasDrError(message, "Reduce it first.")


def _stream(dataset: Any, index: int, frames: int) -> bytes:
    """Return the compressed picture of a frame, from its fragments (PS3.5, annex A.4)."""
    from pydicom.encaps import get_frame

    tables = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        tables = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return bytes(get_frame(dataset.PixelData, index, number_of_frames=frames, extended_offsets=tables))


def _check_stream(stream: bytes, dataset: Any) -> int:
    """Refuse a compressed picture whose own header has another size than the data set, and return its bits; else 0."""
    found = _stream_header(stream)
    if found is None:
        return 0
    height, width, precision = found
    if (height, width) != (int(dataset.Rows), int(dataset.Columns)):
        message = (
            f"The DICOM file says that its picture has {dataset.Columns} x {dataset.Rows} pixels, but the compressed "
            f"picture in it has {width} x {height}."
        )
        raise KerasDrError(message, "Copy the file again from its source.")
    if dataset.file_meta.TransferSyntaxUID in _JPEG_LS and _END not in stream:  # CharLS takes 7 s to find that out
        message = f"The picture in the DICOM file of {len(stream)} bytes is truncated: it has no end marker."
        raise KerasDrError(message, "Copy the file again from its source.")
    lacking = _lacking_tiles(stream)
    if lacking:  # OpenJPEG leaves them black
        message = f"The picture in the DICOM file of {len(stream)} bytes is truncated: "
        message += f"{lacking} of its tiles are missing."
        raise KerasDrError(message, "Copy the file again from its source.")
    return precision


def _stream_header(stream: bytes) -> tuple[int, int, int] | None:
    """Return height, width and bits of a JPEG, JPEG-LS or JPEG 2000 picture; None for another kind (RLE)."""
    if stream.startswith(_J2K):  # SIZ (T.800, A.5.1)
        right, bottom, left, top = struct.unpack_from(">IIII", stream, 8)
        return bottom - top, right - left, (stream[42] & 0x7F) + 1
    if stream.startswith(_JP2):
        start = stream.find(_J2K)
        return _stream_header(stream[start : start + 64]) if start > 0 else None
    if not stream.startswith(b"\xff\xd8"):
        return None
    position = 2
    while True:
        position = stream.index(0xFF, position) + 1
        marker = stream[position]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            continue
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            precision, height, width = struct.unpack_from(">BHH", stream, position + 3)
            return height, width, precision
        position += 1 + struct.unpack_from(">H", stream, position + 1)[0]


def _lacking_tiles(stream: bytes) -> int:
    """Return how many tiles of a JPEG 2000 picture have no part in the stream (T.800, A.4.2 and B.3); else 0."""
    start = stream.find(_J2K)
    if start < 0 or not stream.startswith((_J2K, _JP2)):
        return 0
    right, bottom = struct.unpack_from(">II", stream, start + 8)
    width, height, left, top = struct.unpack_from(">IIII", stream, start + 24)
    expected = -(-(right - left) // width) * -(-(bottom - top) // height)
    position = start + 2
    while stream[position : position + 2] != _TILE_PART:  # the segments of the main header
        position += 2 + struct.unpack_from(">H", stream, position + 2)[0]
    found = set()
    while stream[position : position + 2] == _TILE_PART:
        number, length = struct.unpack_from(">HI", stream, position + 4)
        found.add(number)
        if length == 0:  # the last part, until the end of the picture
            break
        position += length
    return max(0, expected - len(found))


def _as_jpeg(stream: bytes, colours: str) -> bytes:
    """Return a JPEG file whose colours every decoder takes for what they are.

    Decoders take three components for YCbCr, unless a marker says otherwise. If the data set says RGB and the picture
    has no marker of its own (JFIF, Adobe), the marker is added. If it has one, that is believed: many programs write
    RGB into the data set although they compressed YCbCr.
    """
    head = stream[:4096]
    unmarked = b"JFIF\0" not in head and b"Adobe" not in head
    return stream[:2] + _ADOBE + stream[2:] if colours == "RGB" and unmarked else stream


def _samples(dataset: Any, index: int, syntax: str, stream: bytes) -> tuple[NDArray[Any], int]:
    """Return grey (H, W) or RGB (H, W, 3) samples, uint8 or uint16, and how many of their bits are used."""
    from pydicom.pixels import apply_color_lut, get_decoder

    plugin = _PLUGINS[syntax]
    decoder = get_decoder(syntax)
    if plugin and plugin not in decoder.available_plugins:
        message = f"The picture in the DICOM file is stored as {decoder.UID.name}, and the package that reads it, "
        message += f"{_PACKAGES.get(plugin, plugin)}, is not installed."
        raise MissingPackageError(message, "Install it with: pip install 'keras_dr[dicom]'")
    colours = str(dataset.PhotometricInterpretation)
    if plugin in _PACKAGES:
        pixels, colours = decode_apart(stream, dataset, syntax, plugin)
    else:
        pixels, about = decoder.as_array(dataset, index=index, raw=True, decoding_plugin=plugin)
        colours = str(about["photometric_interpretation"])
    stored = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if stored < 8 * pixels.itemsize:
        pixels = pixels & pixels.dtype.type((1 << stored) - 1)  # the bits above may hold overlays
    if colours == "PALETTE COLOR":
        _check_palette(dataset)
        pixels = apply_color_lut(pixels, dataset)
        return (pixels >> 8 * (pixels.itemsize - 1)).astype(np.uint8), 8  # entries of 16 bits use all of them
    if colours == "MONOCHROME1":
        pixels = pixels.dtype.type((1 << stored) - 1) - pixels
    if colours in ("YBR_FULL", "YBR_FULL_422"):
        pixels = _from_ybr(pixels, stored)
    return pixels, stored


def _check_palette(dataset: Any) -> None:
    """Refuse a palette whose tables are missing or have another length than their descriptors say."""
    for colour in ("Red", "Green", "Blue"):
        descriptor = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
        table = dataset.get(f"{colour}PaletteColorLookupTableData")
        if not isinstance(table, bytes) or descriptor is None or len(descriptor) != 3:
            raise KerasDrError(f"The DICOM file's palette has no table for {colour.lower()}.", _EXPORT)
        entries = int(descriptor[0]) or 1 << 16  # 0 stands for 65536 (PS3.3, C.7.6.3.1.5)
        bits = int(descriptor[2])
        if bits not in (8, 16) or len(table) not in (entries, entries + entries % 2, 2 * entries):
            message = f"The DICOM file's palette has {len(table)} bytes for {entries} entries of {bits} bits."
            raise KerasDrError(message, _EXPORT)


def _from_ybr(pixels: NDArray[Any], stored: int) -> NDArray[Any]:
    """Convert YCbCr of the full range to RGB (PS3.3, C.7.6.3.1.2), rounded."""
    half = 1 << (stored - 1)
    luma, blue, red = (pixels[..., channel].astype(np.float32) for channel in range(3))
    blue -= half
    red -= half
    colours = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    return np.clip(np.rint(np.stack(colours, axis=-1)), 0, (1 << stored) - 1).astype(pixels.dtype)


def _encode(pixels: NDArray[Any], stored: int) -> bytes:
    """Return samples as a PGM or PPM file; as a TIFF file if it is not known how many of sixteen bits are used."""
    if stored == 16 and pixels.dtype == np.uint16:
        return _tiff(pixels)
    if stored > 8:
        pixels = pixels >> (stored - 8)
    elif stored < 8:
        pixels = pixels.astype(np.uint16) * 255 // ((1 << stored) - 1)
    mark = "P5" if pixels.ndim == 2 else "P6"
    return f"{mark}\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode() + pixels.astype(np.uint8).tobytes()


def _tiff(pixels: NDArray[np.uint16]) -> bytes:
    """Return an uncompressed TIFF file of one strip, with little-endian samples (TIFF 6.0, section 6)."""
    samples = 1 if pixels.ndim == 2 else 3
    content = pixels.astype("<u2").tobytes()
    bits_at = 8 + len(content)
    entries = [
        (256, 4, 1, pixels.shape[1]),  # ImageWidth
        (257, 4, 1, pixels.shape[0]),  # ImageLength
        (258, 3, samples, 16 if samples == 1 else bits_at),  # BitsPerSample
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 1 if samples == 1 else 2),  # grey or RGB
        (273, 4, 1, 8),  # StripOffsets
        (277, 3, 1, samples),  # SamplesPerPixel
        (278, 4, 1, pixels.shape[0]),  # RowsPerStrip
        (279, 4, 1, len(content)),  # StripByteCounts
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = bits_at + 8
    return struct.pack("<2sHI", b"II", 42, start) + content + struct.pack("<4H", 16, 16, 16, 0) + directory + bytes(4)
