"""Folders that an older version wrote, see tests/data/before_the_move/make.py: real ones, there in a moment."""

import json
import tarfile
from pathlib import Path

from places import ROOT

ARCHIVE = ROOT / "tests" / "data" / "before_the_move" / "work.tar.xz"


def unpack(folder: Path, *names: str) -> Path:
    """Put the folders of these names, such as "bundle", into a folder."""
    with tarfile.open(ARCHIVE) as stream:
        members = [one for one in stream.getmembers() if one.name.lstrip("./").split("/")[0] in names]
        stream.extractall(folder, members=members, filter="data")
    return folder


def change_bundle(bundle: Path, preprocessing: dict[str, object], **values: object) -> Path:
    """Set keys of bundle.json and of the preprocessing in it."""
    file = bundle / "bundle.json"
    about = json.loads(file.read_text()) | values
    about["preprocessing"] |= preprocessing
    file.write_text(json.dumps(about))
    return bundle
