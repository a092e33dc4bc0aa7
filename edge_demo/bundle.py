"""The bundle on a device: reads and checks its manifest, and verifies its models."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_demo.shipped import find_bundle, shipped_graders
from keras_dr.core.decision import (
    DECISION_NAMES,
    MARGIN,
    THRESHOLD,
    Decision,
    condition_words,
    name_of_rule,
    positive_words,
    rule_of,
)
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest, sha256_of
from keras_dr.core.grade_sets import GradeSets, sets_text
from keras_dr.core.image_files import printable
from keras_dr.core.operating_point import DEFAULT, OperatingPoint, find_point, points_of, points_text
from keras_dr.core.preprocessing import Preprocessing
from keras_dr.core.quality import COLOURS, FAULTS, MEASURES

PREFERRED = (
    "int8",
    "float32",
    "float16",
    "dynamic",
    "int16x8",
)  # default variant: the first of these that a bundle holds
EXPORT_AGAIN = "Copy the bundle again, or export it again with keras-dr export."


@dataclass(frozen=True)
class ModelFile:
    """One exported variant as the bundle's manifest describes it.

    Attributes:
        file: name inside the bundle folder.
        sha256: hexadecimal digest of the file.
        size_bytes: size of the file.
    """

    file: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Bundle:
    """The result of `keras-dr export`: models for a device, and everything needed to read their outputs.

    Attributes:
        folder: the bundle's folder.
        task: name of the label space.
        classes: C class names in the order of the model's outputs.
        referable: indices of the classes that are sent to an ophthalmologist; empty if the task has no such class.
        preprocessing: how a photograph becomes the model's input.
        threshold: of the operating point in use, on the probability of a referable class; see `ReferralRule`.
        heatmaps: description of the heat maps' values.
        models: variant name -> file.
        failed: variants that the bundle keeps although they differ too much from the float model on validation
            photographs.
        decision: the key of the rule by which probabilities become a grade, see `decision.rule_of`.
        quality_limits: measure of `quality` -> lowest and highest value that is usual among the training photographs;
            if empty, the quality of photographs is not judged.
        colour_limits: the same for the colours of `quality.COLOURS`.
        gradability_limits: fault of `quality.FAULTS` -> value of its measure beyond which the grader failed on degraded
            validation photographs; empty if this was not measured.
        points: all operating points, by name: "default", and further ones.
        point_name: the name of the operating point in use.
        trained_on: the photographs that the grader was trained on, in words, such as "trained on 333 photographs of one
            camera in one clinic"; "" if the bundle does not say.
        grade_sets: the sets of grades that gradings state; None: they state none.
        margin: probability below the threshold from which photographs are referred as uncertain, 0..1, as the grader
            that uses the bundle was told; see `used_margin`.
    """

    folder: Path
    task: str
    classes: tuple[str, ...]
    referable: tuple[int, ...]
    preprocessing: Preprocessing
    threshold: float
    heatmaps: str
    models: dict[str, ModelFile] = field(repr=False)
    failed: tuple[str, ...] = ()
    decision: str = "argmax"
    quality_limits: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    colour_limits: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    gradability_limits: dict[str, float] = field(default_factory=dict, repr=False)
    points: dict[str, OperatingPoint] = field(default_factory=dict, repr=False)
    point_name: str = DEFAULT
    trained_on: str = ""
    grade_sets: GradeSets | None = None
    margin: float = MARGIN

    @classmethod
    def load(cls, source: "Bundle | Path | str") -> "Bundle":
        """Read and check a bundle's manifest; the models themselves are not touched.

        Args:
            source: the folder that `export` wrote, or the name of a shipped grader such as "idrid-lite" (see
                `shipped.find_bundle`); a Bundle is returned as it is.

        Raises:
            KerasDrError: there is no bundle, or a key of bundle.json is missing or of the wrong type.
        """
        if isinstance(source, Bundle):
            return source
        folder = find_bundle(source)
        if not folder.exists() and shipped_graders():
            message = f"The bundle folder {printable(folder)} does not exist."
            raise KerasDrError(
                message, f"Create it with keras-dr export, or name a shipped grader: {', '.join(shipped_graders())}."
            )
        manifest = read_manifest(folder, "bundle")
        where = str(folder / "bundle.json")
        spec = {"fundus": "auto"} | _value(manifest, "preprocessing", dict, where)  # older bundles have no fundus
        for key, kind in (("size", int), ("enhance", str), ("fundus", str)):
            _value(spec, key, kind, where)
        models = _value(manifest, "models", dict, where)
        bundle = cls(
            folder=folder,
            task=_value(manifest, "task", str, where),
            classes=tuple(_list(manifest, "classes", str, where)),
            referable=tuple(_list(manifest, "referable", int, where, or_empty=True)),
            preprocessing=Preprocessing.from_dict(spec),
            threshold=float(_value(manifest, "threshold", (int, float), where)),
            heatmaps=_value(manifest, "heatmaps", str, where),
            models={name: model_file(models, name, where) for name in models},
            failed=_failed(manifest),
            decision=_value(manifest, "decision", str, where) if "decision" in manifest else "argmax",
            quality_limits=_limits(manifest, "quality_limits", MEASURES, where),
            colour_limits=_limits(manifest, "colour_limits", COLOURS, where),
            gradability_limits=_gradability_limits(manifest, where),
            points=_points(manifest, where),
            trained_on=_trained_on(manifest, where),
            grade_sets=_grade_sets(manifest, where),
        )
        bundle._check(where)
        return bundle

    def __str__(self) -> str:
        """Return a line with the models, the classes and the threshold."""
        sizes = ", ".join(f"{name} {model.size_bytes / 2**20:.2f} MiB" for name, model in self.models.items())
        failed = f"; differ too much from the float model: {', '.join(self.failed)}" if self.failed else ""
        return f"{self.folder}: {sizes}{failed}; classes {', '.join(self.classes)}; threshold {self.threshold:.3f}"

    def _check(self, where: str) -> None:
        if not all(0 <= index < len(self.classes) for index in self.referable):
            indices = f"from 0 to {len(self.classes) - 1}"
            message = (
                f"The list 'referable' in {where} may hold class indices {indices}, but is {list(self.referable)}."
            )
            raise KerasDrError(message, EXPORT_AGAIN)
        for key, values in (("classes", self.classes), ("referable", self.referable)):
            if len(set(values)) < len(values):
                message = f"The list {key!r} in {where} holds a value twice: {repr(list(values))[:80]}."
                raise KerasDrError(message, EXPORT_AGAIN)
        if self.decision not in DECISION_NAMES:
            message = f"The decision in {where} is {self.decision!r}, which is none of {', '.join(DECISION_NAMES)}."
            raise KerasDrError(message, EXPORT_AGAIN)
        if self.decision == THRESHOLD and name_of_rule("", self.classes, self.referable) != THRESHOLD:
            message = f"The decision in {where} is {THRESHOLD!r}, which needs two classes, one of them referable."
            raise KerasDrError(message, EXPORT_AGAIN)
        if self.threshold < 0:
            raise KerasDrError(f"The threshold in {where} is {self.threshold}, which is below 0.", EXPORT_AGAIN)
        if self.threshold != self.points[DEFAULT].value:
            value = self.points[DEFAULT].value
            message = f"The threshold in {where} is {self.threshold}, but that of its operating point is {value}."
            raise KerasDrError(message, EXPORT_AGAIN)

    def at(self, point: str | None = None, threshold: float | None = None) -> "Bundle":
        """Return the bundle at another operating point.

        Args:
            point: its name; by default the default point.
            threshold: a threshold on the probability of a referable class instead, 0..1; by default none.

        Raises:
            KerasDrError: see `find_point`.
        """
        if point is None and threshold is None:
            return self
        name, chosen = find_point(self.points if self.referable else {}, point, threshold)
        return replace(self, threshold=float(chosen.value), point_name=name)

    def check_margin(self, margin: float) -> None:
        """Refuse a margin that is no probability, or breaks the promise of the operating point in use.

        Args:
            margin: probability below the threshold from which photographs are referred as uncertain, 0..1.

        Raises:
            KerasDrError: see `OperatingPoint.check_margin`.
        """
        self.points.get(self.point_name, OperatingPoint(self.threshold)).check_margin(margin)

    @property
    def rule(self) -> Decision:
        """How probabilities become a grade at the operating point in use, see `decision.decide`."""
        return rule_of(self.decision, self.referable, self.threshold)

    @property
    def condition(self) -> str:
        """What the referable classes have, in words, such as "referable DR"; "" if nobody is referred."""
        return condition_words(self.task, self.classes, self.referable)

    def points_text(self) -> str:
        """Return all operating points in words, one per line, doubtful models, and what is said of sets of grades."""
        referable = [self.classes[index] for index in self.referable]
        lines = [points_text(self.points, self.condition, referable)]
        lines += filter(None, map(self.model_doubt, self.models))
        if len(self.classes) > 2:
            lines.append(sets_text(self.grade_sets, self.condition))
        return "\n".join(lines)

    def point_text(self, margin: float = MARGIN) -> str:
        """Return the operating point in use in words, and what another margin changes; "" if nobody is referred.

        Args:
            margin: probability below the threshold from which photographs are referred as uncertain, 0..1.
        """
        if not self.referable:
            return ""
        point = self.points.get(self.point_name, OperatingPoint(self.threshold))
        words = [f"Operating point {self.point_name}.", point.in_words(self.condition), point.margin_words(margin)]
        return " ".join(filter(None, words))

    @property
    def positive(self) -> str:
        """The classes that are referred, in words: "positive: moderate, severe, proliferative"."""
        return positive_words(self.classes, self.referable)

    def default_variant(self) -> str:
        """Return the first of `PREFERRED` that the bundle holds and that did not fail; else the first that did not.

        Raises:
            KerasDrError: every model failed, so that one is used only if it is named.
        """
        passed = [name for name in (*PREFERRED, *self.models) if name in self.models and name not in self.failed]
        if not passed:
            raise KerasDrError(
                f"Every model of the bundle {printable(self.folder)} failed its comparison with the float model: "
                f"{', '.join(self.models)}.",
                f"Export it again, or name one to use it all the same: grade --variant {next(iter(self.models))}.",
            )
        return passed[0]

    def model_doubt(self, variant: str) -> str:
        """Return what is to be said of a model that failed its comparison, a sentence; "" of one that passed."""
        if variant not in self.failed:
            return ""
        return f"The model {variant} failed its comparison at export: it differs too much from the float model."

    def model_path(self, variant: str) -> Path:
        """Return the path of a variant's model after its SHA-256 is compared with the manifest's.

        Raises:
            KerasDrError: there is no such variant, its file is missing, or the file has changed since the export.
        """
        if variant not in self.models:
            message = f"The bundle has no variant {variant!r}; it has {', '.join(self.models)}."
            raise KerasDrError(message, "Choose one of these.")
        return verified(self.folder, self.models[variant])


def verified(folder: Path, model: ModelFile) -> Path:
    """Return the path of a file in the manifest after its SHA-256 is compared with the manifest's.

    Raises:
        KerasDrError: the file is missing, or it has changed since the export.
    """
    path = folder / model.file
    if not path.is_file():
        raise KerasDrError(f"The model file {path} does not exist.", EXPORT_AGAIN)
    digest = sha256_of(path)
    if digest != model.sha256.lower():
        message = f"The file {path} ({path.stat().st_size} bytes) has the SHA-256 {digest}"
        message += f", but the manifest says {model.sha256}."
        raise KerasDrError(message, EXPORT_AGAIN)
    return path


def _failed(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the names under parity.failures; none if the manifest has no such key."""
    parity = manifest.get("parity")
    failures = parity.get("failures") if isinstance(parity, dict) else None
    return tuple(failures) if isinstance(failures, dict) else ()


def _points(manifest: dict[str, Any], where: str) -> dict[str, OperatingPoint]:
    """Return all operating points by name, the default first; older bundles may have only its threshold."""
    threshold = float(_value(manifest, "threshold", (int, float), where))
    try:
        return points_of({"operating_point": {"value": threshold}} | manifest)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise KerasDrError(f"The operating points in {where} cannot be read: {error}.", EXPORT_AGAIN) from error


def _grade_sets(manifest: dict[str, Any], where: str) -> GradeSets | None:
    """Return the sets of grades; None if the manifest has no such key."""
    if manifest.get("grade_sets") is None:
        return None
    try:
        return GradeSets.from_dict(_value(manifest, "grade_sets", dict, where))
    except (TypeError, ValueError, AttributeError) as error:
        raise KerasDrError(f"The key 'grade_sets' in {where} cannot be read: {error}.", EXPORT_AGAIN) from error


def _trained_on(manifest: dict[str, Any], where: str) -> str:
    """Return the photographs of the training in words; "" if the manifest has no such key."""
    if "trained_on" not in manifest:
        return ""
    about = _value(manifest, "trained_on", dict, where)
    count = _value(about, "photographs", int, where)
    words = f"trained on {count} photograph{'' if count == 1 else 's'}"
    if "origin" in about:
        words += f" of {_value(about, 'origin', str, where)}"
    if about.get("other_graders"):
        words += ", and learned from other graders"
    return words


def _limits(manifest: dict[str, Any], key: str, names: tuple[str, ...], where: str) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of each of `names`; empty if the manifest has no such key."""
    if key not in manifest:
        return {}
    limits = _value(manifest, key, dict, where)
    pairs = {name: _list(limits, name, (int, float), where) for name in limits}
    if set(pairs) != set(names) or any(len(pair) != 2 for pair in pairs.values()):
        message = f"The key {key!r} in {where} must hold two limits for each of {', '.join(names)}"
        raise KerasDrError(f"{message}, but is {repr(limits)[:80]}.", EXPORT_AGAIN)
    return {name: (float(low), float(high)) for name, (low, high) in pairs.items()}


def _gradability_limits(manifest: dict[str, Any], where: str) -> dict[str, float]:
    """Return the limit of each fault that has one; empty if the manifest has no such key."""
    if not manifest.get("gradability_limits"):
        return {}
    limits = _value(manifest, "gradability_limits", dict, where)
    unknown = [name for name in limits if name not in FAULTS]
    if unknown:
        message = f"The key 'gradability_limits' in {where} may name {', '.join(FAULTS)}, but names {unknown[0]!r:.80}."
        raise KerasDrError(message, EXPORT_AGAIN)
    return {name: float(_value(limits, name, (int, float), where)) for name in limits}


def _value(content: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return content[key] after a check of its type; a bool does not count as a number."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if key not in content:
        raise KerasDrError(f"There is no key {key!r} in {where}.", EXPORT_AGAIN)
    value = content[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(accepted.__name__ for accepted in kinds)
        message = f"The value of {key!r} in {where} is {repr(value)[:80]}, which is not of type {names}."
        raise KerasDrError(message, EXPORT_AGAIN)
    if kind in (list, dict) and not value:
        raise KerasDrError(f"The value of {key!r} in {where} is empty.", EXPORT_AGAIN)
    return value


def _list(
    content: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str, or_empty: bool = False
) -> list[Any]:
    """Return content[key] after a check that it is a list of `kind`; it may be empty only if `or_empty`."""
    if or_empty and content.get(key) == []:
        return []
    kinds = kind if isinstance(kind, tuple) else (kind,)
    values = _value(content, key, list, where)
    if any(not isinstance(value, kinds) or isinstance(value, bool) for value in values):
        names = " or ".join(accepted.__name__ for accepted in kinds)
        message = f"The list {key!r} in {where} may hold only {names}, but is {repr(values)[:80]}."
        raise KerasDrError(message, EXPORT_AGAIN)
    return values


def model_file(models: dict[str, Any], name: str, where: str) -> ModelFile:
    """Return the manifest's entry for a model after a check of its keys.

    Raises:
        KerasDrError: a key is missing or of the wrong type, or the file lies outside the bundle.
    """
    entry = _value(models, name, dict, where)
    file = _value(entry, "file", str, where)
    if Path(file).name != file:
        message = f"The file of {name!r} in {where} must be a name without folders, but is {file!r}."
        raise KerasDrError(message, EXPORT_AGAIN)
    return ModelFile(file, _value(entry, "sha256", str, where), _value(entry, "size_bytes", int, where))
