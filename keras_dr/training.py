"""Two-phase training: the head on a frozen backbone, then the unfrozen network; interrupted, it goes on by the epoch.

RUN/ run.json model.keras frozen.keras history.csv curves.png logs/
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from keras_dr import metrics, runs
from keras_dr.config import Finetune, Phase, Recipe
from keras_dr.errors import KerasDrError
from keras_dr.files import encode_csv
from keras_dr.grades import Task
from keras_dr.model import build_model, freeze, softmax
from keras_dr.pipeline import Photographs, training_batches
from keras_dr.plots import plot_curves
from keras_dr.prepared import PreparedSet
from keras_dr.report import show

PHASES = ("frozen", "finetune")
Progress = Callable[[int, int, str], None]


@keras.saving.register_keras_serializable("keras_dr")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then constant or a half cosine down to 0 (Loshchilov and Hutter, ICLR 2017).

    Args:
        peak: learning rate after the warm-up.
        warmup_steps, total_steps: optimiser steps.
        cosine: whether to decay.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, cosine: bool) -> None:
        self.peak, self.warmup_steps, self.total_steps, self.cosine = peak, warmup_steps, total_steps, cosine

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        warm = ops.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        if not self.cosine:
            return self.peak * warm
        passed = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * warm * 0.5 * (1 + ops.cos(math.pi * ops.clip(passed, 0.0, 1.0)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("peak", "warmup_steps", "total_steps", "cosine")
        return {name: getattr(self, name) for name in names}


@dataclass
class _State:
    """Where a training stands after a finished epoch; `checkpoints/state.json`."""

    phase: str = PHASES[0]
    epoch: int = 0  # finished epochs of the phase
    seconds: float = 0.0  # spent in the phase
    history: list[dict[str, Any]] | None = None
    finished: dict[str, dict[str, Any]] | None = None  # phase -> result

    def __post_init__(self) -> None:
        self.history, self.finished = self.history or [], self.finished or {}


def train(
    prepared: PreparedSet, target: Path, recipe: Recipe, overwrite: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train a grader and write its Run folder; an interrupted call with the same inputs is continued.

    Args:
        prepared: set with train and val splits.
        target: folder to write.
        recipe: what to do.
        overwrite: replace an existing `target`.
        progress: called with (steps done, steps at most, what is going on).

    Returns:
        What run.json says.

    Raises:
        KerasDrError: `target` exists, weights cannot be had, validation photographs lack a kind, the loss is not
            finite, the disk is full, or an interrupted training of other settings lies there.
    """
    runs.check_target(target, "run", overwrite)
    data = runs.read_manifest(prepared.folder, "prepared")
    plan = {"recipe": recipe.model_dump(mode="json"), "data": data["manifest_sha256"]}
    training = _Training(prepared, recipe, progress)
    with runs.growing_folder(target, "run", plan, overwrite, precious=True) as folder:
        if not (folder / "run.json").is_file():
            state = training.run(folder)
            relative = os.path.relpath(prepared.folder.resolve(), target.resolve())
            _write_results(folder, training, state, {"prepared": relative, "manifest_sha256": data["manifest_sha256"]})
        # last of all: without these, an interrupted call would have to train again
        (folder / "finetune.keras").unlink(missing_ok=True)
        runs.remove_folder(folder / "checkpoints")
        return runs.read_manifest(folder, "run")


def _write_results(folder: Path, training: "_Training", state: "_State", data: dict[str, Any]) -> None:
    """model.keras, history.csv, curves.png and run.json of a finished training."""
    recipe, task, photographs = training.recipe, training.task, training.val_photographs
    model, kept = _keep_better(folder, state.finished, recipe.monitor)
    logits = model.predict(photographs.batches(recipe.batch_size), verbose=0)
    counts = {"train": len(training.photographs), "val": len(photographs)}
    runs.write_bytes(folder / "history.csv", encode_csv(list(state.history[0]), state.history))
    plot_curves(folder / "curves.png", state.history, recipe.monitor)
    runs.write_manifest(
        folder,
        "run",
        recipe=recipe.model_dump(mode="json"),
        task=task.name,
        classes=list(task.classes),
        referable=list(task.referable),
        preprocessing=training.preprocessing.to_dict(),
        data={**data, "photographs": counts},
        weights_sha256=runs.sha256_of(Path(recipe.weights)) if Path(recipe.weights).is_file() else None,
        parameters=model.count_params(),
        backend=keras.backend.backend(),
        phases=state.finished,
        kept=kept,
        temperature=1.0,
        operating_point=_operating_point(training.val_labels, logits, task, recipe),
        validation=metrics.validation_scores(training.val_labels, softmax(logits), task),
        model_sha256=runs.sha256_of(folder / "model.keras"),
    )


class _Training:
    """The data, the network and the loop over the epochs of both phases."""

    def __init__(self, prepared: PreparedSet, recipe: Recipe, progress: Progress | None) -> None:
        size, train_set, val_set = prepared.preprocessing.size, prepared.split("train"), prepared.split("val")
        if recipe.monitor == "val_auroc" and not prepared.task.referable:
            raise KerasDrError("a task with a positive class for val_auroc", prepared.task.name, "Set another monitor.")
        self.val_labels = val_set.labels()
        _check_validation(self.val_labels, prepared.task)
        keras.utils.set_random_seed(recipe.seed)
        self.model = build_model(recipe.backbone, size, len(prepared.task.classes), recipe.weights, recipe.dropout)
        self.recipe, self.task, self.preprocessing = recipe, prepared.task, prepared.preprocessing
        self.photographs, self.labels = Photographs(train_set.image_files(), size), train_set.labels()
        self.val_photographs = Photographs(val_set.image_files(), size)
        self.steps = math.ceil(len(self.photographs) / recipe.batch_size)
        self.progress = progress or (lambda done, total, text: None)
        self.trainer = self.model

    def run(self, folder: Path) -> _State:
        """Both phases, from where `folder` says an interrupted call stood."""
        (folder / "checkpoints").mkdir(exist_ok=True)
        state_file = folder / "checkpoints" / "state.json"
        state = _State(**runs.read_json(state_file)) if state_file.is_file() else _State()
        logs = tf.summary.create_file_writer(str(folder / "logs"))
        for number, phase in enumerate(PHASES):
            if phase in state.finished:
                continue
            if phase != state.phase:
                state.phase, state.epoch, state.seconds = phase, 0, 0.0
            self._start(phase, state, folder)
            settings: Phase = getattr(self.recipe, phase)
            started = time.monotonic() - state.seconds
            while state.epoch < settings.epochs and not self._stale(state, settings):
                first = number * self.recipe.frozen.epochs
                self._check_room(folder)
                row = self._epoch(phase, state.epoch, first + state.epoch, settings)
                state.history.append(row)
                state.epoch += 1
                state.seconds = time.monotonic() - started
                if self._best(state)["epoch"] == row["epoch"]:
                    self._save_model(folder / f"{phase}.keras")
                with logs.as_default():
                    for name in [name for name in row.keys() - {"phase", "epoch"} if row[name] is not None]:
                        tf.summary.scalar(f"{phase}/{name}", row[name], step=state.epoch)
                self._save(folder, state)
            state.finished[phase] = self._best(state) | {"epochs": state.epoch, "seconds": round(state.seconds, 1)}
            self._save(folder, state)
        logs.close()
        return state

    def _start(self, phase: str, state: _State, folder: Path) -> None:
        """Set the network to the phase: best weights of the one before it, or what an interrupted call saved."""
        settings: Phase = getattr(self.recipe, phase)
        if phase == "finetune" and (folder / "frozen.keras").is_file():
            self.model.load_weights(folder / "frozen.keras")
        unfreeze = settings.unfreeze if isinstance(settings, Finetune) else None
        freeze(self.model, unfreeze, isinstance(settings, Finetune) and settings.train_batch_norm)
        # compiled apart from `model`, so that model.keras is saved without the optimiser
        self.trainer = keras.Model(self.model.input, self.model.output)
        warmup, total = round(settings.warmup_epochs * self.steps), settings.epochs * self.steps
        schedule = WarmupSchedule(settings.learning_rate, warmup, total, settings.schedule == "cosine")
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay)
        optimizer.exclude_from_weight_decay([w for w in self.trainer.trainable_variables if len(w.shape) < 2])
        optimizer.build(self.trainer.trainable_variables)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.trainer.compile(optimizer, loss, weighted_metrics=[], metrics=["accuracy"])
        if state.epoch:
            self.trainer.load_weights(_checkpoint(folder, state))

    def _epoch(self, phase: str, epoch: int, overall: int, settings: Phase) -> dict[str, Any]:
        batches = training_batches(
            self.photographs, self.labels, len(self.task.classes), self.recipe, overall, settings.augment
        )
        # dropout's random state, like the pipeline's, is set by seed and epoch: a resumed run repeats it
        self.model.get_layer("dropout").seed_generator.state.assign([self.recipe.seed, overall])
        total = (self.recipe.frozen.epochs + self.recipe.finetune.epochs) * self.steps
        text = f"{phase} {epoch + 1}/{settings.epochs}"
        tick = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: self.progress(overall * self.steps + step + 1, total, text)
        )
        logs = self.trainer.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[tick]).history
        if not np.isfinite(logs["loss"][0]):
            remedy = f"Lower {phase}.learning_rate; best weights so far are in the unfinished run's folder."
            raise KerasDrError("a finite loss", f"{logs['loss'][0]} in {text}", remedy)
        logits = self.trainer.predict(self.val_photographs.batches(self.recipe.batch_size), verbose=0)
        scores = metrics.validation_scores(self.val_labels, softmax(logits), self.task)
        row = {"phase": phase, "epoch": epoch + 1, "loss": logs["loss"][0], "accuracy": logs["accuracy"][0]}
        watched = f"{self.recipe.monitor} {show(scores[self.recipe.monitor])}"
        self.progress((overall + 1) * self.steps, total, f"{text} {watched}")
        return row | scores

    def _best(self, state: _State) -> dict[str, Any]:
        """The phase's best epoch by the monitor, the first among equals: {"epoch": e, monitor: value}."""
        rows = [row for row in state.history if row["phase"] == state.phase]
        if not rows:
            return {"epoch": 0, self.recipe.monitor: None}
        best = max(rows, key=lambda row: goodness(row[self.recipe.monitor], self.recipe.monitor))
        return {"epoch": best["epoch"], self.recipe.monitor: best[self.recipe.monitor]}

    def _stale(self, state: _State, settings: Phase) -> bool:
        return state.epoch - self._best(state)["epoch"] >= settings.patience

    def _check_room(self, folder: Path) -> None:
        """For a checkpoint with AdamW's two moments beside the one before it, and the best model (HDF5 crashes on a
        full disk instead of telling)."""
        size = 4 * self.model.count_params()
        runs.check_room(folder, 8 * size + (1 << 20))

    def _save_model(self, file: Path) -> None:
        temporary = file.with_name(f".{file.name}")
        self.model.save(temporary)
        temporary.replace(file)

    def _save(self, folder: Path, state: _State) -> None:
        """Checkpoint first, then the state that names it, then drop the one before."""
        file = _checkpoint(folder, state)
        self.trainer.save_weights(file)
        runs.write_json(folder / "checkpoints" / "state.json", vars(state))
        for old in (folder / "checkpoints").glob("*.weights.h5"):
            if old != file:
                old.unlink()


def _checkpoint(folder: Path, state: _State) -> Path:
    return folder / "checkpoints" / f"{state.phase}-{state.epoch:04d}.weights.h5"


def goodness(value: float | None, monitor: str) -> float:
    """A monitor's value turned so that more is better; what does not exist is worst."""
    if value is None or np.isnan(value):
        return -math.inf
    return -value if monitor == "val_loss" else value


def _keep_better(folder: Path, phases: dict[str, dict[str, Any]], monitor: str) -> tuple[keras.Model, str]:
    """Make the better phase's best model model.keras; fine-tuning never ends below its frozen phase on validation."""
    trained = [phase for phase in PHASES if (folder / f"{phase}.keras").is_file()]
    if not trained:
        raise KerasDrError("at least one epoch", "0 in both phases", "Raise frozen.epochs or finetune.epochs.")
    kept = max(reversed(trained), key=lambda phase: goodness(phases[phase][monitor], monitor))
    runs.write_bytes(folder / "model.keras", (folder / f"{kept}.keras").read_bytes())
    return keras.saving.load_model(folder / "model.keras", compile=False), kept


def _check_validation(labels: NDArray[np.int64], task: Task) -> None:
    """Find out before the training that no operating point could be chosen after it."""
    positive = np.isin(labels, task.referable)
    if task.referable and (positive.all() or not positive.any()):
        found = f"{int(positive.sum())} positive of {len(positive)}"
        raise KerasDrError("positive and negative validation photographs", found, "Prepare with a larger --val.")


def _operating_point(
    labels: NDArray[np.int64], logits: NDArray[np.float32], task: Task, recipe: Recipe
) -> dict[str, Any]:
    rule, target = recipe.operating_point.rule, recipe.operating_point.target
    if not task.referable:  # nobody is referred: p_referable is 0 throughout
        return {"value": 1.0, "rule": rule, "target": target, "sensitivity": None, "specificity": None}
    positive = np.isin(labels, task.referable)
    scores = metrics.p_referable(softmax(logits), task)
    return metrics.choose_threshold(positive, scores, rule, target).to_dict()
