"""Two-phase training: the head on a frozen backbone, then the unfrozen network. Interrupted trainings continue.

RUN/ run.json model.keras frozen.keras history.csv curves.png logs/
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_dr.core import folders
from keras_dr.core.encoding import encode_csv
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_holds_no_input
from keras_dr.core.progress import Progress
from keras_dr.metrics import measure
from keras_dr.metrics.predictions import Predictions, patient_codes
from keras_dr.models.features import weights_file
from keras_dr.models.heads import probabilities
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import Recipe
from keras_dr.reports.run_plots import plot_curves
from keras_dr.training import devices, distillation, hosts
from keras_dr.training.checkpoints import PHASES, State
from keras_dr.training.earlier_run import earlier_run, photographs_met
from keras_dr.training.finish import calibrated, finish_model_file
from keras_dr.training.loop import Training
from keras_dr.training.run import Run


def train(
    data: PreparedSet | Path | str,
    target: Path | str,
    recipe: Recipe | Path | str | None = None,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    save_every: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a grader and write its Run folder; an interrupted call with the same inputs is continued.

    The head learns first, on a frozen backbone; then the whole network is fine-tuned. The best epoch of both phases is
    kept, or the very last one if the recipe says `keep: last`.

    Args:
        data: a Prepared set with train and val splits, or its folder.
        target: the folder to write.
        recipe: a recipe, a YAML file, or the name of a shipped recipe; by default `Recipe()`.
        callbacks: Keras callbacks, such as MLflow's or Weights & Biases'. They are called at the start and the end of
            the training and of each epoch; epochs are counted over both phases. `logs` holds the loss, the accuracy and
            the validation scores. A resumed training calls them for the epochs that are left.
        save_every: the number of steps after which an epoch is saved midway; 0: only after epochs.
        overwrite: whether an existing run at `target` is replaced; by default it is refused.
        progress: called with (steps done, largest number of steps, text on the current work).

    Returns:
        The Run.

    Raises:
        KerasDrError: `target` exists, the weights are not available, the validation photographs are all positive or
            all negative, the loss is not finite, the disk is full, or `target` has an interrupted training with other
            settings.

    Example:
        >>> run = dr.train("prepared/idrid", "runs/idrid", recipe="recipes/idrid.yaml")
        >>> run.about["kept"]
        'finetune'
    """
    data = PreparedSet.load(data)
    target = Path(target)
    recipe = Recipe.load(recipe)
    folders.check_target(target, "run", overwrite)
    check_holds_no_input(target, [data.folder, *recipe.inputs()])
    manifest_sha256 = folders.read_manifest(data.folder, "prepared")["manifest_sha256"]
    fold = None
    if data.fold:
        fold = {"number": data.fold.number, "of": data.fold.folds, "val_sha256": data.split_sha256("val")}
    patients = patient_codes(data.split("val").rows)
    teachers = distillation.find_teachers(recipe, data)
    start = _start(data, recipe, teachers, target)  # read now, because files may be gone when the training ends
    plan = {"recipe": recipe.plan(), "data": manifest_sha256, "fold": fold}
    spread = devices.spread()
    if teachers:
        plan["teachers"] = [teacher.about["model_sha256"] for teacher in teachers]
    hosts.check_agreement(spread, plan)
    growing = folders.growing_folder(target, "run", plan, overwrite, precious=True)
    with spread.scope():
        training = Training(data, recipe, progress, save_every, spread, callbacks)
        with hosts.shared_folder(spread, growing, folders.partial_folder(target)) as folder:
            if not (folder / "run.json").is_file():
                state = training.run(folder)
                relative = os.path.relpath(data.folder.resolve(), target.resolve())
                data_entry = {"prepared": relative, "manifest_sha256": manifest_sha256, "fold": fold}
                _write_results(folder, training, state, data_entry, start, patients)
            # deleted last, because without these an interrupted call would have to train again
            (folder / "finetune.keras").unlink(missing_ok=True)
            (folder / distillation.FILE).unlink(missing_ok=True)
            folders.remove_folder(folder / "checkpoints")
            about = folders.read_manifest(folder, "run")
    return Run.from_manifest(target, about)  # on other hosts the folder may appear a moment later


def _start(prepared: PreparedSet, recipe: Recipe, teachers: Sequence[Run], target: Path) -> dict[str, Any]:
    """Return the entries of run.json on the starting weights, the run that they come from, and the teachers."""
    taught_by = [entry for teacher in teachers for entry in photographs_met(teacher, prepared, target)]
    run = earlier_run(recipe)
    if run:
        started_from = photographs_met(run, prepared, target)
        return {"weights_sha256": run.about["model_sha256"], "started_from": started_from, "taught_by": taught_by}
    file = weights_file(recipe.backbone, recipe.weights)
    sha256 = folders.sha256_of(file) if file else None
    return {"weights_sha256": sha256, "started_from": [], "taught_by": taught_by}


def _write_results(
    folder: Path,
    training: Training,
    state: State,
    data: dict[str, Any],
    start: dict[str, Any],
    patients: NDArray[np.int64],
) -> None:
    """Write model.keras, history.csv, curves.png and run.json of a finished training."""
    recipe = training.recipe
    task = training.task
    photographs = training.val_photographs
    model, kept = _keep_better(folder, state.finished, training)
    logits = model.predict(photographs.batches(recipe.batch_size), verbose=0)
    class_probabilities = probabilities(logits, len(task.classes))
    decision = training.head.decision
    counts = {"train": len(training.photographs), "val": len(photographs)}
    folders.write_bytes(folder / "history.csv", encode_csv(list(state.history[0]), state.history))
    plot_curves(folder / "curves.png", state.history, recipe.monitor)
    folders.write_manifest(
        folder,
        "run",
        recipe=recipe.model_dump(mode="json"),
        **task.to_dict(),
        preprocessing=training.preprocessing.to_dict(),
        data={**data, "photographs": counts},
        **start,
        parameters=model.count_params(),
        backend=keras.backend.backend(),
        devices=devices.names(),
        phases=state.finished,
        kept=kept,
        validation=measure.validation_scores(training.val_labels, class_probabilities, task, decision),
        validation_kappa_interval=measure.kappa_interval(
            Predictions(training.val_labels, class_probabilities, task, decision, patients)
        ),
        **calibrated(training.val_labels, logits, task, recipe, decision, patients),
        model_sha256=folders.sha256_of(folder / "model.keras"),
    )


def _keep_better(folder: Path, phases: dict[str, dict[str, Any]], training: Training) -> tuple[keras.Model, str]:
    """Write the model to keep to model.keras; return it with the name of its phase.

    With `keep: best` it is the better phase's best epoch, so that fine-tuning never ends below the frozen phase on
    validation photographs; with `keep: last` it is the last epoch of the last phase.
    """
    monitor = training.recipe.monitor
    trained = [phase for phase in PHASES if (folder / f"{phase}.keras").is_file()]
    if not trained:
        message = "Training needs at least one epoch, but both phases have 0."
        raise KerasDrError(message, "Raise frozen.epochs or finetune.epochs.")
    kept = trained[-1]
    if training.recipe.keep == "best":
        kept = max(reversed(trained), key=lambda phase: measure.goodness(phases[phase][monitor], monitor))
    for phase in trained:
        finish_model_file(folder / f"{phase}.keras", training)
    folders.write_bytes(folder / "model.keras", (folder / f"{kept}.keras").read_bytes())
    return keras.saving.load_model(folder / "model.keras", compile=False), kept
