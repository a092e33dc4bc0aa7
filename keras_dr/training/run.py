"""Reads a Run folder: the trained grader and how its photographs must be prepared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from keras_dr.core import folders
from keras_dr.core.decision import DECISIONS
from keras_dr.core.errors import KerasDrError
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.datasets.grades import Task, task_of
from keras_dr.metrics.operating_points import OperatingPoint
from keras_dr.models.keras_files import load_grader
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe, recipe_from_dict

_MOST_FOLDS = 1000  # a cross validation of as many takes months


@dataclass(frozen=True)
class Run:
    """A trained grader, read.

    Attributes:
        folder: where it lies.
        about: what run.json says.
        task: its label space.
        preprocessing: what its photographs went through.
        recipe: what it was trained by.
        threshold: refer where p_referable >= threshold; chosen on validation photographs.
        temperature: logits are divided by it before they become probabilities.
        decision: how a class is predicted, see `decision.decide`.
        points: further operating points, by name; none in a run that was trained before there were any.
        turns: whether it says the mean over eight views of a photograph.
    """

    folder: Path
    about: dict[str, Any]
    task: Task
    preprocessing: Preprocessing
    recipe: Recipe
    threshold: float
    temperature: float
    decision: str = "argmax"
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    turns: bool = False

    @classmethod
    def load(cls, source: "Run | Path | str") -> "Run":
        """Read a Run folder (its model is read by `Run.model`).

        Args:
            source: the folder that `train` or `ensemble` wrote; a Run is returned as it is.

        Raises:
            KerasDrError: not a Run folder.
        """
        if isinstance(source, Run):
            return source
        folder = Path(source)
        return cls.from_manifest(folder, folders.read_manifest(folder, "run"))

    @classmethod
    def from_manifest(cls, folder: Path, about: dict[str, Any]) -> "Run":
        """A Run whose run.json is read already; arguments and errors as for `load`."""
        try:
            run = cls(
                folder,
                about,
                task_of(about),
                Preprocessing.from_dict(about["preprocessing"]),
                recipe_from_dict(about["recipe"]),
                float(about["operating_point"]["value"]),
                float(about["temperature"]),
                about.get("decision", "argmax"),
                {name: OperatingPoint(**point) for name, point in about.get("operating_points", {}).items()},
            )
            whole = _is_whole(run)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            found = f"{type(error).__name__}: {error}"
            raise KerasDrError(f"{folder / 'run.json'} as train wrote it", found, "Train again.") from error
        if not whole:
            raise KerasDrError(f"{folder / 'run.json'} as train wrote it", "other values", "Train again.")
        return run

    @property
    def point(self) -> OperatingPoint:
        """The operating point at `threshold`."""
        chosen = self.about["operating_point"]
        targets = {chosen["rule"]: chosen["target"]} if "rule" in chosen and self.task.referable else {}
        return OperatingPoint(self.threshold, targets)

    def model(self) -> keras.Model:
        """The grader: float32 RGB (n, S, S, 3) in 0..255 -> logits float32 (n, C).

        Raises:
            KerasDrError: model.keras is gone, changed, or no grader.
        """
        file = self.folder / "model.keras"
        if not file.is_file() or folders.sha256_of(file) != self.about["model_sha256"]:
            found = "another file" if file.is_file() else "no file"
            raise KerasDrError(f"{file} as train wrote it (sha256 in run.json)", found, "Train again.")
        model = load_grader(file)
        size, count = self.preprocessing.size, len(self.task.classes)
        shapes = (model.input_shape, model.output_shape)
        if shapes[0] != (None, size, size, 3) or shapes[1] not in ((None, count), (None, count - 1)):
            expected = f"in {file} a grader of {size} x {size} pixels for {count} classes"
            raise KerasDrError(expected, " -> ".join(map(str, shapes)), "Train again.")
        return model

    def is_own(self, data: PreparedSet) -> bool:
        """Whether this is the set that the run was trained on, wherever it lies now."""
        return folders.sha256_of(data.folder / "manifest.csv") == self.about["data"]["manifest_sha256"]

    def result_name(self, data: PreparedSet, split: str) -> str:
        """What results on a split are called: "<set>-<split>", for another set than the run's with part of its hash.

        The run's own set goes by the name that it had in the training, so that results are found where it was moved.
        """
        if self.is_own(data):
            name = Path(self.about["data"]["prepared"]).name
        else:
            name = f"{data.name}-{folders.sha256_of(data.folder / 'manifest.csv')[:8]}"
        return f"{name}-{split}{'-turned' if self.turns else ''}"

    def own_set(self, moved_to: Path | None = None) -> PreparedSet:
        """The Prepared set that the run was trained on, where it was then or where it lies now.

        Raises:
            KerasDrError: none there, or one with other photographs or splits.
        """
        folder = moved_to or (self.folder.resolve() / self.about["data"]["prepared"]).resolve()
        if not folder.is_dir():
            remedy = "Move it back there, or name it where the command takes a prepared set."
            raise KerasDrError(f"the run's prepared set at {folder}", "no such folder", remedy)
        home = PreparedSet.load(folder)
        if not self.is_own(home):
            remedy = "Photographs may have changed sides: train again, or prepare it as it was."
            raise KerasDrError(f"the prepared set that {self.folder} was trained on at {folder}", "another", remedy)
        return self._sides(home)

    def _sides(self, home: PreparedSet) -> PreparedSet:
        """The run's own set as the run saw it: divided by its fold, where it is one of a cross validation."""
        fold = self.about["data"].get("fold")
        if not fold:
            return home
        home = home.folded(Fold(fold["number"], fold["of"]))
        if home.split_sha256("val") != fold["val_sha256"]:
            expected, remedy = f"the photographs of fold {fold['number']} of {self.folder}", "Cross-validate again."
            raise KerasDrError(expected, "others, by another version of scikit-learn", remedy)
        return home

    def prepared_set(self, source: PreparedSet | Path | str | None = None) -> PreparedSet:
        """A Prepared set, labelled by the run's task; without a `source` the one that the run was trained on.

        Raises:
            KerasDrError: none there, or prepared in another way than the run's, or without a class of the run's.
        """
        home = self.own_set() if source is None else PreparedSet.load(source)
        if source is not None and self.is_own(home):
            home = self._sides(home)
        if not home.preprocessing.fits(self.preprocessing):
            raise KerasDrError(
                f"photographs prepared as the run's ({self.preprocessing})",
                f"{home.preprocessing} in {home.folder}",
                f"Prepare them with {self.preprocessing.options}.",
            )
        return home.labelled_for(self.task)


def recalibrated(run: Run, chosen: dict[str, Any]) -> Run:
    """The run with what `calibration.calibrate` chose."""
    return replace(
        run,
        about=run.about | chosen,
        threshold=float(chosen["operating_point"]["value"]),
        temperature=float(chosen["temperature"]),
        points={name: OperatingPoint(**point) for name, point in chosen["operating_points"].items()},
    )


def _is_whole(run: Run) -> bool:
    """Whether what is read of run.json later is there, and of its kind.

    Raises:
        LookupError, TypeError, AttributeError: something is missing, or of another type.
        KerasDrError: a fold that cannot be.
    """
    data = run.about["data"]
    fold = data.get("fold")
    texts = (run.about["model_sha256"], data["prepared"], data["manifest_sha256"], fold["val_sha256"] if fold else "")
    figures = (run.point.value, run.temperature, *(point.value for point in run.points.values()))
    return (
        run.decision in DECISIONS
        and all(map(math.isfinite, figures))
        and run.temperature > 0
        and all(isinstance(text, str) and "\0" not in text for text in texts)
        and (not fold or Fold(fold["number"], fold["of"]).of < _MOST_FOLDS)
    )
