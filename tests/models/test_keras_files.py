"""keras_dr.models.keras_files: only the .keras file of a grader is loaded."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.models.grader import build_model
from keras_dr.models.keras_files import check_contents, load_grader


@pytest.fixture(scope="module")
def grader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a grader with the tiny backbone."""
    file = tmp_path_factory.mktemp("grader") / "model.keras"
    build_model("tiny", 32, 5).save(file)
    return file


def rewritten(file: Path, to: Path, kind: int = zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """Write the archive with other members, by name with "_" for "."; None omits a member."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", ".") if name in ("config_json",) else name: data for name, data in members.items()}
    with zipfile.ZipFile(to / "model.keras", "w", kind) as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return to / "model.keras"


def reconfigured(file: Path, to: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """Write the archive with changed descriptions of its layers."""
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"))
    change(config["config"]["layers"])
    return rewritten(file, to, config_json=json.dumps(config).encode())


@pytest.mark.parametrize("head", ["softmax", "ordinal", "regression"])
def test_a_grader_is_read(head: str, tmp_path: Path) -> None:
    """Graders with other backbones are read in test_backbones.py."""
    model = build_model("tiny", 32, 5, head=head)
    model.save(tmp_path / "model.keras")
    image = np.full((1, 32, 32, 3), 99, np.float32)
    again = load_grader(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(image, verbose=0), model.predict(image, verbose=0))


@pytest.mark.parametrize("name", ["../../out", "/tmp/keras_dr_out", "assets/../../out", "assets/vocabulary.txt"])
def test_a_member_that_no_grader_has_is_refused(grader: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(KerasDrError, match=r"as a grader .*other members"):
        load_grader(rewritten(grader, tmp_path, **{name: b"x"}))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.keras"]


def test_a_compressed_archive_is_refused(grader: Path, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="a compressed member"):
        load_grader(rewritten(grader, tmp_path, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    ("module", "name", "registered"),
    [
        ("keras.layers", "Lambda", None),
        ("keras.layers", "TFSMLayer", None),
        ("keras.layers", "StringLookup", None),  # reads a file
        ("builtins", "function", "function"),
        ("os", "system", None),
        ("keras.layers", "Dense", "package>Other"),
        (["keras.layers"], "Dense", None),
    ],
)
def test_a_layer_that_no_grader_has_is_refused(
    grader: Path, tmp_path: Path, module: Any, name: str, registered: str | None
) -> None:
    def change(layers: list[dict[str, Any]]) -> None:
        layers[-1] |= {"module": module, "class_name": name, "registered_name": registered}

    with pytest.raises(KerasDrError, match="a layer"):
        load_grader(reconfigured(grader, tmp_path, change))


def test_a_layer_that_would_fill_the_memory_is_refused(grader: Path, tmp_path: Path) -> None:
    def change(layers: list[dict[str, Any]]) -> None:
        layers[-1]["config"]["units"] = 300_000_000

    with pytest.raises(KerasDrError, match="as a grader"):
        load_grader(reconfigured(grader, tmp_path, change))


def test_weights_from_another_file_are_refused(grader: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(grader) as archive:
        stream = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(stream, "r+") as weights:
        names: list[str] = []
        weights.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            shape, dtype = weights[name].shape, weights[name].dtype
            del weights[name]
            weights.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(KerasDrError, match="as a grader"):
        load_grader(rewritten(grader, tmp_path, **{"model.weights.h5": stream.getvalue()}))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x89HDF\r\n\x1a\n" + bytes(99), b"PK\x03\x04" + bytes(99)])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(KerasDrError, match=r"as a grader .*BadZipFile"):
        load_grader(tmp_path / "model.keras")


def test_contents_are_checked_without_keras_reading_them(grader: Path) -> None:
    check_contents(grader)
