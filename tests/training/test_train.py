import csv
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.metrics import measure
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.training import train


def weights_of(folder: Path, name: str = "model.keras") -> list[np.ndarray]:
    return keras.saving.load_model(folder / name, compile=False).get_weights()


def test_run_folder_holds_its_files(run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {"run.json", "model.keras", "frozen.keras", "history.csv", "curves.png", "logs"}
    assert not names & {"checkpoints", "plan.json", "finetune.keras"}
    about = folders.read_manifest(run_folder, "run")
    assert about["model_sha256"] == folders.sha256_of(run_folder / "model.keras")


def test_history_has_a_row_per_epoch(run_folder: Path) -> None:
    with (run_folder / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["phase"], row["epoch"]) for row in rows] == [("frozen", "1"), ("finetune", "1"), ("finetune", "2")]


def test_frozen_phase_leaves_the_backbone_alone(run_folder: Path, recipe: Recipe) -> None:
    from keras_dr.models.grader import build_model

    keras.utils.set_random_seed(recipe.seed)
    fresh = build_model("tiny", 32, 5, dropout=recipe.dropout)
    trained = keras.saving.load_model(run_folder / "frozen.keras", compile=False)
    for layer in fresh.layers:
        same = all(
            np.array_equal(a, b)
            for a, b in zip(layer.get_weights(), trained.get_layer(layer.name).get_weights(), strict=True)
        )
        assert same == (layer.name != "logits")


def stopping(stop_at: int, error: type[BaseException]) -> Callable[[int, int, str], None]:
    """Return a progress function that raises the error at call number `stop_at`."""
    calls = count(1)

    def stop(done: int, total: int, text: str) -> None:
        if next(calls) == stop_at:
            raise error

    return stop


@pytest.mark.parametrize("stop_at", [1, 3, 5, 8])
def test_interrupted_training_ends_with_the_same_weights(
    run_folder: Path, prepared_folder: Path, recipe: Recipe, tmp_path: Path, stop_at: int
) -> None:
    stop = stopping(stop_at, KeyboardInterrupt)
    data = PreparedSet.load(prepared_folder)
    with pytest.raises(KeyboardInterrupt):
        train.train(data, tmp_path / "run", recipe, progress=stop)
    assert not (tmp_path / "run").exists()
    train.train(data, tmp_path / "run", recipe)
    for weights, expected in zip(weights_of(tmp_path / "run"), weights_of(run_folder), strict=True):
        assert np.array_equal(weights, expected)
    assert (tmp_path / "run" / "history.csv").read_text() == (run_folder / "history.csv").read_text()


@pytest.mark.parametrize("stop_at", [2, 3, 4, 6, 11])
def test_a_training_saved_midway_ends_with_the_same_weights(
    run_folder: Path, prepared_folder: Path, recipe: Recipe, tmp_path: Path, stop_at: int
) -> None:
    """Like SIGKILL: nothing is saved when the process stops, so the earlier saves must be enough."""
    stop = stopping(stop_at, MemoryError)
    data = PreparedSet.load(prepared_folder)
    with pytest.raises(MemoryError):
        train.train(data, tmp_path / "run", recipe, progress=stop, save_every=1)
    train.train(data, tmp_path / "run", recipe, save_every=1)
    for weights, expected in zip(weights_of(tmp_path / "run"), weights_of(run_folder), strict=True):
        assert np.array_equal(weights, expected)
    assert (tmp_path / "run" / "history.csv").read_text() == (run_folder / "history.csv").read_text()


@pytest.fixture
def listening() -> Iterator[None]:
    """Make Ctrl-C interrupt, even if the tests' runner ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_ctrl_c_finishes_the_step_and_saves_it(
    run_folder: Path, prepared_folder: Path, recipe: Recipe, tmp_path: Path, stop_at: int
) -> None:
    calls: list[int] = []

    def stop(done: int, total: int, text: str) -> None:
        calls.append(done)
        if len(calls) == stop_at:
            signal.raise_signal(signal.SIGINT)

    data = PreparedSet.load(prepared_folder)
    with pytest.raises(KeyboardInterrupt):
        train.train(data, tmp_path / "run", recipe, progress=stop)
    calls_after: list[int] = []
    train.train(data, tmp_path / "run", recipe, progress=lambda done, total, text: calls_after.append(done))
    assert calls_after[0] == calls[-1] + 1
    for weights, expected in zip(weights_of(tmp_path / "run"), weights_of(run_folder), strict=True):
        assert np.array_equal(weights, expected)


def test_early_stopping_waits_for_its_patience(prepared_folder: Path, tmp_path: Path) -> None:
    phase = {"epochs": 6, "learning_rate": 1e-12, "patience": 2}  # nothing is learned: the first epoch stays the best
    recipe = recipe_from_dict(
        {"backbone": "tiny", "weights": "none", "frozen": phase, "finetune": phase | {"epochs": 0}}
    )
    about = train.train(PreparedSet.load(prepared_folder), tmp_path / "run", recipe).about
    assert about["phases"]["frozen"]["epochs"] == 3
    assert about["kept"] == "frozen"


def test_worse_finetuning_is_not_kept(prepared_folder: Path, tmp_path: Path) -> None:
    values = {
        "backbone": "tiny",
        "weights": "none",
        "monitor": "val_loss",
        "frozen": {"epochs": 1, "learning_rate": 1e-3},
        "finetune": {"epochs": 1, "learning_rate": 1.0, "warmup_epochs": 0, "schedule": "constant"},
    }
    about = train.train(PreparedSet.load(prepared_folder), tmp_path / "run", recipe_from_dict(values)).about
    assert about["phases"]["finetune"]["val_loss"] > about["phases"]["frozen"]["val_loss"]
    assert about["kept"] == "frozen"
    kept_weights = weights_of(tmp_path / "run")
    for weights, expected in zip(kept_weights, weights_of(tmp_path / "run", "frozen.keras"), strict=True):
        assert np.array_equal(weights, expected)


def test_the_last_epoch_is_kept_however_bad_it_is(prepared_folder: Path, tmp_path: Path) -> None:
    values = {
        "backbone": "tiny",
        "weights": "none",
        "monitor": "val_loss",
        "keep": "last",
        "frozen": {"epochs": 1, "learning_rate": 1e-3},
        "finetune": {"epochs": 3, "learning_rate": 1.0, "warmup_epochs": 0, "schedule": "constant", "patience": 1},
    }
    about = train.train(PreparedSet.load(prepared_folder), tmp_path / "run", recipe_from_dict(values)).about
    assert about["phases"]["finetune"]["val_loss"] > about["phases"]["frozen"]["val_loss"]
    assert about["kept"] == "finetune"
    assert about["phases"]["finetune"]["epochs"] == about["phases"]["finetune"]["epoch"] == 3
    assert about["validation"]["val_loss"] == pytest.approx(about["phases"]["finetune"]["val_loss"], rel=1e-4)


def test_a_loss_that_is_not_finite_stops_with_a_remedy(prepared_folder: Path, tmp_path: Path) -> None:
    phase = {"epochs": 1, "learning_rate": 1e38}
    values = {"backbone": "tiny", "weights": "none", "batch_size": 2, "frozen": phase}
    with pytest.raises(KerasDrError, match=r"Lower frozen\.learning_rate"):
        train.train(PreparedSet.load(prepared_folder), tmp_path / "run", recipe_from_dict(values))


def test_existing_run_is_refused_before_any_work(run_folder: Path, prepared_folder: Path, recipe: Recipe) -> None:
    with pytest.raises(KerasDrError, match="--overwrite"):
        train.train(PreparedSet.load(prepared_folder), run_folder, recipe)


@pytest.mark.parametrize(("monitor", "better", "worse"), [("val_loss", 0.1, 0.2), ("val_auroc", 0.9, float("nan"))])
def test_goodness_orders_monitors(monitor: str, better: float, worse: float) -> None:
    assert measure.goodness(better, monitor) > measure.goodness(worse, monitor)


def test_a_stop_while_results_are_written_loses_no_phase(
    run_folder: Path, prepared_folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    data = PreparedSet.load(prepared_folder)
    for name in ("plot_curves", "calibrated"):
        with monkeypatch.context() as patch, pytest.raises(OSError):
            patch.setattr(train, name, full_disk)
            train.train(data, tmp_path / "run", recipe)
    about = train.train(data, tmp_path / "run", recipe).about
    assert about["kept"] == folders.read_manifest(run_folder, "run")["kept"]
    for weights, expected in zip(weights_of(tmp_path / "run"), weights_of(run_folder), strict=True):
        assert np.array_equal(weights, expected)


def test_an_interrupted_training_of_other_settings_is_not_dropped(
    prepared_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        raise KeyboardInterrupt

    data = PreparedSet.load(prepared_folder)
    with pytest.raises(KeyboardInterrupt):
        train.train(data, tmp_path / "run", recipe, progress=stop)
    with pytest.raises(KerasDrError, match="interrupted run"):
        train.train(data, tmp_path / "run", recipe.model_copy(update={"seed": 7}))


def test_validation_of_one_kind_is_refused_before_the_training(prepared_folder: Path, recipe: Recipe) -> None:
    data = PreparedSet.load(prepared_folder)
    rows = tuple(row for row in data.rows if row["split"] != "val" or row["label"] in data.task.classes[2:])
    with pytest.raises(KerasDrError, match="validation photographs"):
        train.train(replace(data, rows=rows), Path("never"), recipe)
