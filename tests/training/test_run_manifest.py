"""A run.json that was changed by hand is refused with the place of the fault, by each command that reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from typer.testing import CliRunner

from keras_dr.commands.app import app
from keras_dr.core.errors import KerasDrError
from keras_dr.training.run import Run
from keras_dr.training.run_manifest import read_run_manifest

Edit = Callable[[dict[str, Any]], Any]


def edited(folder: Path, edit: Edit) -> Path:
    """A folder with the run.json of the shipped grader, changed."""
    about = json.loads((ROOT / "models" / "idrid-lite" / "run.json").read_text("utf-8"))
    edit(about)
    (folder / "run.json").write_text(json.dumps(about))
    return folder


EDITS: dict[str, Edit] = {
    "validation_kappa_interval is []": lambda about: about.update(validation_kappa_interval=[]),
    "validation_kappa_interval is 'abc'": lambda about: about.update(validation_kappa_interval="abc"),
    "validation is None": lambda about: about.update(validation=None),
    "validation.val_loss is 'low'": lambda about: about["validation"].update(val_loss="low"),
    "parameters is 'many'": lambda about: about.update(parameters="many"),
    "parameters is missing": lambda about: about.pop("parameters"),
    "phases is missing": lambda about: about.pop("phases"),
    "phases.frozen.seconds is '9'": lambda about: about["phases"]["frozen"].update(seconds="9"),
    "kept is None": lambda about: about.update(kept=None),
    "certainty_quantiles.1 is 'x'": lambda about: about.update(certainty_quantiles=[0.1, "x"]),
    "data.photographs is missing": lambda about: about["data"].pop("photographs"),
    "started_from.0 is 'a'": lambda about: about.update(started_from=["a"]),
}


def test_what_train_wrote_is_read(tmp_path: Path) -> None:
    assert read_run_manifest(edited(tmp_path, dict))["kept"] == "finetune"


@pytest.mark.parametrize("fault", EDITS)
def test_a_value_of_another_type_is_named(tmp_path: Path, fault: str) -> None:
    edited(tmp_path, EDITS[fault])
    with pytest.raises(KerasDrError) as error:
        read_run_manifest(tmp_path)
    place, value = fault.split(" is ")
    assert f"damaged or was changed: its value {place} is " in str(error.value) and value.strip("'") in str(error.value)
    with pytest.raises(KerasDrError, match="damaged or was changed"):
        Run.load(tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda about: about["operating_point"].update(value="0.5"),
        lambda about: about["operating_points"]["youden"].update(positive="x"),
        lambda about: about.update(operating_points=[]),
        lambda about: about.pop("task"),
    ],
)
def test_points_of_a_changed_run_are_refused(tmp_path: Path, edit: Edit) -> None:
    done = CliRunner().invoke(app, ["points", str(edited(tmp_path, edit))])
    assert isinstance(done.exception, KerasDrError) and "run.json is damaged or was changed" in str(done.exception)
