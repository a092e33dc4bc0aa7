"""The loop over the epochs of both phases: the head on a frozen backbone, then the unfrozen network."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress, no_progress
from keras_dr.metrics import measure
from keras_dr.models.grader import LOGITS, freeze
from keras_dr.models.heads import HEADS, probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Finetune, Frozen, Phase, Recipe
from keras_dr.reports.tables import show
from keras_dr.training.checkpoints import PHASES, Checkpoints, State, add_to_metrics, held_interrupt, metric_values
from keras_dr.training.earlier_run import starting_model
from keras_dr.training.optimisers import make_optimizer, plateau_rate
from keras_dr.training.pipeline import Batches, Photographs, augmented_reader, class_weights, target_matrix
from keras_dr.training.preflight import check_recipe
from keras_dr.training.spread import DeviceSpread


@dataclass(frozen=True)
class _Stage:
    """What learns in a phase, and from what.

    Attributes:
        trainer: the part of the grader that is run, apart from it, so that model.keras has no optimiser.
        reader: epoch over both phases -> what reads a batch of training photographs, or of their features.
        validation: batches of the validation photographs, or of their features.
    """

    trainer: keras.Model
    reader: Callable[[int], Callable[[tf.Tensor], tf.Tensor]]
    validation: tf.data.Dataset


class Training:
    """The data, the network and the loop over the epochs of both phases.

    Args:
        prepared: set with train and val splits.
        recipe: what to do.
        progress: called with (steps done, steps at most, what is going on).
        save_every: steps after which an epoch is saved midway; 0: only after epochs.
        spread: over which devices; made and used in its scope.
        callbacks: Keras callbacks, called with the epochs of both phases.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        recipe: Recipe,
        progress: Progress | None,
        save_every: int = 0,
        spread: DeviceSpread | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.size, self.recipe, self.task = prepared.preprocessing.size, recipe, prepared.task
        classes, train_set, val_set = len(self.task.classes), prepared.split("train"), prepared.split("val")
        self.preprocessing, self.save_every = prepared.preprocessing, save_every
        self.val_labels = val_set.labels()
        check_recipe(recipe, self.task, self.val_labels)
        self.spread = spread or DeviceSpread()
        self.spread.check(recipe.batch_size, max(recipe.frozen.accumulate, recipe.finetune.accumulate))
        self.head = HEADS[recipe.head]
        keras.utils.set_random_seed(recipe.seed)
        with _precision(recipe.precision):
            self.model = starting_model(recipe, self.size, classes)
        self.photographs = Photographs(train_set.image_files(), self.size)
        self.val_photographs = Photographs(val_set.image_files(), self.size)
        targets = self.head.targets(target_matrix(classes, recipe)).astype(np.float32)
        labels = train_set.labels()
        weights = class_weights(labels, classes, recipe.class_weights)
        self.lesson = Batches(labels, targets, weights, recipe, self.spread)
        self.progress = progress or no_progress
        self.callbacks = keras.callbacks.CallbackList(list(callbacks), model=self.model)

    def run(self, folder: Path) -> State:
        """Both phases, from where an interrupted call stood; leaves <phase>.keras of each one's best epoch.

        Raises:
            KerasDrError: the loss is not finite, or the disk is full.
            KeyboardInterrupt: Ctrl-C; the step was finished and saved.
        """
        checkpoints = Checkpoints(folder)
        state = checkpoints.state()
        logs = tf.summary.create_file_writer(str(folder / "logs"))
        self.callbacks.on_train_begin()
        for phase in PHASES:
            if phase in state.finished:
                continue
            if phase != state.phase:
                state.phase, state.epoch, state.step, state.seconds = phase, 0, 0, 0.0
            settings: Phase = getattr(self.recipe, phase)
            if state.epoch < settings.epochs and not self._stale(state, settings):
                self._phase(settings, state, checkpoints, folder, logs)
            best = self.best(state)
            state.finished[phase] = best | {"epochs": state.epoch, "seconds": round(state.seconds, 1)}
            checkpoints.finish(state)
        logs.close()
        self.callbacks.on_train_end()
        return state

    def best(self, state: State) -> dict[str, Any]:
        """The phase's best epoch by the monitor, the first among equals: {"epoch": e, monitor: value}."""
        monitor = self.recipe.monitor
        if not state.rows():
            return {"epoch": 0, monitor: None}
        best = max(state.rows(), key=lambda row: measure.goodness(row[monitor], monitor))
        return {"epoch": best["epoch"], monitor: best[monitor]}

    def _phase(self, settings: Phase, state: State, checkpoints: Checkpoints, folder: Path, logs: Any) -> None:
        started = time.monotonic() - state.seconds
        stage = self._stage(settings, folder)
        optimizer = self._compile(stage.trainer, settings)
        if state.begun:
            checkpoints.load(stage.trainer, state)
        while state.epoch < settings.epochs and not self._stale(state, settings):
            if settings.schedule == "plateau":
                seen = [measure.goodness(row[self.recipe.monitor], self.recipe.monitor) for row in state.rows()]
                optimizer.learning_rate = plateau_rate(settings.learning_rate, seen)
            watch = _Watch(self, settings, state, started, checkpoints)
            epoch = self.overall(state)
            self.callbacks.on_epoch_begin(epoch)
            with held_interrupt() as watch.interrupted:
                row = self._epoch(stage, state, watch)
                with optimizer.averaged():
                    row |= self._validate(stage)
                    state.history.append(row)
                    state.epoch, state.step, state.seconds = state.epoch + 1, 0, time.monotonic() - started
                    if self.best(state)["epoch"] == state.epoch:
                        save_model(self.model, folder / f"{state.phase}.keras")
                checkpoints.save(stage.trainer, state)
            watch.epoch_ended(row)
            scores = {
                name: value for name, value in row.items() if name not in ("phase", "epoch") and value is not None
            }
            self.callbacks.on_epoch_end(epoch, scores)
            with logs.as_default():
                for name, value in scores.items():
                    tf.summary.scalar(f"{state.phase}/{name}", value, step=state.epoch)
            if watch.interrupted:
                raise KeyboardInterrupt

    def _stage(self, settings: Phase, folder: Path) -> _Stage:
        model = self.model
        validation = self.val_photographs.batches(self.recipe.batch_size)
        if isinstance(settings, Finetune):
            if (folder / "frozen.keras").is_file():
                model.load_weights(folder / "frozen.keras")
            freeze(model, settings.unfreeze, settings.train_batch_norm)
            return _Stage(keras.Model(model.input, model.output), self._reader(settings), validation)
        assert isinstance(settings, Frozen)
        freeze(model, None)
        backbone = keras.Model(model.input, model.get_layer("pooling").output)
        if settings.augment and not settings.views:
            image = keras.Input(model.input_shape[1:])
            trainer = keras.Model(image, self._head(backbone(image, training=False)))
            return _Stage(trainer, self._reader(settings), validation)
        pooled = keras.Input(backbone.output_shape[1:])
        views, seen = self._features(backbone, settings), backbone.predict(validation, verbose=0)
        seen = tf.data.Dataset.from_tensor_slices(seen).batch(self.recipe.batch_size)
        return _Stage(
            keras.Model(pooled, self._head(pooled)),
            lambda epoch: lambda indices: tf.gather(views[epoch % len(views)], indices),
            seen,
        )

    def _features(self, backbone: keras.Model, settings: Frozen) -> list[tf.Tensor]:
        """Pooled features (n, channels) of the training photographs, of each augmented view or as they are."""
        views = []
        indices = tf.data.Dataset.range(len(self.photographs)).batch(self.recipe.batch_size)
        for view in range(settings.views if settings.augment else 1):
            self.progress(0, self._total(), f"frozen: features, view {view + 1}")
            batches = indices.map(self._reader(settings)(view), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
            views.append(tf.constant(backbone.predict(batches, verbose=0)))
        return views

    def _reader(self, settings: Phase) -> Callable[[int], Callable[[tf.Tensor], tf.Tensor]]:
        if settings.augment:
            return lambda epoch: augmented_reader(self.photographs, self.recipe, epoch)
        return lambda epoch: self.photographs.tensor

    def _head(self, pooled: Any) -> Any:
        return self.model.get_layer(LOGITS)(self.model.get_layer("dropout")(pooled))

    def _compile(self, trainer: keras.Model, settings: Phase) -> Any:
        optimizer = make_optimizer(settings, self.lesson.steps, trainer)
        right = keras.metrics.MeanMetricWrapper(self.head.right, name="accuracy")
        loss = self.head.loss(self.recipe.focal_gamma)
        trainer.compile(optimizer, loss, metrics=[right], weighted_metrics=[], jit_compile=self.recipe.jit)
        return optimizer

    def _epoch(self, stage: _Stage, state: State, watch: "_Watch") -> dict[str, Any]:
        overall, copies = self.overall(state), self.spread.copies
        self._seed(overall * self.lesson.steps + state.step)
        for first, last, divided in self.lesson.stretches(state.step):
            batches = self.lesson.batches(stage.reader(overall), overall, first, last, divided)
            watch.state, watch.copies = replace(watch.state, step=first, sums=watch.sums), 1 if divided else copies
            with self.spread.divided() if divided else nullcontext():
                stage.trainer.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[watch])
            watch.sums = metric_values(stage.trainer)
        return {"phase": state.phase, "epoch": state.epoch + 1} | watch.means

    def _seed(self, step: int) -> None:
        """Set what dropout draws by seed and step, as the pipeline's order is, so that a resumed run repeats it."""
        for place, layer in enumerate(self.model.layers):
            if generator := getattr(layer, "seed_generator", None):
                generator.state.assign([(self.recipe.seed + place) % 2**31, step])

    def _validate(self, stage: _Stage) -> dict[str, Any]:
        logits = stage.trainer.predict(stage.validation, verbose=0)
        likely = probabilities(logits, len(self.task.classes))
        return measure.validation_scores(self.val_labels, likely, self.task, self.head.decision)

    def _stale(self, state: State, settings: Phase) -> bool:
        return state.epoch - self.best(state)["epoch"] >= settings.patience

    def overall(self, state: State) -> int:
        """The state's epoch, counted over both phases as if none stopped early."""
        return state.epoch + PHASES.index(state.phase) * self.recipe.frozen.epochs

    def _total(self) -> int:
        return (self.recipe.frozen.epochs + self.recipe.finetune.epochs) * self.lesson.steps


class _Watch(keras.callbacks.Callback):
    """Follows the batches of an epoch: means over its photographs, progress, saving midway, a loss out of bounds."""

    def __init__(
        self, training: Training, settings: Phase, state: State, started: float, checkpoints: Checkpoints
    ) -> None:
        super().__init__()
        self.training, self.started, self.checkpoints = training, started, checkpoints
        self.state = replace(state)  # as what is trained of the epoch by this call began
        self.text = f"{state.phase} {state.epoch + 1}/{settings.epochs}"
        self.sums, self.copies = state.sums, 1
        self.means: dict[str, float] = {}
        self.interrupted: list[int] = []

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Keras's call after each batch, with the means over the epoch's batches so far."""
        training, state = self.training, self.state
        if not np.isfinite(logs["loss"]):
            remedy = f"Lower {state.phase}.learning_rate; best weights so far are in the unfinished run's folder."
            raise KerasDrError("a finite loss", f"{logs['loss']} in {self.text}", remedy)
        done, steps = state.step + step + 1, training.lesson.steps
        if step == 0 and state.step:
            logs = add_to_metrics(self.model, self.sums, self.copies)
        self.means = {name: float(logs[name]) for name in ("loss", "accuracy")}
        training.progress(training.overall(state) * steps + done, training._total(), self.text)
        due = training.save_every and done % training.save_every == 0
        if done < steps and (due or self.interrupted):
            getattr(self.model, "jax_state_sync", lambda: None)()
            seconds = time.monotonic() - self.started
            sums = metric_values(self.model)
            self.checkpoints.save(self.model, replace(state, step=done, seconds=seconds, sums=sums))
            if self.interrupted:
                raise KeyboardInterrupt

    def epoch_ended(self, row: dict[str, Any]) -> None:
        """Show the monitor of a finished epoch."""
        training = self.training
        watched = f"{training.recipe.monitor} {show(row[training.recipe.monitor])}"
        done = (training.overall(self.state) + 1) * training.lesson.steps
        training.progress(done, training._total(), f"{self.text} {watched}")


def save_model(model: keras.Model, file: Path) -> None:
    """Write a model file so that it is whole or as it was before."""
    temporary = file.with_name(f".{file.name}")
    model.save(temporary)
    temporary.replace(file)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Within it, layers are made with a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
