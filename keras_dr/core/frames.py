"""The frames of a DICOM file as photographs with paths of their own: eye.dcm/frame-2 is the second frame of eye.dcm.

No such path can exist in a file system, because eye.dcm is no folder. So lists, tables and journals name frames as they
name files.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from keras_dr.core.dicom_files import is_dicom, read_start
from keras_dr.core.errors import KerasDrError

if TYPE_CHECKING:  # image_files, which everything imports, starts without the reader of DICOM files
    from keras_dr.core.dicom import Subject

FRAME = re.compile(r"frame-([1-9]\d{0,3})")


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Return the file that holds a photograph, and the number of its frame from 1; None if the path names no frame.

    Example:
        >>> split_frame(Path("eye.dcm/frame-2"))
        (PosixPath('eye.dcm'), 2)
    """
    found = FRAME.fullmatch(path.name)
    try:
        inside = found is not None and path.parent.is_file()
    except (OSError, ValueError):  # no file can have this name
        inside = False
    return (path.parent, int(found[1])) if found and inside else (path, None)


def expand_frames(path: Path) -> Iterator[Path]:
    """Yield the path of each photograph in a file: one per frame of a DICOM file with several frames, else the file.

    A DICOM file that cannot be read is yielded itself; the reason is reported when it is decoded.

    Args:
        path: a file, which may be missing, or a frame.
    """
    subject = None if split_frame(path)[1] else subject_of(path)
    count = subject.frames if subject else 1
    if count == 1:
        yield path
    else:
        yield from (path / f"frame-{number}" for number in range(1, count + 1))


def subject_of(path: Path) -> "Subject | None":
    """Return what a DICOM file says besides its pixels; None for other files, and for one that cannot be read.

    Args:
        path: a file or a frame.
    """
    file, frame = split_frame(path)
    try:
        status = file.stat()
        return _subject(file, frame, status.st_size, status.st_mtime_ns)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4096)  # a folder that is watched is searched every second
def _subject(file: Path, frame: int | None, size_bytes: int, changed_ns: int) -> "Subject | None":
    if not is_dicom(read_start(file)):
        return None
    from keras_dr.core.dicom import describe

    try:
        return describe(file.read_bytes(), frame)
    except KerasDrError:
        return None


def read_file(path: Path) -> bytes:
    """Return the bytes of a photograph's file; those of the photograph itself if the path names a frame.

    Args:
        path: a file, or a frame such as eye.dcm/frame-2.

    Raises:
        OSError: the file cannot be read.
        KerasDrError: the frame cannot be read.
    """
    file, frame = split_frame(path)
    data = file.read_bytes()
    if frame is None:
        return data
    from keras_dr.core.dicom import unwrap

    return unwrap(data, frame)[0]
