"""`import keras_dr as dr`: the example of each public function runs, on miniatures."""

import doctest
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

import keras_dr as dr

# in an order in which each example can use the results of those before it
FUNCTIONS: tuple[tuple[str, Any], ...] = (
    ("prepare", lambda: dr.prepare),
    ("Recipe.load", lambda: dr.Recipe.load),
    ("train", lambda: dr.train),
    ("evaluate", lambda: dr.evaluate),
    ("explain", lambda: dr.explain),
    ("export", lambda: dr.export),
    ("profile", lambda: dr.profile),
    ("Grader.grade", lambda: dr.Grader.grade),
    ("predict", lambda: dr.predict),
    ("cross_validate", lambda: dr.cross_validate),
    ("ensemble", lambda: dr.ensemble),
    ("compare", lambda: dr.compare),
    ("recalibrate", lambda: dr.recalibrate),
    ("audit", lambda: dr.audit),
)
SMALLER = {  # text of an example -> the text that the test runs instead
    "size=512": "size=32",
    "folds=5": "folds=2",
    'recipe="idrid"': 'recipe="recipes/idrid.yaml"',
    'variants=["float32", "int8"]': 'variants=["float32"], allow_drift=True',
    "threads=[1]": "threads=[1], repeats=2",
    "n=10": "n=2",
}
RECIPE = """
backbone: tiny
frozen: {epochs: 1, learning_rate: 1.0e-3}
finetune: {epochs: 1, learning_rate: 1.0e-3}
"""


@pytest.fixture(scope="module")
def place(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set, recipe and photographs that the examples use."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copytree(photographs, folder / "IDRiD")
    (folder / "recipes").mkdir()
    (folder / "recipes" / "idrid.yaml").write_text(RECIPE)
    shutil.copy(next((photographs / "images").iterdir()), folder / "eye.jpg")
    shutil.copytree(photographs / "images", folder / "eyes")
    return folder


def example(function: Any) -> list[str]:
    """The statements of a function's example, with smaller settings."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")
    statements = [example.source for example in examples]
    for text, replacement in SMALLER.items():
        statements = [statement.replace(text, replacement) for statement in statements]
    return statements


@pytest.mark.slow  # trains four tiny runs
def test_examples_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for name, function in FUNCTIONS:
        if name == "ensemble":  # needs two runs of one set
            for copy in ("first", "second"):
                shutil.copytree("runs/idrid", f"runs/{copy}")
            shutil.copytree("prepared/idrid", "prepared/aptos")
        statements = example(function())
        assert statements, f"dr.{name} has no example"
        names: dict[str, Any] = {"dr": dr}
        for statement in statements:
            exec(statement, names)


@pytest.mark.slow
def test_callbacks_see_the_epochs_of_the_whole_run(prepared_folder: Path, recipe: Any, tmp_path: Path) -> None:
    import keras

    class Notes(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[str, Any]] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.seen.append(("begin", self.model.name))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert {"loss", "accuracy", "val_loss", "val_quadratic_kappa"} <= set(logs)
            self.seen.append(("epoch", epoch))

        def on_train_end(self, logs: Any = None) -> None:
            self.seen.append(("end", None))

    notes = Notes()
    dr.train(str(prepared_folder), str(tmp_path / "run"), recipe, callbacks=[notes])
    assert notes.seen == [("begin", "tiny"), ("epoch", 0), ("epoch", 1), ("epoch", 2), ("end", None)]


def test_all_names_exist_and_have_a_docstring() -> None:
    for name in dr.__all__:
        assert getattr(dr, name).__doc__ or name == "__version__", name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dr.nonsense  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, keras_dr; dir(keras_dr); print(sorted({'numpy', 'cv2', 'tensorflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
