"""The two phases of a training; interruptions are tested in test_train.py."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.metrics import measure
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import recipe_from_dict
from keras_dr.training import train
from keras_dr.training.pipeline import Photographs

ONE_EPOCH = {"epochs": 1, "learning_rate": 1e-3}


def run(folder: Path, target: Path, **settings: Any) -> dict[str, Any]:
    values = {"backbone": "tiny", "weights": "none", "frozen": ONE_EPOCH, "finetune": {"epochs": 0}}
    return train.train(PreparedSet.load(folder), target, recipe_from_dict(values | settings)).about


def model_of(target: Path, name: str = "model.keras") -> keras.Model:
    return keras.saving.load_model(target / name, compile=False)


def same(first: list[np.ndarray], second: list[np.ndarray], tolerance: float = 0.0) -> bool:
    return all(np.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("augment", [False, True])
def test_a_head_learns_the_same_from_cached_features(
    prepared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: bool
) -> None:
    """Compared with the ordinary loop, which runs the backbone in every epoch."""
    phase = {"epochs": 3, "learning_rate": 1e-2, "augment": augment}
    run(prepared_folder, tmp_path / "cached", frozen=phase | {"views": 3})
    if not augment:  # the ordinary loop, but without its random changes
        monkeypatch.setattr("keras_dr.training.loop.augmented_reader", lambda photographs, *rest: photographs.tensor)
    run(prepared_folder, tmp_path / "ordinary", frozen=phase | {"augment": True})
    assert same(model_of(tmp_path / "cached").get_weights(), model_of(tmp_path / "ordinary").get_weights(), 1e-5)


def test_each_view_is_computed_once(prepared_folder: Path, tmp_path: Path) -> None:
    calls = []
    values = {"backbone": "tiny", "weights": "none", "finetune": {"epochs": 0}}
    recipe = recipe_from_dict(values | {"frozen": ONE_EPOCH | {"epochs": 4, "views": 2}})
    train.train(
        PreparedSet.load(prepared_folder),
        tmp_path / "run",
        recipe,
        progress=lambda done, total, text: calls.append(text),
    )
    assert [text for text in calls if "view" in text] == ["frozen: features, view 1", "frozen: features, view 2"]


@pytest.mark.parametrize("head", ["ordinal", "regression"])
def test_other_heads_end_as_linear_heads_over_the_grades(prepared_folder: Path, tmp_path: Path, head: str) -> None:
    finetune = ONE_EPOCH | {"epochs": 2, "ema": 0.5, "clip_norm": 1.0, "first_layer_rate": 0.1}
    about = run(prepared_folder, tmp_path / "run", head=head, finetune=finetune, monitor="val_loss")
    assert about["decision"] == "median"
    val = PreparedSet.load(prepared_folder).split("val")
    logits = model_of(tmp_path / "run").predict(Photographs(val.image_files(), 32).batches(16), verbose=0)
    assert logits.shape[1] == 4 and (np.diff(logits, axis=1) <= 0).all()
    scores = measure.validation_scores(val.labels(), probabilities(logits, 5), val.task, "median")
    assert scores["val_quadratic_kappa"] == pytest.approx(about["validation"]["val_quadratic_kappa"])
    assert model_of(tmp_path / "run", "frozen.keras").output_shape == (None, 4)


def test_mixed_precision_ends_in_float32(prepared_folder: Path, tmp_path: Path) -> None:
    run(prepared_folder, tmp_path / "run", precision="mixed_bfloat16")
    assert {layer.dtype_policy.name for layer in model_of(tmp_path / "run").layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_averaged_weights_are_kept_and_training_goes_on_from_the_others(prepared_folder: Path, tmp_path: Path) -> None:
    frozen = {"epochs": 1, "learning_rate": 1e-2}
    run(prepared_folder, tmp_path / "plain", frozen=frozen)
    run(prepared_folder, tmp_path / "averaged", frozen=frozen | {"ema": 0.9})
    heads = [model_of(tmp_path / name).get_layer("logits").get_weights() for name in ("plain", "averaged")]
    assert not same(*heads)
    plain, averaged = ((tmp_path / name / "history.csv").read_text().split("\n")[1] for name in ("plain", "averaged"))
    assert plain.split(",")[:4] == averaged.split(",")[:4]  # the same training loss


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "regression", "focal_gamma": 2}, "squared error"),
        ({"frozen": ONE_EPOCH | {"optimizer": "adam", "weight_decay": 0.1}}, "adamw"),
        ({"frozen": ONE_EPOCH | {"schedule": "plateau", "warmup_epochs": 1}}, "warm-up"),
        ({"oversampling": [1, 2]}, "5 weights of classes"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    prepared_folder: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(KerasDrError, match=message):
        run(prepared_folder, tmp_path / "run", **settings)


def test_plateau_lowers_the_rate(prepared_folder: Path, tmp_path: Path) -> None:
    phase = {"epochs": 5, "learning_rate": 1e-12, "schedule": "plateau", "optimizer": "sgd"}
    about = run(prepared_folder, tmp_path / "run", frozen=phase)
    assert about["phases"]["frozen"]["epochs"] == 5
    assert folders.read_manifest(tmp_path / "run", "run")["kept"] == "frozen"
