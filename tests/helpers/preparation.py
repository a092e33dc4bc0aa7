"""What tests of `prepare` share: a call with few words, and what it wrote."""

import csv
import hashlib
import shutil
from pathlib import Path

from drawn import SIZE

from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.preparation.prepare import prepare_records

SPEC = Preprocessing(SIZE)


def prepare(source: Path, target: Path, spec: Preprocessing = SPEC, **settings: object) -> dict:
    name, records = read_records(source)
    return prepare_records(records, source, target, spec, dataset=name, **{"workers": 0} | settings)


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def copied(photographs: Path, folder: Path) -> Path:
    return Path(shutil.copytree(photographs, folder / "source"))
