"""keras_dr.training.earlier_run: a training that starts from the backbone of another run."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets import read_records
from keras_dr.models.grader import build_model
from keras_dr.preparation.prepare import prepare_records
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe
from keras_dr.synthetic.photographs import write_dataset
from keras_dr.training import earlier_run
from keras_dr.training.earlier_run import met_in_words, photographs_met, starting_model
from keras_dr.training.run import Run
from keras_dr.training.train import train


@pytest.fixture(scope="module")
def further(recipe: Recipe, run_folder: Path) -> Recipe:
    """One epoch of the head on the backbone of `run_folder`."""
    phases = {"finetune": recipe.finetune.model_copy(update={"epochs": 0})}
    return recipe.model_copy(update={"weights": str(run_folder), "seed": 7, **phases})


@pytest.fixture(scope="module")
def further_run(prepared_folder: Path, further: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the same set, whose photographs are divided in another way."""
    folder = tmp_path_factory.mktemp("further") / "run"
    train(PreparedSet.load(prepared_folder).folded(Fold(1, 3)), folder, further)
    return folder


def split_counts(data: PreparedSet) -> dict[str, int]:
    return {split: sum(row["split"] == split for row in data.rows) for split in ("train", "val", "test")}


def test_the_backbone_is_the_earlier_runs_and_the_head_is_new(run_folder: Path, further_run: Path) -> None:
    earlier, later = (Run.load(folder).model() for folder in (run_folder, further_run))
    for earlier_layer, later_layer in zip(earlier.layers, later.layers, strict=True):
        pairs = zip(earlier_layer.get_weights(), later_layer.get_weights(), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs) == (earlier_layer.name != "logits")


def test_the_run_says_what_it_started_from(run_folder: Path, further_run: Path, prepared_folder: Path) -> None:
    """The set is the same, so the counts are those of all its train and val photographs, by the new division."""
    about = folders.read_manifest(further_run, "run")
    assert about["weights_sha256"] == folders.sha256_of(run_folder / "model.keras")
    (entry,) = about["started_from"]
    assert (further_run / entry["run"]).resolve() == run_folder.resolve()
    assert entry["model_sha256"] == about["weights_sha256"] and entry["set"] == prepared_folder.name
    expected = split_counts(PreparedSet.load(prepared_folder).folded(Fold(1, 3)))
    assert entry["met"] == expected | {"test": 0}
    assert f"copies of {expected['val']} validation and 0 test photographs" in met_in_words(entry)


def test_the_run_before_the_earlier_run_is_reported_too(
    run_folder: Path, further_run: Path, prepared_folder: Path
) -> None:
    entries = photographs_met(Run.load(further_run), PreparedSet.load(prepared_folder), further_run.parent / "next")
    assert [(further_run.parent / "next" / entry["run"]).resolve() for entry in entries] == [
        further_run.resolve(),
        run_folder.resolve(),
    ]
    assert all(entry["met"] and entry["met"]["val"] for entry in entries)


def test_photographs_of_another_set_are_new(run_folder: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "other", count=40, seed=77, size=(96, 128), workers=1)
    name, records = read_records(tmp_path / "other")
    prepare_records(records, tmp_path / "other", tmp_path / "set", Preprocessing(32), dataset=name, workers=0)
    (entry,) = photographs_met(Run.load(run_folder), PreparedSet.load(tmp_path / "set"), tmp_path / "run")
    assert entry["met"] == {"train": 0, "val": 0, "test": 0}
    assert "not trained or chosen on validation or test" in met_in_words(entry)


def test_a_set_that_is_gone_is_reported(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "elsewhere" / "run")
    run = Run.load(tmp_path / "elsewhere" / "run")
    (entry,) = photographs_met(run, PreparedSet.load(prepared_folder), tmp_path / "new")
    assert entry["met"] is None and entry["model_sha256"] == run.about["model_sha256"]
    assert "it is unknown" in met_in_words(entry)


def test_other_networks_are_refused(run_folder: Path, further: Recipe, tmp_path: Path) -> None:
    def start(**changes: str) -> None:
        starting_model(further.model_copy(update=changes), 32, 5)

    with pytest.raises(KerasDrError, match=r"its backbone is tiny, and the recipe's is resnet18.*--set backbone=tiny"):
        start(backbone="resnet18")
    with pytest.raises(KerasDrError, match=r"run\.json"):
        start(weights=str(tmp_path))
    (tmp_path / "both").mkdir()
    about = json.loads((run_folder / "run.json").read_text("utf-8")) | {"members": []}
    (tmp_path / "both" / "run.json").write_text(json.dumps(about))
    with pytest.raises(KerasDrError, match="is an ensemble"):
        start(weights=str(tmp_path / "both"))


def test_hostile_origins_are_refused(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    run = Run.load(run_folder)
    run.about["started_from"] = [{"set": "a"}]
    with pytest.raises(KerasDrError, match=r"started_from of .*run\.json is damaged"):
        photographs_met(run, PreparedSet.load(prepared_folder), tmp_path)


@pytest.mark.slow  # builds EfficientNet twice
def test_a_scaling_that_the_network_holds_is_taken_along(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    source = build_model("efficientnetb0", 32, 5)
    (scaling,) = (layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    scaling.set_weights([np.full(3, 0.5), np.full(3, 4.0), *scaling.get_weights()[2:]])
    scaling.finalize_state()

    class Earlier:
        def model(self) -> keras.Model:
            return source

    monkeypatch.setattr(earlier_run, "earlier_run", lambda recipe: Earlier())
    model = starting_model(recipe.model_copy(update={"backbone": "efficientnetb0"}), 32, 5)
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    pooled = [np.asarray(keras.Model(m.input, m.get_layer("pooling").output)(image)) for m in (source, model)]
    np.testing.assert_allclose(pooled[1], pooled[0], atol=1e-5)
