"""The recipe: everything that determines a training, validated, immutable, read from YAML and saved with each run."""

import difflib
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from keras_dr.core.errors import KerasDrError, brief

_ALTERNATIVE = re.compile(r"(literal|int|bool|tuple)\b")  # what pydantic adds to the place of a value of several types
_LARGEST = 1 << 20  # bytes of a recipe; those of the project have two thousand
_DEEPEST = 20  # levels; recipes have three
Monitor = Literal["val_loss", "val_accuracy", "val_quadratic_kappa", "val_auroc"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Section):
    """Random changes of training photographs, drawn anew each epoch from the seed."""

    flip: bool = True  # left-right and up-down, each with probability 1/2
    quarter_turns: bool = True  # 0, 90, 180 or 270 degrees
    rotation: float = Field(0.0, ge=0, le=180)  # degrees, uniform in [-rotation, rotation]
    zoom: float = Field(0.0, ge=0, lt=1)  # scale uniform in [1 - zoom, 1 + zoom]
    translation: float = Field(0.0, ge=0, lt=1)  # share of the side, uniform in [-translation, translation] an axis
    grayscale: float = Field(0.0, ge=0, le=1)  # probability of losing all colour
    brightness: float = Field(0.1, ge=0, lt=1)  # factor uniform in [1 - brightness, 1 + brightness]
    contrast: float = Field(0.1, ge=0, lt=1)  # factor about the image's mean, likewise
    saturation: float = Field(0.0, ge=0, lt=1)  # factor about each pixel's grey, likewise
    hue: float = Field(0.0, ge=0, le=180)  # degrees about the grey axis, uniform in [-hue, hue]


class Phase(_Section):
    """One phase of training."""

    epochs: int = Field(ge=0)
    learning_rate: float = Field(gt=0)  # at its highest
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"  # sgd: Nesterov momentum .9
    warmup_epochs: float = Field(0.0, ge=0)  # linear from 0
    # cosine: down to 0 at the last epoch; plateau: halved after 3 epochs without a better monitor
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    weight_decay: float = Field(0.0, ge=0)  # decoupled, not on biases and norms; by the whole rate at every layer
    clip_norm: float | None = Field(None, gt=0)  # of the gradient over all weights; longer ones are shortened to it
    accumulate: int = Field(1, ge=1)  # batches whose gradients are averaged for one step
    ema: float = Field(0.0, ge=0, lt=1)  # > 0: validate and keep the running mean of the weights, with this momentum
    patience: int = Field(7, ge=1)  # epochs without a better monitor before the phase stops
    augment: bool = True

    @model_validator(mode="after")
    def _check(self) -> "Phase":
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("adam has no weight decay; take optimizer: adamw")
        if self.schedule == "plateau" and self.warmup_epochs:
            raise ValueError("schedule plateau has no warm-up; take constant or cosine, or warmup_epochs: 0")
        return self


class Frozen(Phase):
    """The first phase: the head learns on the backbone's features, computed in inference mode."""

    views: int = Field(0, ge=0)  # > 0: so many augmented views are computed once, and taken in turn


class Finetune(Phase):
    """The second phase."""

    unfreeze: Literal["all", "last-block"] | NonNegativeInt = "all"  # an integer: that many last layers
    train_batch_norm: bool = False  # else batch norms keep their statistics, scale and offset
    first_layer_rate: float = Field(1.0, gt=0, le=1)  # share of the learning rate at the first layer; geometric between


class OperatingPointRule(_Section):
    """How the threshold on the probability of referable DR is chosen on validation photographs."""

    rule: Literal["specificity", "sensitivity"] = "specificity"  # reach the target, then best on the other
    target: float = Field(0.85, gt=0, le=1)


class VariantLimits(_Section):
    """How far a variant may be from the float model on validation photographs; None: not judged."""

    largest_probability_difference: float | None = Field(None, ge=0, le=1)  # at most, over photographs and classes
    grade_agreement: float | None = Field(None, ge=0, le=1)  # at least, share of photographs of the same grade
    heatmap_correlation: float | None = Field(None, ge=-1, le=1)  # at least, mean Pearson's r
    quadratic_kappa_loss: float | None = Field(None, ge=0, le=2)  # at most, against the labels
    auroc_loss: float | None = Field(None, ge=0, le=1)  # at most, likewise


_INTEGER = VariantLimits(
    grade_agreement=0.97, heatmap_correlation=0.9, quadratic_kappa_loss=0.01, auroc_loss=0.01
)  # 8 bits may move photographs between two grades


class ParityLimits(_Section):
    """The gate of `export`, a variant each. Float differs by the order of additions and half precision only."""

    float32: VariantLimits = VariantLimits(largest_probability_difference=1e-4)
    onnx: VariantLimits = VariantLimits(largest_probability_difference=1e-4)
    float16: VariantLimits = VariantLimits(largest_probability_difference=1e-2)
    dynamic: VariantLimits = _INTEGER
    int8: VariantLimits = _INTEGER
    int16x8: VariantLimits = _INTEGER


class Recipe(_Section):
    """One experiment."""

    backbone: str = "mobilenetv2"
    weights: str = "imagenet"  # "imagenet", "none", a file, or the folder of a run, whose backbone it begins with
    stem: Literal["imagenet", "small"] = "imagenet"  # small: first convolution 3x3/1, no pooling (ResNet-18/34)
    grey: bool = False  # one input channel, the mean of the three (ResNet-18/34)
    seed: int = Field(42, ge=0, lt=2**32)
    batch_size: int = Field(16, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    head: Literal["softmax", "ordinal", "regression"] = "softmax"  # see `heads`
    class_weights: Literal["none", "balanced", "sqrt"] = "none"  # n / (classes * count), or its square root
    # weight a class with which photographs are drawn, with replacement; "balanced": 1 / count
    oversampling: Literal["none", "balanced"] | tuple[NonNegativeFloat, ...] = "none"
    focal_gamma: float = Field(0.0, ge=0)  # > 0: focal loss (Lin et al., ICCV 2017)
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # share of a label spread over all classes
    ordinal_smoothing: float = Field(0.0, ge=0)  # > 0: labels softmax(-|i - label| / value), see `pipeline`
    monitor: Monitor = "val_quadratic_kappa"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit: bool | Literal["auto"] = "auto"  # XLA; auto: as Keras decides, on GPUs
    augmentation: Augmentation = Augmentation()
    frozen: Frozen = Frozen(epochs=10, learning_rate=1e-3)
    finetune: Finetune = Finetune(
        epochs=20, learning_rate=5e-5, warmup_epochs=2, schedule="cosine", weight_decay=1e-4, patience=7
    )
    operating_point: OperatingPointRule = OperatingPointRule()
    parity: ParityLimits = ParityLimits()

    @classmethod
    def load(
        cls, source: "Recipe | Path | str | None" = None, overrides: Sequence[str] = (), **settings: Any
    ) -> "Recipe":
        """Read a recipe.

        Args:
            source: a YAML file, the name of a shipped recipe such as "idrid", or a recipe; by default all settings have
                their default values.
            overrides: settings as text, "finetune.learning_rate=1e-4", the values as in YAML.
            settings: settings by keyword; sections are dictionaries and may be partial.

        Returns:
            The recipe with these settings.

        Raises:
            KerasDrError: no such file, no YAML, an unknown key (the nearest known one is named), or a value out of
                range.

        Example:
            >>> dr.Recipe.load("recipes/idrid.yaml", seed=43, finetune={"epochs": 5}).finetune.epochs
            5
        """
        if isinstance(source, Recipe):
            values = source.model_dump()
        else:
            values = _read_yaml(find_recipe(source)) if source is not None else {}
        for override in overrides:
            key, equals, text = override.partition("=")
            if not equals or not key:
                raise KerasDrError(f"{override!r} is no setting.", "Write key=value, for example finetune.epochs=20.")
            _put(values, key.split("."), _parse(text))
        return recipe_from_dict(_merge(values, settings))

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if self.head == "regression" and self.focal_gamma:
            raise ValueError("focal_gamma is for heads softmax and ordinal; regression learns by squared error")
        return self


def find_recipe(source: Path | str) -> Path:
    """The file of a recipe: a path, or the name of a recipe that comes with keras_dr.

    Raises:
        KerasDrError: neither.
    """
    file = Path(source)
    if file.is_file():
        return file
    here = Path(__file__).resolve().parent
    shipped = {
        recipe.stem: recipe for folder in (here, here.parent) for recipe in sorted(folder.glob("recipes/*.yaml"))
    }
    if str(source) in shipped:
        return shipped[str(source)]
    raise KerasDrError(
        f"There is no recipe {str(source)!r}.", f"Name a YAML file, or one of these: {', '.join(sorted(shipped))}."
    )


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """A recipe from a dictionary; sections may be partial, missing values are the defaults'.

    Raises:
        KerasDrError: an unknown key or a value out of range.
    """
    if values.get("backbone") == "tiny" and "weights" not in values:
        values = {**values, "weights": "none"}  # nobody has trained it beforehand
    try:
        return Recipe.model_validate(_merge(Recipe().model_dump(), values))
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if not _ALTERNATIVE.match(str(part))]
        if first["type"] == "extra_forbidden":
            raise _unknown_key(place) from error
        rule = first["msg"].removeprefix("Value error, ")
        found = "other settings" if isinstance(first["input"], dict) else brief(first["input"])
        expected = f"in the recipe{', for ' if place else ''}{'.'.join(place)}: {rule[0].lower()}{rule[1:]}"
        raise KerasDrError(expected, found, "Correct the recipe or --set.") from error


def recipe_text(recipe: Recipe) -> str:
    """A recipe in YAML, every setting named, which `load_recipe` reads as the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _unknown_key(place: list[str]) -> KerasDrError:
    section: Any = Recipe()
    for part in place[:-1]:
        section = getattr(section, part)
    known = list(type(section).model_fields)
    in_sections = [
        f"{name}.{place[-1]}" for name in known if place[-1] in getattr(getattr(section, name), "model_fields", ())
    ]
    near = difflib.get_close_matches(place[-1], known, 1)
    remedy = f"Did you mean {'.'.join([*place[:-1], *near])}?" if near else "Remove it."
    if in_sections:
        remedy = f"Did you mean {' or '.join(in_sections)}?"
    return KerasDrError(f"a recipe key among {', '.join(known)}", ".".join(place), remedy)


class _PlainLoader(yaml.SafeLoader):
    """Values of plain types, each written out: some hundred bytes of aliases can stand for terabytes."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name); write the value out")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.YAMLError(f"more than {_DEEPEST} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _load_yaml(text: str) -> Any:
    """A YAML value.

    Raises:
        YAMLError: the text is none.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        # what PyYAML lets through: a date of month 99, `!!int ''`, ten thousand brackets
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _read_yaml(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    if size > _LARGEST:
        raise KerasDrError(f"a recipe of at most {_LARGEST} bytes at {file}", str(size), "Name a recipe.")
    try:
        values = _load_yaml(file.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KerasDrError(f"YAML in {file}", str(error), "Correct the file.") from error
    if not isinstance(values, dict):
        raise KerasDrError(f"keys and values in {file}", type(values).__name__, "See recipes/ for an example.")
    return values


def _parse(text: str) -> Any:
    """A value as in YAML, with 1e-4 a number as well (YAML 1.1 wants 1.0e-4)."""
    with suppress(ValueError):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    with suppress(yaml.YAMLError):
        return _load_yaml(text)
    return text


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise KerasDrError(f"a section at {key}", brief(inner), "Correct the recipe or --set.")
        values = inner
    values[keys[-1]] = value


def _merge(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in values.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
