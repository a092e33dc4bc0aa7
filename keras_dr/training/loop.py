"""The loop over the epochs of both phases: first the head on a frozen backbone, then the unfrozen network."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError
from keras_dr.core.progress import Progress, no_progress
from keras_dr.metrics import measure
from keras_dr.models.grader import LOGITS, freeze
from keras_dr.models.heads import HEADS, probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Finetune, Frozen, Phase, Recipe
from keras_dr.reports.tables import show
from keras_dr.training.checkpoints import (
    PHASES,
    Checkpoints,
    State,
    add_to_metrics,
    held_interrupt,
    metric_values,
    sync_jax_state,
)
from keras_dr.training.distillation import Lessons, find_teachers, learn_from
from keras_dr.training.earlier_run import starting_model
from keras_dr.training.optimisers import make_optimizer, plateau_rate
from keras_dr.training.pipeline import Batches, Photographs, augmented_reader, class_weights, loaded, target_matrix
from keras_dr.training.preflight import check_recipe
from keras_dr.training.spread import DeviceSpread


@dataclass(frozen=True)
class _PhaseSetup:
    """The model that is trained in a phase, and its data.

    Attributes:
        trainer: the part of the grader that is trained, as a separate model, so that model.keras has no optimiser.
        reader: epoch over both phases -> function that reads a batch of training photographs, or of their features.
        validation: batches of the validation photographs, or of their features.
    """

    trainer: keras.Model
    reader: Callable[[int], Callable[[tf.Tensor], tf.Tensor]]
    validation: tf.data.Dataset


class Training:
    """The data, the network and the loop over the epochs of both phases.

    Args:
        prepared: set with train and val splits.
        recipe: for the training.
        progress: called with (steps done, largest number of steps, text on the current work).
        save_every: number of steps after which an unfinished epoch is saved; 0: save only after epochs.
        spread: the devices to train on; the training is created and used in its scope.
        callbacks: Keras callbacks, called with the epochs of both phases.

    Raises:
        KerasDrError: the recipe does not fit the task, the photographs or the devices; or its weights cannot be loaded.
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
        self.recipe = recipe
        self.task = prepared.task
        self.preprocessing = prepared.preprocessing
        self.size = prepared.preprocessing.size
        self.save_every = save_every
        self.progress = progress or no_progress
        train_set = prepared.split("train")
        val_set = prepared.split("val")
        classes = len(self.task.classes)
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
        matrix = target_matrix(classes, recipe)
        targets = self.head.targets(matrix).astype(np.float32)
        labels = train_set.labels()
        self.label_shares = matrix[labels]
        self.teachers = find_teachers(recipe, prepared)
        self.lessons: Lessons | None = None
        weights = class_weights(labels, classes, recipe.class_weights)
        self.train_batches = Batches(labels, targets, weights, recipe, self.spread)
        self.callbacks = keras.callbacks.CallbackList(list(callbacks), model=self.model)

    def run(self, folder: Path) -> State:
        """Train both phases, from where an interrupted call stopped; write each phase's epoch to keep to <phase>.keras.

        Raises:
            KerasDrError: the loss is not finite, or the disk is full.
            KeyboardInterrupt: after Ctrl-C, once the step is finished and saved.
        """
        checkpoints = Checkpoints(folder)
        state = checkpoints.state()
        logs = tf.summary.create_file_writer(str(folder / "logs"))
        self.callbacks.on_train_begin()
        for phase in PHASES:
            if phase in state.finished:
                continue
            if phase != state.phase:
                state.phase = phase
                state.epoch = 0
                state.step = 0
                state.seconds = 0.0
            settings: Phase = getattr(self.recipe, phase)
            if not self._is_finished(state, settings):
                self._train_phase(settings, state, checkpoints, folder, logs)
            state.finished[phase] = self.kept(state) | {"epochs": state.epoch, "seconds": round(state.seconds, 1)}
            checkpoints.finish(state)
        logs.close()
        self.callbacks.on_train_end()
        return state

    def kept(self, state: State) -> dict[str, Any]:
        """Return the phase's epoch to keep: {"epoch": e, monitor: value}.

        It is the best epoch by the monitor, the first among equals; or the last epoch if the recipe says `keep: last`.
        """
        monitor = self.recipe.monitor
        rows = state.rows()
        if not rows:
            return {"epoch": 0, monitor: None}
        kept = rows[-1]
        if self.recipe.keep == "best":
            kept = max(rows, key=lambda row: measure.goodness(row[monitor], monitor))
        return {"epoch": kept["epoch"], monitor: kept[monitor]}

    def _is_to_be_kept(self, state: State, settings: Phase) -> bool:
        """Whether the last trained epoch is the one to keep so far."""
        if self.recipe.keep == "last":
            return state.epoch == settings.epochs
        return bool(self.kept(state)["epoch"] == state.epoch)

    def _train_phase(self, settings: Phase, state: State, checkpoints: Checkpoints, folder: Path, logs: Any) -> None:
        """Train the epochs of a phase, from where the state stands."""
        started = time.monotonic() - state.seconds
        setup = self._setup(settings, folder)
        optimizer = self._compile(setup.trainer, settings)
        if state.begun:
            checkpoints.load(setup.trainer, state)
        while not self._is_finished(state, settings):
            if settings.schedule == "plateau":
                monitor = self.recipe.monitor
                goodness = [measure.goodness(row[monitor], monitor) for row in state.rows()]
                optimizer.learning_rate = plateau_rate(settings.learning_rate, goodness)
            callback = _EpochCallback(self, settings, state, started, checkpoints)
            epoch = self.epoch_over_phases(state)
            self.callbacks.on_epoch_begin(epoch)
            with held_interrupt() as callback.interrupted:
                row = self._train_epoch(setup, state, callback)
                with optimizer.averaged():
                    row |= self._validate(setup)
                    state.history.append(row)
                    state.epoch += 1
                    state.step = 0
                    state.seconds = time.monotonic() - started
                    if self._is_to_be_kept(state, settings):
                        save_model(self.model, folder / f"{state.phase}.keras")
                checkpoints.save(setup.trainer, state)
            callback.report_epoch(row)
            scores = {
                name: value for name, value in row.items() if name not in ("phase", "epoch") and value is not None
            }
            self.callbacks.on_epoch_end(epoch, scores)
            with logs.as_default():
                for name, value in scores.items():
                    tf.summary.scalar(f"{state.phase}/{name}", value, step=state.epoch)
            if callback.interrupted:
                raise KeyboardInterrupt

    def _setup(self, settings: Phase, folder: Path) -> _PhaseSetup:
        """Return the model and the data of a phase; fine-tuning begins with the best model of the frozen phase."""
        model = self.model
        validation = self.val_photographs.batches(self.recipe.batch_size)
        if isinstance(settings, Finetune):
            if (folder / "frozen.keras").is_file():
                model.load_weights(folder / "frozen.keras")
            freeze(model, settings.unfreeze, settings.train_batch_norm)
            if self.teachers:
                self.lessons = self._lessons(settings, folder)
            return _PhaseSetup(keras.Model(model.input, model.output), self._reader(settings), validation)
        assert isinstance(settings, Frozen)
        freeze(model, None)
        backbone = keras.Model(model.input, model.get_layer("pooling").output)
        if settings.augment and not settings.views:
            image = keras.Input(model.input_shape[1:])
            trainer = keras.Model(image, self._head(backbone(image, training=False)))
            return _PhaseSetup(trainer, self._reader(settings), validation)
        return self._setup_on_features(backbone, settings, validation)

    def _setup_on_features(self, backbone: keras.Model, settings: Frozen, validation: tf.data.Dataset) -> _PhaseSetup:
        """Return the setup of a frozen phase that trains the head on features; the backbone computes them only once."""
        pooled = keras.Input(backbone.output_shape[1:])
        views = self._features(backbone, settings)
        val_features = backbone.predict(validation, verbose=0)

        def reader(epoch: int) -> Callable[[tf.Tensor], tf.Tensor]:
            return lambda indices: tf.gather(views[epoch % len(views)], indices)

        return _PhaseSetup(
            keras.Model(pooled, self._head(pooled)),
            reader,
            tf.data.Dataset.from_tensor_slices(val_features).batch(self.recipe.batch_size),
        )

    def _lessons(self, settings: Phase, folder: Path) -> Lessons:
        """Return the teachers' probabilities for the training photographs."""
        return learn_from(self.teachers, self.recipe, partial(self._view, settings), folder, self.progress)

    def _features(self, backbone: keras.Model, settings: Frozen) -> list[tf.Tensor]:
        """Return pooled features (n, channels) of the training photographs, for each augmented view or unchanged."""
        views = []
        for view in range(settings.views if settings.augment else 1):
            self.progress(0, self.total_steps(), f"frozen: features, view {view + 1}")
            views.append(tf.constant(backbone.predict(self._view(settings, view), verbose=0)))
        return views

    def _view(self, settings: Phase, view: int) -> tf.data.Dataset:
        """Return all training photographs in order, augmented as in an epoch, in batches float32 (b, S, S, 3)."""
        indices = tf.data.Dataset.range(len(self.photographs)).batch(self.recipe.batch_size)
        return loaded(indices, self._reader(settings)(view))

    def _reader(self, settings: Phase) -> Callable[[int], Callable[[tf.Tensor], tf.Tensor]]:
        """Return a function from an epoch over both phases to a reader of training photographs, augmented or not."""
        if not settings.augment:
            return lambda epoch: self.photographs.tensor
        if self.lessons:
            view = self.lessons.view
            return lambda epoch: augmented_reader(self.photographs, self.recipe, view(epoch))
        return lambda epoch: augmented_reader(self.photographs, self.recipe, epoch)

    def _photograph_targets(self, epoch: int) -> NDArray[np.float32] | None:
        """Return the targets float32 (n, K) of an epoch's photographs; None: the targets of their labels."""
        if self.lessons is None:
            return None
        return self.head.targets(self.lessons.targets(epoch, self.label_shares)).astype(np.float32)

    def _head(self, pooled: Any) -> Any:
        """Apply the model's dropout and head to pooled features."""
        return self.model.get_layer(LOGITS)(self.model.get_layer("dropout")(pooled))

    def _compile(self, trainer: keras.Model, settings: Phase) -> Any:
        """Compile the trainer; return its optimiser."""
        optimizer = make_optimizer(settings, self.train_batches.steps, trainer)
        accuracy = keras.metrics.MeanMetricWrapper(self.head.right, name="accuracy")
        loss = self.head.loss(self.recipe.focal_gamma)
        trainer.compile(optimizer, loss, metrics=[accuracy], weighted_metrics=[], jit_compile=self.recipe.jit)
        return optimizer

    def _train_epoch(self, setup: _PhaseSetup, state: State, callback: "_EpochCallback") -> dict[str, Any]:
        """Train one epoch, or the rest of it; return its row of the history without the validation scores."""
        epoch = self.epoch_over_phases(state)
        self._seed(epoch * self.train_batches.steps + state.step)
        shares = self._photograph_targets(epoch)
        for first, last, divided in self.train_batches.stretches(state.step):
            batches = self.train_batches.batches(setup.reader(epoch), epoch, first, last, divided, shares)
            callback.state = replace(callback.state, step=first, sums=callback.sums)
            callback.copies = 1 if divided else self.spread.copies
            with self.spread.divided() if divided else nullcontext():
                setup.trainer.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[callback])
            callback.sums = metric_values(setup.trainer)
        return {"phase": state.phase, "epoch": state.epoch + 1} | callback.means

    def _seed(self, step: int) -> None:
        """Make dropout depend on seed and step, like the order of the photographs, so that a resumed run repeats it."""
        for position, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator:
                generator.state.assign([(self.recipe.seed + position) % 2**31, step])

    def _validate(self, setup: _PhaseSetup) -> dict[str, Any]:
        """Return the scores on the validation photographs."""
        logits = setup.trainer.predict(setup.validation, verbose=0)
        class_probabilities = probabilities(logits, len(self.task.classes))
        return measure.validation_scores(self.val_labels, class_probabilities, self.task, self.head.decision)

    def _is_finished(self, state: State, settings: Phase) -> bool:
        """Whether the phase has had all its epochs, or no better one within its patience."""
        return state.epoch >= settings.epochs or state.epoch - self.kept(state)["epoch"] >= settings.patience

    def epoch_over_phases(self, state: State) -> int:
        """Return the number of the state's epoch over both phases, as if neither stopped early."""
        return state.epoch + PHASES.index(state.phase) * self.recipe.frozen.epochs

    def total_steps(self) -> int:
        """Return the number of steps of both phases, if neither stops early."""
        return (self.recipe.frozen.epochs + self.recipe.finetune.epochs) * self.train_batches.steps


class _EpochCallback(keras.callbacks.Callback):
    """Follows the batches of an epoch: collects means, reports progress, saves, and stops at a loss that is not finite.

    Attributes:
        state: the state at the first batch of the current call of `fit`.
        sums: metric values over the batches of the epoch before that call.
        copies: how often the metrics count each batch of that call, see `DeviceSpread.copies`.
        means: loss and accuracy over the batches of the epoch so far.
        interrupted: from `held_interrupt`; not empty after Ctrl-C.
    """

    def __init__(
        self, training: Training, settings: Phase, state: State, started: float, checkpoints: Checkpoints
    ) -> None:
        super().__init__()
        self.training = training
        self.started = started
        self.checkpoints = checkpoints
        self.state = replace(state)
        self.text = f"{state.phase} {state.epoch + 1}/{settings.epochs}"
        self.sums = state.sums
        self.copies = 1
        self.means: dict[str, float] = {}
        self.interrupted: list[int] = []

    def on_train_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """Handle a batch; Keras calls this with the means over the batches of the epoch so far."""
        training = self.training
        state = self.state
        if not np.isfinite(logs["loss"]):
            raise KerasDrError(
                f"The loss became {logs['loss']} in {self.text}.",
                f"Lower {state.phase}.learning_rate; the best weights so far are in the folder of the unfinished run.",
            )
        steps = training.train_batches.steps
        done = state.step + step + 1
        if step == 0 and state.step:
            logs = add_to_metrics(self.model, self.sums, self.copies)
        self.means = {name: float(logs[name]) for name in ("loss", "accuracy")}
        done_over_phases = training.epoch_over_phases(state) * steps + done
        training.progress(done_over_phases, training.total_steps(), self.text)
        save_is_due = training.save_every and done % training.save_every == 0
        if done < steps and (save_is_due or self.interrupted):
            sync_jax_state(self.model)
            seconds = time.monotonic() - self.started
            sums = metric_values(self.model)
            self.checkpoints.save(self.model, replace(state, step=done, seconds=seconds, sums=sums))
            if self.interrupted:
                raise KeyboardInterrupt

    def report_epoch(self, row: dict[str, Any]) -> None:
        """Report the monitor of a finished epoch."""
        training = self.training
        monitor = training.recipe.monitor
        done_over_phases = (training.epoch_over_phases(self.state) + 1) * training.train_batches.steps
        training.progress(done_over_phases, training.total_steps(), f"{self.text} {monitor} {show(row[monitor])}")


def save_model(model: keras.Model, file: Path) -> None:
    """Write a model file; if this fails, a file that was there before is not changed."""
    temporary = file.with_name(f".{file.name}")
    model.save(temporary)
    temporary.replace(file)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Give new layers this dtype policy during the block."""
    policy_before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy_before)
