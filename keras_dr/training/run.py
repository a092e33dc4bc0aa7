"""A Run folder in memory: the trained grader and how its photographs must be prepared."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from keras_dr.core import folders
from keras_dr.core.decision import DECISION_NAMES, THRESHOLD, Decision, name_of_rule, rule_of
from keras_dr.core.errors import KerasDrError
from keras_dr.core.grade_sets import GradeSets
from keras_dr.core.operating_point import DEFAULT, OWN, OperatingPoint, find_point, points_of
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.quality import gradability_limits_of
from keras_dr.datasets.grades import Task, task_of
from keras_dr.models.keras_files import load_grader
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import Recipe, recipe_from_dict
from keras_dr.training.run_manifest import damaged, read_run_manifest

# Key of run.json -> what was found at one temperature and its thresholds, and does not hold at others.
FOUND_AT_POINTS = {
    "grade_sets": "sets of grades (prediction-sets)",
    "gradability": "limits of gradability (gradability)",
}
_MOST_FOLDS = 1000  # a cross-validation with so many folds would take months


@dataclass(frozen=True)
class Run:
    """A trained grader, read from its folder.

    Attributes:
        folder: the folder of the run.
        about: the content of run.json.
        task: its label space.
        preprocessing: how its photographs are prepared.
        recipe: the recipe that it was trained with.
        threshold: of the operating point in use, on the probability of referable DR; chosen on validation photographs.
        temperature: logits are divided by it before they become probabilities.
        decision: the key of the rule by which a class is predicted, see `decision.rule_of`.
        points: all operating points, by name: "default", and further ones; runs of older versions have only that one.
        point_name: the name of the operating point in use.
        uses_tta: whether its outputs are means over eight views of each photograph.
        grade_sets: the sets of grades that it states; None: it states none.
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
    uses_tta: bool = False
    point_name: str = DEFAULT
    grade_sets: GradeSets | None = None

    @classmethod
    def load(cls, source: "Run | Path | str") -> "Run":
        """Read a Run folder (its model is read by `Run.model`).

        Args:
            source: the folder that `train` or `ensemble` wrote; a Run is returned as it is.

        Raises:
            KerasDrError: it is not a Run folder.
        """
        if isinstance(source, Run):
            return source
        folder = Path(source)
        return cls.from_manifest(folder, read_run_manifest(folder))

    @classmethod
    def from_manifest(cls, folder: Path, about: dict[str, Any]) -> "Run":
        """Return a Run whose run.json has already been read.

        Args:
            folder: the folder of the run.
            about: the content of its run.json.

        Raises:
            KerasDrError: run.json is damaged.
        """
        try:
            run = cls(
                folder=folder,
                about=about,
                task=task_of(about),
                preprocessing=Preprocessing.from_dict(about["preprocessing"]),
                recipe=recipe_from_dict(about["recipe"]),
                threshold=float(about["operating_point"]["value"]),
                temperature=float(about["temperature"]),
                decision=about.get("decision", "argmax"),
                points=points_of(about),
                grade_sets=GradeSets.from_dict(about["grade_sets"]) if about.get("grade_sets") else None,
            )
            valid = _is_valid(run)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise damaged(folder, f"{type(error).__name__}: {error}") from error
        if not valid:
            raise damaged(folder, "it has values that train never writes")
        return run

    @property
    def learned_nothing(self) -> str:
        """A sentence if the interval of the validation kappa includes 0; otherwise, and for older runs, ""."""
        interval = self.about.get("validation_kappa_interval")
        if interval is None or interval[0] > 0:
            return ""
        return (
            f"This grader learned nothing: the 95 % interval of its validation kappa, {interval[0]:.3f} to "
            f"{interval[1]:.3f}, includes 0."
        )

    @property
    def rule(self) -> Decision:
        """How a class is predicted at the operating point in use, see `decision.decide`."""
        return rule_of(self.decision, self.task.referable, self.threshold)

    @property
    def states_sets(self) -> bool:
        """Whether sets of neighbouring grades can be stated: there are three or more classes, and all are ordered."""
        return self.task.ordered == len(self.task.classes) >= 3

    @property
    def point(self) -> OperatingPoint:
        """The operating point in use."""
        return self.points.get(self.point_name, OperatingPoint(self.threshold))

    @property
    def further_points(self) -> dict[str, OperatingPoint]:
        """The operating points that are not in use, by name."""
        return {name: point for name, point in self.points.items() if name != self.point_name}

    @property
    def gradability_limits(self) -> dict[str, float]:
        """Fault -> value of its measure beyond which the grader fails; empty if `gradability` has not been run."""
        return gradability_limits_of(self.about)

    @property
    def found_at_points(self) -> list[str]:
        """What holds only at the temperature and thresholds of this run, with the command that finds it, in words."""
        promises = ["promises (promise)"] if any(point.promise for point in self.points.values()) else []
        return promises + [words for key, words in FOUND_AT_POINTS.items() if self.about.get(key)]

    def at(self, point: str | None = None, threshold: float | None = None) -> "Run":
        """Return the run at another operating point.

        Args:
            point: its name; by default the default point.
            threshold: a threshold on the probability of referable DR instead, 0..1; by default none.

        Raises:
            KerasDrError: see `find_point`.
        """
        if point is None and threshold is None:
            return self
        name, chosen = find_point(self.points if self.task.referable else {}, point, threshold)
        return replace(self, threshold=chosen.value, point_name=name)

    def model(self) -> keras.Model:
        """Return the grader: float32 RGB (n, S, S, 3) in 0..255 -> logits float32 (n, C).

        Raises:
            KerasDrError: model.keras is missing, was changed, or is not the grader of this run.
        """
        file = self.folder / "model.keras"
        if not file.is_file():
            raise KerasDrError(f"There is no file {file}.", "Train again.")
        if folders.sha256_of(file) != self.about["model_sha256"]:
            raise KerasDrError(f"{file} was changed: its sha256 is not the one in run.json.", "Train again.")
        model = load_grader(file)
        size = self.preprocessing.size
        classes = len(self.task.classes)
        has_input = model.input_shape == (None, size, size, 3)
        has_output = model.output_shape in ((None, classes), (None, classes - 1))
        if not (has_input and has_output):
            raise KerasDrError(
                f"{file} is not a grader of {size} x {size} pixels for {classes} classes: its input has the shape "
                f"{model.input_shape} and its output {model.output_shape}.",
                "Train again.",
            )
        return model

    def is_own(self, data: PreparedSet) -> bool:
        """Whether this is the set that the run was trained on, even if it has moved or was prepared again."""
        return self.about["data"]["manifest_sha256"] in data.hashes()

    def result_name(self, data: PreparedSet, split: str) -> str:
        """Return the name of results on a split: "<set>-<split>", with part of the hash of a set that is not the run's.

        Results at another operating point than the default one have its name or threshold at the end.
        The run's own set keeps the name that it had in the training, so that results are found after it has moved.
        """
        if self.is_own(data):
            name = Path(self.about["data"]["prepared"]).name
        else:
            name = f"{data.name}-{folders.sha256_of(data.folder / 'manifest.csv')[:8]}"
        name += f"-{split}"
        if self.uses_tta:
            name += "-turned"
        if self.point_name == OWN:
            name += f"-at-{self.threshold:g}"
        elif self.point_name != DEFAULT:
            name += f"-at-{self.point_name}"
        return name

    def own_set(self, moved_to: Path | None = None) -> PreparedSet:
        """Return the Prepared set that the run was trained on, divided by the run's fold if it has one.

        Args:
            moved_to: the folder of the set now; None: the folder that it had in the training.

        Raises:
            KerasDrError: there is no such folder, or its photographs or splits are not those of the training.
        """
        folder = moved_to or (self.folder.resolve() / self.about["data"]["prepared"]).resolve()
        if not folder.is_dir():
            raise KerasDrError(
                f"The run's prepared set is not at {folder}.",
                "Move it back there, or name it where the command takes a prepared set.",
            )
        data = PreparedSet.load(folder)
        if not self.is_own(data):
            raise KerasDrError(
                f"The prepared set at {folder} is not the one that {self.folder} was trained on.",
                "Photographs may have moved between splits: train again, or prepare the set as it was.",
            )
        return self._divided_by_fold(data)

    def _divided_by_fold(self, data: PreparedSet) -> PreparedSet:
        """Return the run's own set, with the splits of its fold if the run belongs to a cross-validation."""
        fold = self.about["data"].get("fold")
        if not fold:
            return data
        folded = data.folded(Fold(fold["number"], fold["of"]))
        if folded.split_sha256("val") != fold["val_sha256"]:
            raise KerasDrError(
                f"Fold {fold['number']} of {self.folder} no longer has the photographs that it was trained with: "
                "another version of scikit-learn divides them differently.",
                "Cross-validate again.",
            )
        return folded

    def prepared_set(self, source: PreparedSet | Path | str | None = None) -> PreparedSet:
        """Return a Prepared set, labelled for the run's task.

        Args:
            source: a set or its folder; None: the set that the run was trained on.

        Raises:
            KerasDrError: there is no such set, it was not prepared like the run's photographs, or a photograph has
                none of the run's classes.
        """
        if source is None:
            data = self.own_set()
        else:
            data = PreparedSet.load(source)
            if self.is_own(data):
                data = self._divided_by_fold(data)
        if not data.preprocessing.fits(self.preprocessing):
            raise KerasDrError(
                f"The photographs in {data.folder} were prepared with {data.preprocessing}, but those of the run "
                f"with {self.preprocessing}.",
                f"Prepare them with {self.preprocessing.options}.",
            )
        return data.labelled_for(self.task)


def load_runs(sources: Iterable[Run | Path | str]) -> list[Run]:
    """Read runs; the folder of a cross-validation stands for the runs of its folds, in their order.

    Args:
        sources: runs, or their folders.

    Raises:
        KerasDrError: a source is neither a run nor a cross-validation, or a run is named more than once.
    """
    runs = []
    for source in sources:
        if not isinstance(source, Run) and (Path(source) / folders.MANIFESTS["cross-validation"]).is_file():
            folds = sorted(Path(source).glob("fold-*"), key=lambda fold: int(fold.name.rpartition("-")[2]))
            runs += [Run.load(fold) for fold in folds]
        else:
            runs.append(Run.load(source))
    folders.check_named_once(run.folder for run in runs)
    return runs


def save_changes(run: Run, changes: Mapping[str, Any]) -> Run:
    """Write run.json with some of its keys changed, and return the run as it is now.

    Args:
        run: the run.
        changes: keys of run.json with their new values.
    """
    content = {key: value for key, value in run.about.items() if key not in ("schema_version", "versions")}
    folders.write_manifest(run.folder, "run", **{**content, **changes})
    return Run.load(run.folder)


def recalibrated(run: Run, chosen: dict[str, Any]) -> Run:
    """Return the run with the choices of `calibration.calibrate`, without what was `FOUND_AT_POINTS` before."""
    return replace(
        run,
        about=run.about | chosen | dict.fromkeys(FOUND_AT_POINTS),
        threshold=float(chosen["operating_point"]["value"]),
        temperature=float(chosen["temperature"]),
        decision=chosen["decision"],
        points=points_of(chosen),
        grade_sets=None,
    )


def _is_valid(run: Run) -> bool:
    """Whether the values of run.json that are used later exist and are possible.

    Raises:
        LookupError, TypeError, AttributeError: a value is missing or has another type.
        KerasDrError: the fold is impossible.
    """
    data = run.about["data"]
    texts = [run.about["model_sha256"], data["prepared"], data["manifest_sha256"]]
    fold = data.get("fold")
    if fold:
        texts.append(fold["val_sha256"])
        if Fold(fold["number"], fold["of"]).folds >= _MOST_FOLDS:
            return False
    figures = [run.temperature, *(point.value for point in run.points.values())]
    return (
        run.decision in DECISION_NAMES
        and (run.decision != THRESHOLD or name_of_rule("", run.task.classes, run.task.referable) == THRESHOLD)
        and all(math.isfinite(figure) for figure in figures)
        and run.temperature > 0
        and all(isinstance(text, str) and "\0" not in text for text in texts)
    )
