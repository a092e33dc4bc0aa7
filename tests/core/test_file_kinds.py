import io
import struct
import zipfile

import pytest

from keras_dr.core.decoding import decode_rgb
from keras_dr.core.errors import KerasDrError
from keras_dr.core.file_kinds import describe_kind
from keras_dr.core.headers import read_header


def workbook() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return stream.getvalue()


# a frame with 12 bits per sample, a scan, no table
TWELVE_BITS = b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x10\0\x10\1\1\x11\0"
TWELVE_BITS += b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(40) + b"\xff\xd9"
FILES = {
    "a HEIC picture": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 90,
    "an AVIF picture": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + b"\0" * 90,
    "a GIF picture": b"GIF89a\x10\0\x10\0" + b"\0" * 90,
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 90,
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"\0" * 90,
    "an Excel workbook": workbook(),
    "a table": b"image,grade\na.jpg,0\nb.jpg,3\n",
    "a text file": "Notes sur l'œil gauche.\n".encode(),
    "a JPEG picture with 12 bits per sample": TWELVE_BITS,
    "a PGM picture with samples up to 4095": b"P5\n4 4\n4095\n" + bytes(32),
    "a web page or an XML file": b"<!DOCTYPE html><html><body>Not found</body></html>",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_called_by_its_kind(kind: str) -> None:
    with pytest.raises(KerasDrError) as caught:
        decode_rgb(FILES[kind])
    assert kind in caught.value.message and caught.value.remedy
    assert "Copy" not in caught.value.remedy or "XML" in kind


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(KerasDrError, match="empty file"):
        decode_rgb(b"")


def test_text_cut_within_a_letter_is_text() -> None:
    assert describe_kind(("a" * 4095 + "œ").encode())[0] == "a text file"


def test_binary_data_of_no_known_kind_have_none() -> None:
    assert describe_kind(bytes(range(200, 256)) * 9) == ("", "")


def test_a_raw_file_is_no_preview() -> None:
    tags = ((254, 4, 1), (256, 3, 160), (257, 3, 120), (258, 3, 8), (330, 4, 500))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes(160 * 120)
    with pytest.raises(KerasDrError, match="raw file"):
        read_header(data, "largest")
    assert read_header(data).width == 160
