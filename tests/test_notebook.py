"""docs/aptos.ipynb runs from its first cell to its last, on drawn photographs in APTOS's layout."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from places import ROOT

from keras_dr.core.folders import read_json

NOTEBOOK = ROOT / "docs" / "aptos.ipynb"


@pytest.fixture
def aptos(photographs: Path, tmp_path: Path) -> Path:
    """train.csv and train_images/ as APTOS 2019 has them."""
    folder = tmp_path / "aptos"
    shutil.copytree(photographs / "images", folder / "train_images")
    with (photographs / "labels.csv").open(newline="") as stream:
        rows = [(Path(row["image"]).stem, row["grade"]) for row in csv.DictReader(stream)]
    with (folder / "train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("id_code", "diagnosis"), *rows])
    return folder


def test_no_outputs_are_stored() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow  # starts a kernel that loads TensorFlow, trains and exports
def test_it_runs_to_its_end(aptos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel and nbclient are in requirements-dev.txt")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    settings = {"KERAS_DR": ROOT, "APTOS": aptos, "OUT": tmp_path / "out", "SIZE": 32}
    for name, value in (settings | {"BACKBONE": "tiny", "WEIGHTS": "none", "EPOCHS": 1}).items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    assert read_json(tmp_path / "out" / "prepared" / "prepared.json")["dataset"] == "aptos"
    assert (tmp_path / "out" / "bundle" / "float32.tflite").is_file()
    assert "AUROC" in "".join(str(cell.get("outputs")) for cell in notebook.cells)
