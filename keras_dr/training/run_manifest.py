"""The types of what run.json says about a training, for commands that read it without loading the run.

What decides gradings (task, preprocessing, recipe, operating points) is checked where it is used, in `run.Run`.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError, brief


class _Values(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Phase(_Values):
    epoch: int | None = None
    seconds: float


class _Data(_Values):
    photographs: dict[str, int]


class _Manifest(_Values):
    parameters: int
    phases: dict[str, _Phase]
    kept: str
    data: _Data
    validation: dict[str, float | None] = {}
    validation_kappa_interval: list[float] | None = Field(None, min_length=2, max_length=2)
    certainty_quantiles: list[float] | None = None
    started_from: list[dict[str, Any]] = []
    taught_by: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []


def read_run_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of run.json, of which the values on the training have their types.

    Args:
        folder: the folder of a run.

    Raises:
        KerasDrError: there is no run, or a value is missing or of another type than `train` writes.
    """
    about = folders.read_manifest(folder, "run")
    try:
        _Manifest.model_validate(about)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        value = "missing" if first["type"] == "missing" else brief(first["input"])
        raise damaged(folder, f"its value {place} is {value}") from error
    return about


def damaged(folder: Path, cause: str) -> KerasDrError:
    """Return the error for a run whose run.json has values that `train` does not write."""
    file = folder / folders.MANIFESTS["run"]
    return KerasDrError(f"{file} is damaged or was changed: {cause}.", "Copy the run again, or train again.")
