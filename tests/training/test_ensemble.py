import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.evaluation import evaluate
from keras_dr.evaluation.costs import measure_cost
from keras_dr.models.grader import build_model, class_evidence, feature_layer
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.reports.model_card import MODEL_CARD
from keras_dr.training import ensemble, forward, train
from keras_dr.training.run import Run

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("head", ["softmax", "ordinal"])
def test_combined_logits_are_the_mean_of_the_members(head: str, tmp_path: Path) -> None:
    models = [build_model("tiny", 32, 5, head=head) for _ in range(3)]
    temperatures = [1.0, 2.0, 0.5]
    combined = ensemble.combined(models, temperatures)
    members = zip(models, temperatures, strict=True)
    expected = np.mean([model.predict(IMAGES, verbose=0) / temperature for model, temperature in members], axis=0)
    assert combined.predict(IMAGES, verbose=0) == pytest.approx(expected, abs=1e-5)
    combined.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert again.predict(IMAGES, verbose=0) == pytest.approx(expected, abs=1e-5)


def test_combined_heat_maps_are_the_mean_of_the_members() -> None:
    models = [build_model("tiny", 32, 5) for _ in range(2)]

    def evidence(model: keras.Model) -> np.ndarray:
        features = keras.Model(model.input, feature_layer(model).output).predict(IMAGES, verbose=0)
        return features @ class_evidence(model)

    expected = np.mean([evidence(model) for model in models], axis=0)
    assert evidence(ensemble.combined(models, [1.0, 1.0])) == pytest.approx(expected, abs=1e-4)


def test_feature_maps_of_different_sides_are_refused() -> None:
    models = [build_model(name, 32, 5) for name in ("tiny", "vgg16")]
    with pytest.raises(KerasDrError, match="tiny 1, vgg16 2"):
        ensemble.combined(models, [1.0, 1.0])


@pytest.fixture(scope="module")
def second_run(prepared_folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second") / "run"
    train.train(PreparedSet.load(prepared_folder), folder, recipe.model_copy(update={"seed": 7}))
    return folder


def test_an_ensemble_is_a_run(run_folder: Path, second_run: Path, tmp_path: Path) -> None:
    about = ensemble.ensemble([run_folder, second_run], tmp_path / "both").about
    assert [member["model_sha256"] for member in about["members"]] == [
        folders.read_manifest(folder, "run")["model_sha256"] for folder in (run_folder, second_run)
    ]
    both = Run.load(tmp_path / "both")
    data = both.prepared_set().split("test")
    _, figures = evaluate.evaluate_photographs(both, data, both.result_name(data, "test"))
    assert figures["photographs"] == len(data.rows)
    assert (tmp_path / "both" / "evaluation").is_dir()
    assert measure_cost(both, both.model())["latency_ms"] > 0


def test_an_ensemble_of_one_run_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="at least 2 runs, but 1 is given"):
        ensemble.ensemble([run_folder], tmp_path / "one")
    with pytest.raises(KerasDrError, match="named more than once"):
        ensemble.ensemble([run_folder, run_folder], tmp_path / "one")


def test_folds_are_calibrated_on_photographs_they_were_not_trained_on(prepared_folder: Path, tmp_path: Path) -> None:
    from keras_dr.recipe import recipe_from_dict
    from keras_dr.training.folds import cross_validate

    phase = {"epochs": 1, "learning_rate": 1e-3}
    values = {"backbone": "tiny", "weights": "none", "frozen": phase, "finetune": phase | {"epochs": 0}}
    data = PreparedSet.load(prepared_folder)
    cross_validate(data, tmp_path / "cv", recipe_from_dict(values), folds=2)
    about = ensemble.ensemble([tmp_path / "cv"], tmp_path / "both").about
    assert len(about["members"]) == 2 and about["data"]["folds"]
    assert Run.load(tmp_path / "both").own_set().rows == data.rows


def test_turned_views_are_averaged_and_thresholds_chosen_again(run_folder: Path) -> None:
    run = Run.load(run_folder)
    tta_run = forward.with_tta(run)
    data = run.prepared_set().split("test")
    model = run.model()
    images = data.images(range(len(data.rows))).astype(np.float32)
    views = [np.rot90(view, k, (1, 2)) for view in (images, images[:, :, ::-1]) for k in range(4)]
    expected = np.mean([model.predict(view, verbose=0) for view in views], axis=0)
    assert forward.forward(tta_run, model, data) == pytest.approx(expected, abs=1e-4)
    assert tta_run.about["operating_point"]["value"] == tta_run.threshold
    assert tta_run.result_name(data, "test").endswith("-turned")
    predicted = forward.predict(tta_run, model, data)
    assert predicted == pytest.approx(probabilities(expected, 5, tta_run.temperature), abs=1e-4)


def test_turned_views_have_no_card_and_are_reported(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.copytree(prepared_folder, tmp_path / "moved")
    run = Run.load(tmp_path / "run")
    data = run.prepared_set(tmp_path / "moved").split("test")
    tta_run = forward.with_tta(run, tmp_path / "moved")
    before = (tmp_path / "run" / MODEL_CARD).exists()
    folder, figures = evaluate.evaluate_photographs(tta_run, data, tta_run.result_name(data, "test"))
    assert folder.name == f"{prepared_folder.name}-test-turned" and figures["turned"]
    assert (tmp_path / "run" / MODEL_CARD).exists() == before
    assert "eight views" in (folder / "report.html").read_text()
