"""The recipe: everything that determines a training. It is validated, immutable, and saved with each run."""

import difflib
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from keras_dr.core.errors import KerasDrError, brief

# pydantic adds these words to the location of a value that may have several types
_ALTERNATIVE = re.compile(r"(literal|int|bool|tuple)\b")
_LARGEST = 1 << 20  # largest number of bytes of a recipe; the project's recipes have two thousand
_ALIKE = 0.7  # similarity from which a key of a section may be the one that was meant (difflib's ratio)
_DEEPEST = 20  # largest number of levels of nesting; recipes have three
Monitor = Literal["val_loss", "val_accuracy", "val_quadratic_kappa", "val_auroc"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Section):
    """Random changes of training photographs, drawn again in each epoch from the seed."""

    flip: bool = True  # left-right and up-down, each with probability 1/2
    quarter_turns: bool = True  # 0, 90, 180 or 270 degrees
    rotation: float = Field(0.0, ge=0, le=180)  # degrees, uniform in [-rotation, rotation]
    zoom: float = Field(0.0, ge=0, lt=1)  # scale uniform in [1 - zoom, 1 + zoom]
    translation: float = Field(0.0, ge=0, lt=1)  # share of the side, uniform in [-translation, translation] per axis
    grayscale: float = Field(0.0, ge=0, le=1)  # probability of losing all colour
    brightness: float = Field(0.1, ge=0, lt=1)  # factor uniform in [1 - brightness, 1 + brightness]
    contrast: float = Field(0.1, ge=0, lt=1)  # factor around the image's mean, from the same kind of range
    saturation: float = Field(0.0, ge=0, lt=1)  # factor around each pixel's grey, from the same kind of range
    hue: float = Field(0.0, ge=0, le=180)  # degrees around the grey axis, uniform in [-hue, hue]
    channel_gain: float = Field(0.0, ge=0, lt=1)  # factor of red, of green and of blue, from the same kind of range
    gamma: float = Field(0.0, ge=0, le=2)  # exponent (1 + gamma) ** u, u uniform in [-1, 1]
    resolution: float = Field(0.0, ge=0, lt=1)  # reduced to a share uniform in [1 - resolution, 1], then enlarged
    blur: float = Field(0.0, ge=0, le=20)  # standard deviation, thousandths of the side, uniform in [0, blur]
    compression: float = Field(0.0, ge=0, le=95)  # as a JPEG file of a quality uniform in [100 - compression, 100]


class Phase(_Section):
    """One phase of training."""

    epochs: int = Field(ge=0)
    learning_rate: float = Field(gt=0)  # the highest of the phase
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"  # sgd uses Nesterov momentum .9
    warmup_epochs: float = Field(0.0, ge=0)  # the rate rises linearly from 0
    # cosine: down to 0 at the last epoch; plateau: halved after 3 epochs without a better monitor
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    weight_decay: float = Field(0.0, ge=0)  # decoupled, not on biases and norms; every layer uses the whole rate
    # largest norm of the gradient over all weights; longer gradients are scaled down
    clip_norm: float | None = Field(None, gt=0)
    accumulate: int = Field(1, ge=1)  # batches whose gradients are averaged for one step
    ema: float = Field(0.0, ge=0, lt=1)  # > 0: validate and keep the running mean of the weights with this momentum
    patience: int = Field(7, ge=1)  # epochs without a better monitor after which the phase stops
    augment: bool = True

    @model_validator(mode="after")
    def _check(self) -> "Phase":
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("adam has no weight decay; use optimizer: adamw")
        if self.schedule == "plateau" and self.warmup_epochs:
            raise ValueError("schedule plateau has no warm-up; use constant or cosine, or warmup_epochs: 0")
        return self


class Frozen(Phase):
    """The first phase: the head learns from the backbone's features, which are computed in inference mode."""

    views: int = Field(0, ge=0)  # > 0: this many augmented views are computed once and used in turn


class Finetune(Phase):
    """The second phase, in which the backbone learns as well."""

    unfreeze: Literal["all", "last-block"] | NonNegativeInt = "all"  # an integer: this many of the last layers
    train_batch_norm: bool = False  # if false, batch norms keep their statistics, scale and offset
    # share of the learning rate at the first layer; the shares of the layers up to the head are a geometric series
    first_layer_rate: float = Field(1.0, gt=0, le=1)


class Distillation(_Section):
    """Learning from the probabilities of the recipe's teachers, in the second phase."""

    views: int = Field(4, ge=1)  # augmented views of each photograph, graded once; the epochs use them in turn
    share: float = Field(0.5, ge=0, le=1)  # of the targets; the rest comes from the labels


class OperatingPointRule(_Section):
    """How the threshold on the probability of referable DR is chosen on validation photographs."""

    rule: Literal["specificity", "sensitivity"] = "sensitivity"  # reach the target, then maximise the other one
    target: float = Field(0.9, gt=0, le=1)


class VariantLimits(_Section):
    """How far a variant may differ from the float model on validation photographs; None: no limit."""

    largest_probability_difference: float | None = Field(None, ge=0, le=1)  # at most, over photographs and classes
    grade_agreement: float | None = Field(None, ge=0, le=1)  # at least, share of photographs of the same grade
    heatmap_correlation: float | None = Field(None, ge=-1, le=1)  # at least, mean Pearson's r
    quadratic_kappa_loss: float | None = Field(None, ge=0, le=2)  # at most, measured against the labels
    auroc_loss: float | None = Field(None, ge=0, le=1)  # at most, measured against the labels


# integers of 8 bits may change the grade of photographs that lie between two grades
_INTEGER = VariantLimits(grade_agreement=0.97, heatmap_correlation=0.9, quadratic_kappa_loss=0.01, auroc_loss=0.01)

# The keys of `models.backbones.BACKBONES`. They are repeated here so that a wrong name is refused before TensorFlow
# starts.
BACKBONE_NAMES = (
    "tiny",
    "mobilenetv2",
    "mobilenetv3large",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet50v2",
    "resnet101v2",
    "resnet152v2",
    "vgg16",
    "densenet121",
    "densenet169",
    "efficientnetb0",
    "efficientnetb3",
    "efficientnetlite0",
    "efficientnetlite1",
    "efficientnetlite2",
    "efficientnetv2b0",
)

# settings that the first version did not have, see `Recipe.plan`
_LATER = (
    ("keep",),
    ("teachers",),
    ("distillation",),
    ("augmentation", "channel_gain"),
    ("augmentation", "gamma"),
    ("augmentation", "resolution"),
    ("augmentation", "blur"),
    ("augmentation", "compression"),
)


class ParityLimits(_Section):
    """The limits of `export` per variant. Float variants differ only by the order of additions and half precision."""

    float32: VariantLimits = VariantLimits(largest_probability_difference=1e-4)
    onnx: VariantLimits = VariantLimits(largest_probability_difference=1e-4)
    float16: VariantLimits = VariantLimits(largest_probability_difference=1e-2)
    dynamic: VariantLimits = _INTEGER
    int8: VariantLimits = _INTEGER
    int16x8: VariantLimits = _INTEGER


class Recipe(_Section):
    """The settings of a training."""

    backbone: str = "mobilenetv2"
    weights: str = "imagenet"  # "imagenet", "none", a file, or the folder of a run, to start from its backbone
    teachers: tuple[str, ...] = ()  # folders of runs or cross-validations whose probabilities are learned too
    stem: Literal["imagenet", "small"] = "imagenet"  # small: first convolution 3x3/1, no pooling (ResNet-18/34)
    grey: bool = False  # one input channel, the mean of all three (ResNet-18/34)
    seed: int = Field(42, ge=0, lt=2**32)
    batch_size: int = Field(16, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    head: Literal["softmax", "ordinal", "regression"] = "softmax"  # see `heads`
    class_weights: Literal["none", "balanced", "sqrt"] = "none"  # n / (classes * count), or its square root
    # weight of each class with which photographs are drawn, with replacement; "balanced": 1 / count
    oversampling: Literal["none", "balanced"] | tuple[NonNegativeFloat, ...] = "none"
    focal_gamma: float = Field(0.0, ge=0)  # > 0: focal loss (Lin et al., ICCV 2017)
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # share of a label that is spread over all classes
    ordinal_smoothing: float = Field(0.0, ge=0)  # > 0: labels softmax(-|i - label| / value), see `pipeline`
    monitor: Monitor = "val_quadratic_kappa"
    keep: Literal["best", "last"] = "best"  # the best epoch of both phases by the monitor; or the very last epoch
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit: bool | Literal["auto"] = "auto"  # XLA; auto: Keras decides, and uses it on GPUs
    augmentation: Augmentation = Augmentation()
    frozen: Frozen = Frozen(epochs=10, learning_rate=1e-3)
    finetune: Finetune = Finetune(
        epochs=20, learning_rate=5e-5, warmup_epochs=2, schedule="cosine", weight_decay=1e-4, patience=7
    )
    distillation: Distillation = Distillation()
    operating_point: OperatingPointRule = OperatingPointRule()
    parity: ParityLimits = ParityLimits()

    @classmethod
    def load(
        cls, source: "Recipe | Path | str | None" = None, overrides: Sequence[str] = (), **settings: Any
    ) -> "Recipe":
        """Load a recipe and replace some settings.

        Args:
            source: a YAML file, the name of a shipped recipe such as "idrid", or a recipe; by default all settings have
                their default values.
            overrides: settings as text, such as "finetune.learning_rate=1e-4", with values as in YAML.
            settings: settings by keyword; sections are dictionaries and may be partial.

        Returns:
            The recipe with these settings.

        Raises:
            KerasDrError: the file does not exist or is not YAML, a key is unknown (the message names the most similar
                key), or a value is out of range.

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
                raise KerasDrError(
                    f"{override!r} is not a setting.", "Write key=value, for example finetune.epochs=20."
                )
            _put(values, key.split("."), _parse(text))
        return recipe_from_dict(_merge(values, settings))

    def inputs(self) -> list[Path]:
        """Return the files and folders that the recipe names: its weights and its teachers."""
        return [Path(self.weights), *map(Path, self.teachers)]

    def plan(self) -> dict[str, Any]:
        """Return the settings as JSON values, which are equal for two recipes of the same training.

        Settings that later versions added are left out if they have their default values, so that a training that an
        earlier version began can continue.
        """
        values = self.model_dump(mode="json")
        defaults = Recipe().model_dump(mode="json")
        for *sections, key in _LATER:
            section_values = values
            section_defaults = defaults
            for section in sections:
                section_values = section_values[section]
                section_defaults = section_defaults[section]
            if section_values[key] == section_defaults[key]:
                del section_values[key]
        return values

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if self.head == "regression" and self.focal_gamma:
            raise ValueError(
                "focal_gamma is only for the heads softmax and ordinal; regression learns by squared error"
            )
        return self


def find_recipe(source: Path | str) -> Path:
    """Return the file of a recipe.

    Args:
        source: the path of a file, or the name of a recipe that comes with keras_dr.

    Raises:
        KerasDrError: the source is neither.
    """
    file = Path(source)
    if file.is_file():
        return file
    package = Path(__file__).resolve().parent
    shipped = {
        recipe.stem: recipe for folder in (package, package.parent) for recipe in sorted(folder.glob("recipes/*.yaml"))
    }
    if str(source) in shipped:
        return shipped[str(source)]
    raise KerasDrError(
        f"There is no recipe {str(source)!r}.", f"Name a YAML file, or one of these: {', '.join(sorted(shipped))}."
    )


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """Build a recipe from a dictionary; sections may be partial, and missing values get their defaults.

    Raises:
        KerasDrError: a key is unknown or a value is out of range.
    """
    if values.get("backbone") == "tiny" and "weights" not in values:
        values = {**values, "weights": "none"}  # it has no pretrained weights
    try:
        return Recipe.model_validate(_merge(Recipe().model_dump(), values))
    except ValidationError as error:
        first_error = error.errors()[0]
        place = [str(part) for part in first_error["loc"] if not _ALTERNATIVE.match(str(part))]
        if first_error["type"] == "extra_forbidden":
            raise _unknown_key(place) from error
        rule = first_error["msg"].removeprefix("Value error, ")
        if first_error["type"] == "value_error":  # from a check of several settings
            message = f"Settings of the recipe do not fit together: {rule}."
        else:
            value = brief(first_error["input"])
            message = f"The recipe sets {'.'.join(place)} to {value}: {rule[0].lower()}{rule[1:]}."
        raise KerasDrError(message, "Correct the recipe or --set.") from error


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as YAML text with every setting, from which `Recipe.load` makes the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _unknown_key(place: list[str]) -> KerasDrError:
    section: Any = Recipe()
    for part in place[:-1]:
        section = getattr(section, part)
    keys = list(type(section).model_fields)
    in_sections: list[str] = []
    for name in keys:
        fields = list(getattr(type(getattr(section, name)), "model_fields", ()))
        in_sections += [f"{name}.{field}" for field in difflib.get_close_matches(place[-1], fields, 1, _ALIKE)]
    similar = [".".join([*place[:-1], key]) for key in difflib.get_close_matches(place[-1], keys, 1)]
    exact = [key for key in in_sections if key.endswith(f".{place[-1]}")]
    meant = exact or similar or in_sections
    remedy = f"Did you mean {' or '.join(meant)}?" if meant else "Leave it out, or name one of these."
    return KerasDrError(f"The recipe has no key {'.'.join(place)}; the keys there are {', '.join(keys)}.", remedy)


class _PlainLoader(yaml.SafeLoader):
    """A loader of plain types that refuses aliases: a hundred bytes with aliases can stand for terabytes."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name); write the value out")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.YAMLError(f"it has more than {_DEEPEST} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        YAMLError: the text is not valid YAML.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        # PyYAML passes on such errors, for example for a date of month 99, `!!int ''` or ten thousand brackets
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _read_yaml(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    if size > _LARGEST:
        raise KerasDrError(f"{file} has {size} bytes; a recipe has at most {_LARGEST}.", "Name a recipe.")
    try:
        values = _load_yaml(file.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KerasDrError(f"{file} is not valid YAML ({error}).", "Correct the file.") from error
    if not isinstance(values, dict):
        raise KerasDrError(
            f"{file} holds a {type(values).__name__} instead of keys and values.", "See recipes/ for examples."
        )
    return values


def _parse(text: str) -> Any:
    """Return a value as in YAML, but read 1e-4 as a number as well (YAML 1.1 requires 1.0e-4)."""
    with suppress(ValueError):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    with suppress(yaml.YAMLError):
        return _load_yaml(text)
    return text


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise KerasDrError(f"{key} is {brief(inner)} in the recipe, not a section.", "Correct the recipe or --set.")
        values = inner
    values[keys[-1]] = value


def _merge(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in values.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
